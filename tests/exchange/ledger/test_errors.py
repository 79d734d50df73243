"""Every error has a code of its own, a sentence, and somebody who can mend it."""

from __future__ import annotations

import inspect
import re

from exchange.ledger import errors
from exchange.ledger.errors import LedgerError, LedgerFork, PolicyMalformed

CLASSES = [
    item
    for _, item in inspect.getmembers(errors, inspect.isclass)
    if issubclass(item, LedgerError) and item.__module__ == errors.__name__
]


def test_codes_are_kebab_case_and_not_shared() -> None:
    codes = [item.code for item in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_menders_are_those_of_the_project() -> None:
    assert {item.mender for item in CLASSES} <= {"sender", "operator", "nobody"}


def test_every_error_stands_in_the_tree_at_the_top() -> None:
    assert errors.__doc__ is not None
    for item in CLASSES:
        assert re.search(rf"\b{item.__name__}\b", errors.__doc__), item.__name__


def test_sentence_and_values_are_kept_apart() -> None:
    error = PolicyMalformed(line=3, detail="a control character")
    assert error.fields == (("line", "3"), ("detail", "a control character"))
    assert str(error) == "not a ledger policy (line 3): a control character"
    assert error.template.format(**dict(error.fields)) == str(error)


def test_values_for_reports_are_attributes() -> None:
    error = LedgerFork(size=3, ours=b"\1" * 32, theirs=b"\2" * 32)
    assert (error.size, error.ours, error.theirs) == (3, b"\1" * 32, b"\2" * 32)
    assert "0101" in str(error)
