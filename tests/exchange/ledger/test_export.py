"""Static folders made from entries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exchange.ledger.errors import BundleMalformed, LeavesMissing, LedgerFork
from exchange.ledger.export import export_files
from exchange.ledger.note import KeyId, Signature, add_signatures
from exchange.ledger.tiles import paths_of_size
from tests.exchange.ledger.builders import (
    VECTORS,
    a_checkpoint,
    a_ledger,
    a_log,
    a_note,
    a_policy,
    entries_of,
    folder,
)


def test_worked_example() -> None:
    expected = folder(VECTORS / "worked-example" / "log")
    verified = a_policy(witnesses=1, needed=1).check(expected["checkpoint"])
    assert dict(export_files([b"alpha", b"beta", b"gamma"], verified)) == expected
    assert a_log().name == verified.checkpoint.origin


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 512, 700])
def test_exactly_the_files_of_the_layout_and_the_checkpoint_last(size: int) -> None:
    entries = entries_of(size)
    verified = a_policy().check(a_note(a_checkpoint(entries)))
    paths = [path for path, _ in export_files(entries, verified)]
    assert sorted(paths) == sorted(paths_of_size(size))
    assert paths[-1] == "checkpoint"


def test_upper_tiles_of_a_larger_ledger() -> None:
    entries = [b""] * 65_537
    verified = a_policy().check(a_note(a_checkpoint(entries)))
    paths = [path for path, _ in export_files(entries, verified)]
    assert sorted(paths) == sorted(paths_of_size(65_537))
    assert {"tile/1/000", "tile/2/000.p/1", "tile/0/256.p/1"} <= set(paths)


def test_entries_beyond_the_checkpoint_are_left() -> None:
    entries = entries_of(10)
    verified = a_policy().check(a_note(a_checkpoint(entries[:7])))
    stream = iter(entries)
    assert dict(export_files(stream, verified)) == a_ledger(entries[:7])
    assert list(stream) == entries[7:]


def test_missing_or_other_entries_yield_no_checkpoint() -> None:
    entries = entries_of(300)
    verified = a_policy().check(a_note(a_checkpoint(entries)))
    for given, error in (
        (entries[:299], LeavesMissing),
        ([], LeavesMissing),
        ([*entries[:299], b"x"], LedgerFork),
        ([b"x", *entries[1:]], LedgerFork),
        ([*entries[:299], bytes(65_536)], BundleMalformed),
    ):
        paths: list[str] = []

        def write(files: Iterator[tuple[str, bytes]], paths: list[str] = paths) -> None:
            paths.extend(path for path, _ in files)

        with pytest.raises(error):
            write(export_files(given, verified))
        assert "checkpoint" not in paths


def test_lines_of_unknown_keys_are_not_exported() -> None:
    grease = Signature(KeyId("grease.example", b"abcd"), b"whatever")
    note = a_note(a_checkpoint([b"a"]))
    files = dict(export_files([b"a"], a_policy().check(add_signatures(note, [grease]))))
    assert files["checkpoint"] == note
