"""What a hub finds at its start: whole, and it goes on; anything else, and a person has to look."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.ledger.errors import StateMalformed
from exchange.protocol.errors import Broken, Unavailable
from exchange.storage.signer import Journal
from exchange.storage.views import EvidenceRecord
from tests.worlds.hub import LEDGER, World

Damage = Callable[[sqlite3.Connection], None]
LARGE = 520
"""Entries: two full tiles and a part, so that there are nodes above the leaves."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped hub with a ledger of 520 entries; tests take copies."""
    folder = tmp_path_factory.mktemp("large") / "hub"

    async def make() -> None:
        async with World(folder) as world:
            letters = [await world.letter(main=list(world.units[1:]), copy=[world.first]) for _ in range(104)]
            for start in range(0, len(letters), 20):
                await asyncio.gather(*(world.submit(letter) for letter in letters[start : start + 20]))
            while await world.deliver():
                pass
            assert world.size == LARGE

    asyncio.run(make())
    return folder


@pytest.fixture
def stopped(large: Path, tmp_path: Path) -> World:
    """A copy of it, not started."""
    folder = tmp_path / "hub"
    shutil.copytree(large, folder)
    return World(folder)


async def refused_at_start(world: World) -> str:
    with pytest.raises(Broken) as broken:
        await world.start()
    return str(broken.value)


def change(world: World, *statements: str) -> None:
    with sqlite3.connect(world.sqlite) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


async def test_a_large_ledger_starts_and_goes_on(stopped: World) -> None:
    await stopped.start()
    assert stopped.size == LARGE
    await stopped.consign()
    await stopped.restart()
    await stopped.check_everything()
    await stopped.stop()


async def test_across_a_tile_the_receipts_stay_the_same(stopped: World) -> None:
    await stopped.start()
    before = {
        row: await stopped.records.receipt(row)
        for row in [one.evidence_id for one in await _some_evidence(stopped)]
    }
    assert len(before) > 3
    # Over the edge of the third tile.
    letters = [await stopped.letter(main=list(stopped.units[1:]), copy=[stopped.first]) for _ in range(60)]
    await asyncio.gather(*(stopped.submit(letter) for letter in letters))
    while await stopped.deliver():
        pass
    assert stopped.size == LARGE + 300
    for evidence_id, receipt in before.items():
        assert await stopped.records.receipt(evidence_id) == receipt
    await stopped.restart()
    for evidence_id, receipt in before.items():
        assert await stopped.records.receipt(evidence_id) == receipt
    await stopped.stop()


async def _some_evidence(world: World) -> list[EvidenceRecord]:
    found, _ = await world.records.outbox(world.first.unit, before=None, state=None, limit=2)
    return [
        one
        for record in found
        for one in await world.records.evidence_of(world.first.unit, record.kept.dispatch.dispatch_id)
    ]


DAMAGE: dict[str, tuple[str, ...]] = {
    "entry-body-edited": (
        "UPDATE ledger_entry SET body = CAST(replace(CAST(body AS TEXT), '\"v\":1', '\"v\":2') AS BLOB) "
        "WHERE idx = 519",
    ),
    "entry-body-made-text": ("UPDATE ledger_entry SET body = CAST(body AS TEXT) WHERE idx = 519",),
    "leaf-edited": ("UPDATE ledger_entry SET leaf = randomblob(32) WHERE idx = 519",),
    "leaf-cut": ("UPDATE ledger_entry SET leaf = substr(leaf, 1, 31) WHERE idx = 519",),
    "leaf-of-a-full-tile-of-the-last-256-edited": (
        "UPDATE ledger_entry SET leaf = randomblob(32) WHERE idx = 300",
    ),
    "entry-and-leaf-exchanged": (
        "UPDATE ledger_entry SET idx = -1 WHERE idx = 518",
        "UPDATE ledger_entry SET idx = 518 WHERE idx = 519",
        "UPDATE ledger_entry SET idx = 519 WHERE idx = -1",
    ),
    "entry-missing-at-the-end": ("DELETE FROM ledger_entry WHERE idx = 519",),
    "entry-missing-in-the-last-256": ("DELETE FROM ledger_entry WHERE idx = 400",),
    "entry-too-many": (
        "INSERT INTO ledger_entry SELECT ledger, 520, leaf, body FROM ledger_entry WHERE idx = 519",
    ),
    "node-missing": ("DELETE FROM ledger_node WHERE n = 0",),
    "node-edited": ("UPDATE ledger_node SET hash = randomblob(32) WHERE n = 1",),
    "node-cut": ("UPDATE ledger_node SET hash = x'00' WHERE n = 1",),
    "state-root-edited": ("UPDATE ledger_state SET root = randomblob(32)",),
    "state-size-smaller": ("UPDATE ledger_state SET size = 519",),
    "state-size-larger": ("UPDATE ledger_state SET size = 521",),
    "state-frontier-edited": ("UPDATE ledger_state SET frontier = randomblob(length(frontier))",),
    "state-frontier-cut": ("UPDATE ledger_state SET frontier = substr(frontier, 2)",),
    "state-time-malformed": ("UPDATE ledger_state SET at = 'yesterday'",),
    "state-missing": ("DELETE FROM ledger_state",),
    "ledger-of-another-name": ("UPDATE ledger_state SET ledger = 'other.example.gov/ledger/2026'",),
    "unsigned-boundary-of-another-root": (
        "UPDATE ledger_checkpoint SET note = NULL, root = randomblob(32) WHERE size = 520",
    ),
    "unsigned-boundary-that-never-was": (
        "INSERT INTO ledger_checkpoint SELECT ledger, 519, root, at, NULL FROM ledger_checkpoint WHERE size = 520",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_a_damaged_database_is_not_written_to(stopped: World, name: str) -> None:
    change(stopped, *DAMAGE[name])
    before = stopped.journal.read_bytes()
    await refused_at_start(stopped)
    assert stopped.journal.read_bytes() == before


@pytest.mark.parametrize("write_after", [False, True], ids=["as-it-was", "grown-again"])
async def test_an_older_database_is_noticed(world: World, write_after: bool) -> None:
    """Restored from a backup while the signer went on: the signer knows more."""
    await world.consign()
    await world.stop()
    backup = world.sqlite.read_bytes()
    await world.start()
    await world.consign()
    await world.stop()
    world.sqlite.write_bytes(backup)
    if write_after:
        # With a new signer somebody writes another history of the same length.
        journal = world.journal.read_bytes()
        await _with_a_fresh_journal(world)
        await world.consign(main=[world.third])
        await world.stop()
        world.journal.write_bytes(journal)
    said = await refused_at_start(world)
    assert write_after or "rolled back" in said
    await _reopen_for_teardown(world)


async def _with_a_fresh_journal(world: World) -> None:
    world.journal.unlink()
    Journal.create(world.journal, LEDGER)
    # The entries are all there: a signer that knows nothing signs them all anew.
    change(world, "UPDATE ledger_checkpoint SET note = NULL")
    await world.start()


async def _reopen_for_teardown(world: World) -> None:
    """The fixture stops what it started; there is nothing left to stop here."""

    async def nothing() -> None:
        return None

    world.stop = nothing  # type: ignore[method-assign]


async def test_a_database_ahead_of_the_signer_is_signed(world: World) -> None:
    """The signer's last record never reached its disk: what is committed is there, and is signed now."""
    await world.consign()
    before = world.journal.read_bytes()
    await world.consign()
    await world.crash()
    world.journal.write_bytes(before)
    await world.start()
    await world.check_everything()


@pytest.mark.parametrize("cut", [1, 2, 17, 39, 60])
async def test_a_torn_end_of_the_journal_is_no_damage(world: World, cut: int) -> None:
    await world.consign()
    await world.consign()
    await world.crash()
    data = world.journal.read_bytes()
    world.journal.write_bytes(data[:-cut])
    await world.start()
    await world.consign()
    await world.check_everything()


async def test_a_damaged_journal_is_not_written_to(world: World) -> None:
    await world.consign()
    await world.crash()
    data = bytearray(world.journal.read_bytes())
    data[60] ^= 1
    world.journal.write_bytes(bytes(data))
    with pytest.raises(StateMalformed):
        await world.start()
    assert world.journal.read_bytes() == bytes(data)
    await _reopen_for_teardown(world)


async def test_another_writer_is_noticed_and_stops_us(world: World) -> None:
    await world.consign()
    letter = await world.letter()
    change(world, "UPDATE ledger_state SET epoch = epoch + 1")
    with pytest.raises(Broken):
        await world.submit(letter)
    assert world.committer.broken is not None
    assert world.committer.stopped.is_set()
    with pytest.raises(Broken):
        await world.committer.grant(world.first.unit, letter.dispatch.contents.digest, 1, at=world.clock.now)
    size = world.files.fresh_notes
    await world.restart()
    assert max(world.files.fresh_notes, default=0) <= max(size, default=0)
    await world.submit(letter)
    await world.check_everything()


async def test_a_fork_at_the_signer_stops_the_writer(world: World) -> None:
    """Entries rewritten under a running hub cannot be signed, only noticed."""
    await world.consign()
    letter = await world.letter()
    tree = world.committer._tree
    tree.extend([bytes(32)])
    change(world, f"UPDATE ledger_state SET size = {tree.size}, root = x'{tree.root.hex()}'")
    with pytest.raises((Broken, Unavailable)):
        await world.submit(letter)
    assert world.committer.broken is not None
    await world.crash()
    await refused_at_start(world)
    await _reopen_for_teardown(world)
