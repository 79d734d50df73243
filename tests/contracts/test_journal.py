"""What the signer's memory promises: never an older state, and damage is not taken for a torn end."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.ledger.checkpoint import decode_checkpoint
from exchange.ledger.errors import LeavesMissing, LedgerFork, LedgerRollback, StateMalformed
from exchange.ledger.merkle import Frontier, leaf_hash
from exchange.ledger.note import NoteSigner, decode_note
from exchange.ledger.signer import SignerState
from exchange.protocol.errors import Broken
from exchange.storage import signer as signer_module
from exchange.storage.signer import EmbeddedSigner, Journal

ORIGIN = "hub.example.gov/ledger/2026"
LEAVES = [leaf_hash(str(at).encode()) for at in range(40)]


def state(size: int) -> SignerState:
    return SignerState(ORIGIN, Frontier().extended(LEAVES[:size]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Journal.create(tmp_path / "journal", ORIGIN)
    return tmp_path / "journal"


def written(path: Path, *sizes: int) -> bytes:
    journal = Journal(path)
    for size in sizes:
        journal.append(state(size))
    return path.read_bytes()


def test_it_begins_empty_and_is_made_once(path: Path) -> None:
    assert Journal(path).state == SignerState(ORIGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Journal.create(path, ORIGIN)


def test_what_was_appended_is_there_when_it_is_opened_again(path: Path) -> None:
    written(path, 3, 7, 12)
    journal = Journal(path)
    assert journal.state == state(12)
    assert [journal.root_at(size) for size in (3, 7, 12)] == [state(size).root for size in (3, 7, 12)]
    assert journal.root_at(5) is None


def test_it_is_flushed_before_it_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)

    def broken(_handle: int) -> None:
        raise OSError(5, "the disk")

    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(Broken, match="the disk"):
            journal.append(state(3))
    assert journal.state == SignerState(ORIGIN)
    assert path.read_bytes() == before
    Journal(path).append(state(3))
    assert Journal(path).state == state(3)


def test_torn_anywhere_in_the_last_record_it_ends_before_it(path: Path) -> None:
    before = written(path, 3, 7)
    data = written(path, 12)
    for end in range(len(before), len(data)):
        path.write_bytes(data[:end])
        journal = Journal(path)
        assert journal.state == state(7)
        # What is torn is gone, so that the next record stands where it will be found.
        assert path.read_bytes() == before
        journal.append(state(20))
        assert Journal(path).state == state(20)


@pytest.mark.parametrize("mask", [0x01, 0x10, 0x80, 0xFF])
def test_no_changed_byte_is_taken_for_a_torn_end(path: Path, mask: int) -> None:
    """Every byte of a journal of three records; forgetting what was signed is the one thing it must not do."""
    data = written(path, 3, 7, 12)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= mask
        path.write_bytes(bytes(changed))
        with pytest.raises(StateMalformed):
            Journal(path)
        assert path.read_bytes() == bytes(changed)


def test_without_any_state_it_does_not_open(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(StateMalformed):
        Journal(path)


def test_something_else_at_its_end_is_damage(path: Path) -> None:
    data = written(path, 3)
    for tail in (b"\x00", b"\x00" * 100, b"gws2", b"x" * 500):
        path.write_bytes(data + tail)
        with pytest.raises(StateMalformed):
            Journal(path)


def test_a_long_journal_is_made_short_and_forgets_no_last_state(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(path, 3, 7, 12)
    monkeypatch.setattr(signer_module, "_COMPACT_ABOVE", 100)
    journal = Journal(path)
    assert journal.state == state(12)
    assert journal.root_at(12) == state(12).root
    assert path.stat().st_size < len(data)
    assert Journal(path).state == state(12)
    assert path.stat().st_mode & 0o777 == 0o600
    journal.append(state(13))
    assert Journal(path).state == state(13)


# --- the signer over it


@pytest.fixture
def key() -> NoteSigner:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    return NoteSigner(ORIGIN, private.public_key().public_bytes_raw(), private.sign)


async def test_signing_remembers_first_and_signs_the_same_bytes_again(path: Path, key: NoteSigner) -> None:
    signer = EmbeddedSigner(Journal(path), key)
    note = await signer.sign(leaves=LEAVES[:5], size=5, root=state(5).root)
    text, _ = decode_note(note)
    assert decode_checkpoint(text).size == 5
    assert Journal(path).state == state(5)
    await signer.sign(leaves=LEAVES[5:9], size=9, root=state(9).root)
    for again in (signer, EmbeddedSigner(Journal(path), key)):
        assert await again.sign(leaves=[], size=5, root=state(5).root) == note
        assert (await again.last()).size == 9


async def test_a_head_that_contradicts_what_was_signed_is_not_signed(path: Path, key: NoteSigner) -> None:
    signer = EmbeddedSigner(Journal(path), key)
    await signer.sign(leaves=LEAVES[:5], size=5, root=state(5).root)
    await signer.sign(leaves=LEAVES[5:9], size=9, root=state(9).root)
    before = Journal(path).state
    for error, leaves, size, root in (
        (LedgerFork, LEAVES[:9], 9, state(8).root),
        (LedgerFork, LEAVES[:5], 5, state(9).root),
        (LedgerRollback, LEAVES[:7], 7, state(7).root),
        (LedgerFork, LEAVES[9:12], 12, state(11).root),
        (LedgerFork, LEAVES[10:13], 12, state(12).root),
        (LeavesMissing, LEAVES[9:11], 12, state(12).root),
    ):
        with pytest.raises(error):
            await signer.sign(leaves=leaves, size=size, root=root)
    assert Journal(path).state == before


async def test_what_cannot_be_remembered_is_not_signed(
    path: Path, key: NoteSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = EmbeddedSigner(Journal(path), key)

    def refused(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refused)
        with pytest.raises(Broken, match="no space"):
            await signer.sign(leaves=LEAVES[:5], size=5, root=state(5).root)
    assert (await signer.last()).size == 0
    await signer.sign(leaves=LEAVES[:5], size=5, root=state(5).root)


def test_a_disk_that_takes_no_more_keeps_the_journal_as_it_was(path: Path) -> None:
    journal = Journal(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(state(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    journal.append(state(3))
    assert Journal(path).state == state(3)
