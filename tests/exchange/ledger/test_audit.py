"""The audit of a static ledger: what is proven, wrong, missing, unreachable."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exchange.ledger.audit import MAX_FINDINGS, AuditReport, Outcome, audit_ledger
from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.errors import (
    EntryMismatch,
    FileMissing,
    FileUnknown,
    LedgerError,
    LedgerFork,
    LedgerRollback,
    NoteUnsigned,
    QuorumUnmet,
    RootMismatch,
    SourceUnreachable,
    TileMismatch,
)
from exchange.ledger.merkle import EMPTY_ROOT
from exchange.ledger.note import KeyId, Signature, add_signatures
from exchange.ledger.policy import Policy
from tests.exchange.ledger.builders import (
    ORIGIN,
    VECTORS,
    Files,
    a_checkpoint,
    a_ledger,
    a_log,
    a_note,
    a_policy,
    entries_of,
    folder,
    one_byte_edits,
)

SMALL = a_ledger(entries_of(5))
MIDDLE = a_ledger(entries_of(300))
POLICY = a_policy()


def audit(files: dict[str, bytes], policy: Policy = POLICY) -> AuditReport:
    return audit_ledger(Files(files), policy)


def codes(report: AuditReport) -> list[tuple[str, str]]:
    return [(finding.path, finding.error.code) for finding in report.findings]


def edited(files: dict[str, bytes], path: str, edit: Callable[[bytes], bytes]) -> dict[str, bytes]:
    return {**files, path: edit(files[path])}


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513])
def test_good_ledger_is_proven(size: int) -> None:
    report = audit(a_ledger(entries_of(size)))
    assert report.outcome is Outcome.PROVEN
    assert report.findings == ()
    assert report.entries == size
    assert report.files == len(a_ledger(entries_of(size)))
    assert report.verified is not None
    assert report.root_of_tiles == report.root_of_entries == report.verified.checkpoint.root
    report.check()


def test_ledger_with_three_levels_is_proven() -> None:
    files = a_ledger([b""] * 65_537)
    assert audit(files).outcome is Outcome.PROVEN
    for path in ("tile/1/000", "tile/2/000.p/1"):
        report = audit(edited(files, path, flip(0)))
        assert codes(report) == [(path, "ledger-tile-mismatch")]
        del (gone := dict(files))[path]
        assert codes(audit(gone)) == [(path, "ledger-file-missing")]


def test_worked_example_is_proven() -> None:
    files = folder(VECTORS / "worked-example" / "log")
    assert audit(files, a_policy(witnesses=1, needed=1)).outcome is Outcome.PROVEN


def test_source_that_cannot_list_is_audited_by_name() -> None:
    source = Files({**MIDDLE, "extra": b""}, listed=False)
    assert audit_ledger(source, POLICY).outcome is Outcome.PROVEN
    assert sorted(source.reads) == sorted(MIDDLE)


def test_every_file_is_read_once() -> None:
    source = Files(MIDDLE)
    audit_ledger(source, POLICY)
    assert sorted(source.reads) == sorted(MIDDLE)


@pytest.mark.parametrize("path", SMALL)
def test_every_edit_of_every_file_of_a_small_ledger_is_found(path: str) -> None:
    data = SMALL[path]
    for name, changed in one_byte_edits(data):
        report = audit({**SMALL, path: changed})
        assert report.outcome is not Outcome.PROVEN, name
        assert report.outcome in (Outcome.WRONG, Outcome.INCOMPLETE)
        if path != "checkpoint":
            assert report.outcome is Outcome.WRONG, name
        with pytest.raises(LedgerError):
            report.check()


@pytest.mark.parametrize("path", MIDDLE)
def test_flips_across_every_file_of_a_larger_ledger_are_found(path: str) -> None:
    data = MIDDLE[path]
    for at in range(0, len(data), max(1, len(data) // 97)):
        assert audit(edited(MIDDLE, path, flip(at))).outcome is not Outcome.PROVEN


@pytest.mark.parametrize("path", MIDDLE)
@pytest.mark.parametrize(
    "edit",
    [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"", lambda data: data + data],
    ids=["truncated", "lengthened", "emptied", "doubled"],
)
def test_file_of_another_length_is_wrong(path: str, edit: Callable[[bytes], bytes]) -> None:
    report = audit(edited(MIDDLE, path, edit))
    assert report.outcome is Outcome.WRONG
    assert path in {finding.path for finding in report.findings}


@pytest.mark.parametrize("path", MIDDLE)
def test_missing_file_is_missing_and_nothing_is_wrong(path: str) -> None:
    files = dict(MIDDLE)
    del files[path]
    for listed in (True, False):
        report = audit_ledger(Files(files, listed=listed), POLICY)
        assert report.outcome is Outcome.INCOMPLETE
        assert codes(report) == [(path, "ledger-file-missing")]
        with pytest.raises(FileMissing):
            report.check()


@pytest.mark.parametrize(
    "path",
    [
        "readme",
        ".hidden",
        "checkpoint.1",
        "tile/0/000.p/255",
        "tile/0/001.p/43",
        "tile/0/001",
        "tile/0/x000/000",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
        "tile/entries/000.p/1",
        "tile/entries/002.p/1",
        "tile/data/000",
        "TILE/0/000",
        "tile/0/000 ",
    ],
)
def test_file_that_does_not_belong_is_refused(path: str) -> None:
    report = audit({**MIDDLE, path: b"x"})
    assert report.outcome is Outcome.WRONG
    assert codes(report) == [(path, "ledger-file-unknown")]
    with pytest.raises(FileUnknown):
        report.check()


def test_swapped_files_are_found() -> None:
    files = a_ledger([b"%d" % number for number in range(512)])
    for one, other in (
        ("tile/0/000", "tile/0/001"),
        ("tile/entries/000", "tile/entries/001"),
    ):
        swapped = {**files, one: files[other], other: files[one]}
        assert audit(swapped).outcome is Outcome.WRONG


def test_changed_entry_is_named() -> None:
    entries = entries_of(300)
    changed = a_ledger([*entries[:270], b"forged", *entries[271:]])
    path = "tile/entries/001.p/44"
    report = audit({**MIDDLE, path: changed[path]})
    assert codes(report) == [(path, "ledger-entry-mismatch"), ("checkpoint", "ledger-root-mismatch")]
    error = report.findings[0].error
    assert isinstance(error, EntryMismatch)
    assert error.index == 270
    assert report.entries == 299
    root = report.findings[1].error
    assert isinstance(root, RootMismatch)
    assert root.made_from == "entries"


def test_changed_leaf_hash_is_told_from_a_changed_entry() -> None:
    report = audit(edited(MIDDLE, "tile/0/000", flip(32 * 7)))
    assert codes(report) == [
        ("tile/entries/000", "ledger-entry-mismatch"),
        ("tile/1/000.p/1", "ledger-tile-mismatch"),
        ("checkpoint", "ledger-root-mismatch"),
    ]
    root = report.findings[-1].error
    assert isinstance(root, RootMismatch)
    assert root.made_from == "tiles"
    assert report.verified is not None
    assert report.root_of_entries == report.verified.checkpoint.root


def test_changed_upper_tile_is_named() -> None:
    files = a_ledger(entries_of(700))
    report = audit(edited(files, "tile/1/000.p/2", flip(33)))
    assert codes(report) == [("tile/1/000.p/2", "ledger-tile-mismatch")]
    error = report.findings[0].error
    assert isinstance(error, TileMismatch)
    assert error.place == 1


def test_forged_ledger_that_fits_together_does_not_fit_the_signature() -> None:
    forged = a_ledger([b"forged", *entries_of(300)[1:]])
    report = audit({**forged, "checkpoint": MIDDLE["checkpoint"]})
    assert codes(report) == [("checkpoint", "ledger-root-mismatch")] * 2
    assert report.entries == 300


def test_checkpoint_of_another_ledger_is_refused() -> None:
    other = a_note(a_checkpoint(entries_of(5), "other.example"))
    report = audit({**SMALL, "checkpoint": other})
    assert report.outcome is Outcome.INCOMPLETE
    assert report.verified is None
    with pytest.raises(NoteUnsigned):
        report.check()


def test_line_of_a_key_that_the_policy_does_not_name_is_refused() -> None:
    grease = Signature(KeyId("grease.example", b"abcd"), b"whatever")
    report = audit(edited(SMALL, "checkpoint", lambda note: add_signatures(note, [grease])))
    assert report.outcome is Outcome.WRONG
    assert codes(report) == [("checkpoint", "foreign-signature")]
    assert report.entries == 5
    cosigned = {**SMALL, "checkpoint": a_note(a_checkpoint(entries_of(5)), witnesses=1)}
    assert audit(cosigned).outcome is Outcome.WRONG
    assert audit(cosigned, a_policy(witnesses=1)).outcome is Outcome.PROVEN


def test_missing_quorum_is_missing() -> None:
    report = audit(SMALL, a_policy(witnesses=3, needed=2))
    assert report.outcome is Outcome.INCOMPLETE
    with pytest.raises(QuorumUnmet):
        report.check()


def test_signed_nonsense_is_wrong() -> None:
    for note in (b"", b"nonsense", a_log().sign(b"x")):
        assert audit({**SMALL, "checkpoint": note}).outcome is Outcome.WRONG


@pytest.mark.parametrize("path", MIDDLE)
def test_unreachable_file_is_neither_missing_nor_wrong(path: str) -> None:
    report = audit_ledger(Files(MIDDLE, broken=path), POLICY)
    assert report.outcome is Outcome.UNREACHABLE
    with pytest.raises(SourceUnreachable):
        report.check()


def test_what_was_found_before_the_connection_broke_counts() -> None:
    files = edited(MIDDLE, "tile/entries/000", flip(3))
    report = audit_ledger(Files(files, broken="tile/0/001.p/44"), POLICY)
    assert report.outcome is Outcome.WRONG
    assert [finding.outcome for finding in report.findings] == [Outcome.WRONG, Outcome.UNREACHABLE]


def test_earlier_checkpoints_are_prefixes() -> None:
    entries = entries_of(600)
    earlier = [a_checkpoint(entries[:size]) for size in (600, 0, 1, 255, 256, 257, 300, 300, 512, 599)]
    assert audit_ledger(Files(a_ledger(entries)), POLICY, earlier=earlier).outcome is Outcome.PROVEN


@pytest.mark.parametrize("size", [0, 1, 256, 300])
def test_earlier_checkpoint_with_another_root_is_a_fork(size: int) -> None:
    earlier = [Checkpoint(ORIGIN, size, bytes(32))]
    report = audit_ledger(Files(MIDDLE), POLICY, earlier=earlier)
    assert report.outcome is Outcome.WRONG
    with pytest.raises(LedgerFork):
        report.check()


def test_earlier_checkpoint_that_is_larger_is_a_rollback() -> None:
    report = audit_ledger(Files(MIDDLE), POLICY, earlier=[a_checkpoint(entries_of(301))])
    with pytest.raises(LedgerRollback):
        report.check()


def test_earlier_checkpoint_of_another_origin_is_refused() -> None:
    earlier = [Checkpoint("other.example", 0, EMPTY_ROOT)]
    report = audit_ledger(Files(SMALL), POLICY, earlier=earlier)
    assert codes(report) == [("checkpoint", "log-unknown")]


def test_progress_is_told_after_every_bundle() -> None:
    told: list[tuple[int, int]] = []
    audit_ledger(Files(a_ledger(entries_of(600))), POLICY, progress=lambda *step: told.append(step))
    assert told == [(256, 600), (512, 600), (600, 600)]


def test_lying_size_and_long_lists_do_not_make_us_work_for_ever() -> None:
    huge = a_note(Checkpoint(ORIGIN, 2**63 - 1, bytes(32)))
    report = audit({"checkpoint": huge})
    assert len(report.findings) == MAX_FINDINGS
    assert report.outcome is Outcome.INCOMPLETE
    many = {**SMALL, **{f"extra{number}": b"" for number in range(500)}}
    assert len(audit(many).findings) == MAX_FINDINGS


def test_forged_entries_are_listed_up_to_a_bound() -> None:
    forged = a_ledger([b"forged"] * 300)
    report = audit({**MIDDLE, "tile/entries/000": forged["tile/entries/000"]})
    assert len(report.findings) == MAX_FINDINGS
    assert report.outcome is Outcome.WRONG
