# Everything is set up on first use, in .venv/; nothing outside this folder is touched.
# Needs git, make and Python 3.11 or newer with venv. `make` alone says what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# ARGS go to the program behind the target: make demo ARGS='--dir /tmp/demo --keep'
ARGS ?=
# DOCUMENT is a PDF of your own that the demo seals and sends: make demo DOCUMENT=notice.pdf
DOCUMENT ?=
SUBJECTS ?= hub ledger verify seal pki

.PHONY: help
help:  ## this list
	@echo "gongwen: make TARGET [ARGS='...']"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

.PHONY: demo
demo: $(VENV)/.hub  ## the whole journey of a dispatch on this machine (ARGS, DOCUMENT=FILE.pdf)
	@$(BIN)/gongwen demo $(if $(DOCUMENT),--document "$(DOCUMENT)") $(ARGS)

.PHONY: test
test: lint typecheck  ## lint, types and every test (ARGS go to pytest)
	$(BIN)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: typecheck
typecheck: $(VENV)/.dev  ## mypy --strict
	$(BIN)/mypy --strict

.PHONY: docs
docs: $(VENV)/.dev  ## check the docs: links, examples, settings, error codes
	$(BIN)/python -m pytest -q tests/test_docs.py $(ARGS)

.PHONY: bench
bench: $(VENV)/.hub  ## measure this machine now (SUBJECTS='hub ledger verify seal pki')
	@for subject in $(SUBJECTS); do $(BIN)/gongwen bench $$subject $(ARGS) || exit $$?; done

# --- environment: a stamp file for each state, so that repeated calls do nothing --------------------

$(VENV)/.python:
	@python=''; \
	for one in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
	  if "$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$one"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'gongwen needs Python 3.11 or newer and finds none. Install one, or name it: make PYTHON=/path/to/python3' >&2; \
	  exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python has no venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@touch $@

$(VENV)/.hub: pyproject.toml $(VENV)/.python
	@echo "Installing gongwen and what it needs into $(VENV) (once)"
	@$(PIP) install --quiet --editable '.[hub]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.python
	@echo "Installing gongwen and its test tools into $(VENV) (once)"
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $(VENV)/.hub $@
