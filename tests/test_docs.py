"""The papers keep to the program: links lead somewhere, examples run, and every setting, code, command and route is there."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import pkgutil
import re
import shlex
import tomllib
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import clients
import exchange
import pki
import signing
from clients.errors import ReceiptUntrusted, problem_error
from clients.exits import Exit, exit_of
from exchange.config import Settings
from exchange.ledger.errors import LedgerError
from exchange.protocol import canonical
from exchange.protocol.api import Problem
from exchange.protocol.dispatch import Metadata
from exchange.protocol.entry import decode_entry
from exchange.protocol.events import REASONS, Event
from exchange.protocol.receipt import decode_receipt, read_proof
from exchange.protocol.states import Aggregate, State
from exchange.web.problems import STATUS
from exchange.web.routes import ROUTES
from pki.errors import Fault
from signing.container import decode_container
from signing.report import TimeSource, Verdict

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FORMATS = DOCS / "formats"
EXAMPLES = FORMATS / "examples"
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))
    if ".venv" not in page.parts and not page.name.startswith(".")
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
EXAMPLE = re.compile(r"^<!-- example: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", text)


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, without head and rule, up to the next heading of its rank."""
    rank = len(heading.partition(" ")[0])
    text = read(page).split(f"\n{heading}\n", 1)[1]
    text = re.split(rf"^#{{1,{rank}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]
    # A head is what stands above a rule.
    text = re.sub(r"^\|.*\n\|[ |-]+\|$", "", text, flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- links ---------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address."""
    headings = re.findall(r"^#+ (.*)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = page if not path else (page.parent / path).resolve()
        assert there.exists(), (name, target)
        if anchor:
            assert anchor in anchors(there), (name, target)


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = LINK.findall(prose(page.read_text(encoding="utf-8")))
        waiting += [
            (page.parent / target.partition("#")[0]).resolve() for target in targets if "://" not in target
        ]
    assert {page for page in PAGES if page.name != "CHANGELOG.md"} <= reached


# --- the first two commands ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_first_commands_of_the_readme_are_demo_and_test(name: str) -> None:
    first = BLOCK.search(read(name))
    assert first is not None
    assert [line.partition("#")[0].strip() for line in first[2].splitlines()] == ["make demo", "make test"]


def test_makefile_has_the_targets_that_it_tells_of() -> None:
    makefile = read("Makefile")
    for target in ("demo", "test", "lint", "typecheck", "docs", "bench", "help"):
        assert re.search(rf"^\.PHONY: {target}\n{target}:.*  ## \S", makefile, re.MULTILINE), target


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert read(".ci/run").splitlines()[-1] == "make test"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


# --- examples --------------------------------------------------------------------------------------


@cache
def files() -> dict[str, bytes]:
    """What the examples on the pages are examples of, by their names there."""
    receipt = decode_receipt((EXAMPLES / "example.receipt.asics").read_bytes())
    package = dict(decode_container((EXAMPLES / "example.asice").read_bytes(), max_entries=100))
    return {
        "dispatch.json": package["dispatch.json"],
        "evidence.json": receipt.evidence,
        "entry": read_proof(receipt)[1].entry,
    }


def example_time() -> datetime:
    """A time at which the revocation lists of the examples are current."""
    return decode_entry(files()["entry"]).t.astimezone(UTC) + timedelta(minutes=1)


def shown(name: str) -> list[tuple[str, str]]:
    return EXAMPLE.findall((FORMATS / name).read_text(encoding="utf-8"))


FORMAT_PAGES = {
    "envelope.md": "dispatch.json",
    "evidence.md": "evidence.json",
    "ledger-entry.md": "entry",
    "receipt.md": "receipt",
    "dispatch-package.md": "package",
    "trust-folder.md": "trust",
    "http-api.md": "problem",
}


@pytest.mark.parametrize(("page", "example"), FORMAT_PAGES.items())
def test_page_shows_its_example_before_anything_else(page: str, example: str) -> None:
    lines = (FORMATS / page).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[2] == f"<!-- example: {example} -->"


@pytest.mark.parametrize("page", ["envelope.md", "evidence.md", "ledger-entry.md"])
def test_json_on_the_page_is_that_of_the_file(page: str) -> None:
    [(name, text)] = shown(page)
    assert canonical.encode(json.loads(text)) == files()[name]


@pytest.mark.parametrize(
    ("page", "file"), [("receipt.md", "example.receipt.asics"), ("dispatch-package.md", "example.asice")]
)
def test_listing_on_the_page_is_that_of_the_file(page: str, file: str) -> None:
    [(_, text)] = shown(page)
    entries = decode_container((EXAMPLES / file).read_bytes(), max_entries=100)
    assert text == "".join(f"{len(body):>7}  {name}\n" for name, body in entries)


def test_trust_folder_on_the_page_is_that_of_the_examples() -> None:
    [(_, text)] = shown("trust-folder.md")
    there = [path for path in EXAMPLES.glob("trust/**/*") if path.is_file()]
    assert text.splitlines() == sorted(path.relative_to(EXAMPLES).as_posix() for path in there)


@pytest.mark.parametrize("page", FORMAT_PAGES)
def test_code_on_the_page_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (FORMATS / page).read_text(encoding="utf-8")
    [(name, example)] = shown(page)
    code = "\n".join(content for kind, content in BLOCK.findall(text) if kind == "python")
    names = {
        "example": files().get(name, example.encode()),
        "example_receipt": (EXAMPLES / "example.receipt.asics").read_bytes(),
        "example_package": (EXAMPLES / "example.asice").read_bytes(),
        "example_trust": EXAMPLES / "trust",
        "example_time": example_time(),
    }
    test = doctest.DocTestParser().get_doctest(code, names, page, page, 0)
    outcome = doctest.DocTestRunner().run(test)
    assert outcome.attempted >= 2 or page == "trust-folder.md"
    assert outcome.failed == 0, capsys.readouterr().out


def test_time_on_the_pages_is_one_at_which_the_examples_hold() -> None:
    for page in FORMATS.glob("*.md"):
        for time in re.findall(r"--at (\d\S*)", page.read_text(encoding="utf-8")):
            assert time == f"{example_time():%Y-%m-%dT%H:%M:%SZ}", page.name


# --- settings --------------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {named(row[0])[0]: row[1] for row in rows("docs/how-to/operator.md", "## Settings")}
    assert documented.keys() == Settings.model_fields.keys() - {"folder"}
    for name, field in Settings.model_fields.items():
        if not field.is_required():
            assert named(documented[name]) == [str(field.default)], name


# --- errors ----------------------------------------------------------------------------------------

FAMILIES = {"fault", "exchange", "rejected", "hub", "api"}
"""Codes of classes that are only there to be caught by."""
COMMAND_LINE = {"usage": Exit.USAGE, "file": Exit.FAILURE, "internal": Exit.FAILURE}
HUB_SECTIONS = {
    "Submitting",
    "Acts",
    "The hub",
    "HTTP",
    "Enrolment and the certification authority",
}
"""Sections of the catalogue whose codes arrive in a problem document."""


def _import_all(package: ModuleType) -> None:
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _below(kind: type[Exception]) -> list[type[Exception]]:
    return [one for child in kind.__subclasses__() for one in (child, *_below(child))]


@cache
def classes() -> dict[str, list[type[Exception]]]:
    """The error classes of the program by their code."""
    for package in (pki, signing, exchange, clients):
        _import_all(package)
    found: dict[str, list[type[Exception]]] = {}
    for kind in (*_below(Fault), *_below(LedgerError)):
        # Errors that tests make for themselves are not the program's.
        if kind.__module__.partition(".")[0] in ("pki", "signing", "exchange", "clients"):
            found.setdefault(kind.code, []).append(kind)  # type: ignore[attr-defined]
    return found


@cache
def http_faults() -> dict[str, int]:
    """Codes that exist only in HTTP, with their status: ``HttpFault(status, "code", ...)``."""
    found = {"internal": 500, "request-malformed": 400}
    for path in (ROOT / "exchange" / "web").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="HttpFault"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
                ):
                    found[code] = status
    return found


def known_codes() -> set[str]:
    """Every code that somebody may see."""
    return (classes().keys() | http_faults().keys() | COMMAND_LINE.keys()) - FAMILIES


def mender_for(code: str) -> str:
    """Who can mend it; those of all classes with the code."""
    if code in classes():
        return ", ".join(dict.fromkeys(str(kind.mender) for kind in classes()[code]))  # type: ignore[attr-defined]
    return "operator" if code == "internal" else "unit"


def status_for(code: str) -> int | None:
    """The HTTP status with which the hub answers."""
    if code in http_faults():
        return http_faults()[code]
    for kind in classes().get(code, []):
        for family, status in STATUS:
            if issubclass(kind, family):
                return status
    return 500 if code in classes() else None


def exits_text(code: str, section: str) -> str:
    """The exit code of a command that it stops."""
    if code in COMMAND_LINE:
        return str(int(COMMAND_LINE[code]))
    status = status_for(code) if section in HUB_SECTIONS else None
    if status is not None:
        problem = Problem(title="", status=status, detail="", code=code, mender="unit", request_id="")
        return str(int(exit_of(problem_error(status, problem))))
    if classes()[code] == [ReceiptUntrusted]:
        return "3 or 5"
    kind = classes()[code][0]
    return str(int(exit_of(kind.__new__(kind))))


def catalogue() -> dict[str, tuple[str, list[str]]]:
    found: dict[str, tuple[str, list[str]]] = {}
    section = ""
    for line in read("docs/errors.md").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            code = named(cells[0])[0]
            assert code not in found, code
            found[code] = (section, cells)
    return found


def test_every_error_code_is_in_the_catalogue() -> None:
    assert catalogue().keys() == known_codes()


@pytest.mark.parametrize("code", sorted(known_codes()))
def test_catalogue_says_who_acts_and_how_it_ends(code: str) -> None:
    section, (_, means, todo, who, http, exit_code) = catalogue()[code]
    assert means.endswith((".", "]."))
    assert todo
    assert who == mender_for(code)
    assert http == (str(status_for(code)) if section in HUB_SECTIONS else "–")
    assert exit_code == exits_text(code, section)


def test_catalogue_has_every_exit_code() -> None:
    assert [int(row[0]) for row in rows("docs/errors.md", "## Exit codes")] == [int(one) for one in Exit]


# --- commands --------------------------------------------------------------------------------------

RECORD = "ledger signer v1"
"""``gongwen ledger signer v1`` is the first line of a file, no command."""


def spoken_commands(name: str) -> list[str]:
    """The command lines of ``gongwen`` in a page: in shell blocks, in indented blocks, in code spans."""
    text = read(name).replace("\\\n", " ")
    blocks = [content for kind, content in BLOCK.findall(text) if kind in ("sh", "console")]
    blocks += [line.strip() for line in re.findall(r"^ {4}.*", prose(text), re.MULTILINE)]
    lines = [line.partition("  #")[0] for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(text))
    return [found[1].strip() for line in lines if (found := re.match(r"^(?:\S*/|\$ )?gongwen (.+)$", line))]


def _commands() -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(prefix: str, group: object) -> None:
        for name, one in getattr(group, "commands", {}).items():
            found[f"{prefix}{name}"] = one
            walk(f"{prefix}{name} ", one)

    walk("", typer.main.get_command(importlib.import_module("clients.main").app))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_commands_on_the_page_exist(name: str) -> None:
    known = _commands()
    for line in spoken_commands(name):
        words = shlex.split(line.replace("…", "").replace("...", ""))
        if words and words[0] == "--lang":
            words = words[2:]
        if not words or words[0] == "COMMAND" or line == RECORD:
            continue
        two = " ".join(words[:2])
        command = known.get(two) or known.get(words[0])
        assert command is not None, line
        if hasattr(command, "commands") and len(words) > 1:
            raise AssertionError(f"{name}: {line}")
        options = {one for parameter in command.params for one in parameter.opts + parameter.secondary_opts}
        for word in words:
            if word.startswith("--") and not hasattr(command, "commands"):
                assert word.partition("=")[0] in options | {"--help"}, line


def test_pages_name_commands_at_all() -> None:
    assert len(spoken_commands("README.md")) > 10


# --- tables that repeat the program ----------------------------------------------------------------


def test_vocabulary_has_every_event() -> None:
    table = rows("docs/vocabulary.md", "## Events")
    written = {(row[0], named(row[1])[0], row[4], row[5]) for row in table if len(row) > 5 and named(row[1])}
    assert written == {
        (event.number, event.wire, event.author.value, "yes" if event.needs_reason else "no")
        for event in Event
    }
    numbers = {row[0] for row in table if re.fullmatch(r"E\d\d", row[0])}
    assert numbers == {f"E{number:02}" for number in range(1, 27)}
    etsi = {named(row[1])[0] for row in table if len(row) > 5 and named(row[1]) and row[3] != "none"}
    assert etsi == {event.wire for event in Event if event.uri.startswith("http://uri.etsi.org/")}


def test_vocabulary_has_every_reason_code() -> None:
    written = {
        named(row[0])[0]: {number.strip() for number in row[2].split(",")}
        for row in rows("docs/vocabulary.md", "### Reason codes")
        if named(row[0])
    }
    assert written == {code: {event.number for event in events} for code, events in REASONS.items()}


def test_vocabulary_has_every_state_verdict_and_source_of_time() -> None:
    states = [named(row[0])[0] for row in rows("docs/vocabulary.md", "## States") if named(row[0])]
    assert states == [*(state.value for state in State), *(one.value for one in Aggregate)]
    words = {named(row[0])[0] for row in rows("docs/vocabulary.md", "## Verdicts") if named(row[0])}
    assert words == {one.value for one in (*Verdict, *TimeSource)}


def test_vocabulary_has_every_element_of_the_metadata() -> None:
    table = rows("docs/vocabulary.md", "## Metadata of a dispatch")
    assert len(table) == 18
    fields = {named(row[2])[0] for row in table}
    assert fields == {*Metadata.__dataclass_fields__, "dispatch_id", "recipients.main", "recipients.copy"}


def test_interface_page_has_every_route() -> None:
    written = {named(row[0])[0] for row in rows("docs/formats/http-api.md", "## Operations")}
    served = {f"{route.method} {route.path.replace(':.+', '')}" for route in ROUTES}
    assert written == served


def test_page_of_statuses_agrees_with_the_program() -> None:
    for row in rows("docs/formats/http-api.md", "## Statuses"):
        statuses = {int(one) for one in re.findall(r"\d{3}", row[0])}
        for code in named(row[2]):
            assert status_for(code) in statuses, code


def test_extra_that_a_hub_needs_is_named_as_it_is() -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert "hub" in extras
    assert "gongwen[hub]" in read("README.md")
