"""A full disk, a locked database, a broken row: nothing is kept, others go on, and it passes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event

from exchange.protocol.errors import StorageBusy, StorageFull, Unavailable
from exchange.protocol.events import Event
from exchange.protocol.identifiers import Digest, digest_of
from exchange.storage import contents as contents_module
from exchange.storage import tables as t
from exchange.storage.committer import Rows as PlainRows
from tests.worlds.hub import World
from tests.worlds.hub_checks import Rows


async def test_a_full_database_keeps_nothing_and_goes_on_when_there_is_room(world: World) -> None:
    letters = [await world.letter(main=list(world.units[1:])) for _ in range(60)]
    before = Rows(world)
    full = True

    def limit(raw: sqlite3.Connection, _entry: object) -> None:
        if full:
            raw.execute("PRAGMA max_page_count = 1")  # as many as there are

    event.listen(world.database.writer, "connect", limit)
    world.database.writer.dispose()
    accepted = []
    # What pages there are may still hold one or the other.
    with contextlib.suppress(StorageFull):
        for letter in letters:
            await world.submit(letter)
            accepted.append(letter)
    assert len(accepted) < len(letters)
    after = Rows(world)
    assert len(after["evidence"]) == len(before["evidence"]) + len(accepted)
    await world.check_everything()
    with pytest.raises(StorageFull):
        await asyncio.gather(*(world.submit(letter) for letter in letters[len(accepted) :]))
    await world.check_everything()
    assert world.committer.broken is None
    full = False
    world.database.writer.dispose()
    for letter in letters:
        await world.submit(letter)
    assert world.size == len(letters)
    await world.check_everything()


async def test_a_locked_database_is_busy_and_keeps_nothing(tmp_path: Path) -> None:
    async with World(tmp_path / "hub", busy_seconds=0.05) as world:
        letter = await world.letter()
        other = sqlite3.connect(world.sqlite, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StorageBusy):
                await world.submit(letter)
        assert world.size == 0
        # Reading goes on meanwhile.
        assert await world.records.accepted(letter.unit, letter.dispatch.dispatch_id) is None
        other.execute("ROLLBACK")
        other.close()
        assert not (await world.submit(letter)).repeated
        await world.check_everything()


async def test_a_database_that_is_free_again_in_time_is_waited_for(tmp_path: Path) -> None:
    async with World(tmp_path / "hub", busy_seconds=20) as world:
        letter = await world.letter()
        other = sqlite3.connect(world.sqlite, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(world.submit(letter))
        await asyncio.sleep(0.1)
        assert not task.done()
        other.execute("ROLLBACK")
        other.close()
        await task
        await world.check_everything()


async def test_a_row_that_the_database_refuses_harms_only_its_own(world: World) -> None:
    """A credential of a unit that is not there, in one batch with uploads and with what it is not about."""
    row = {
        "fingerprint": "sha256:" + 64 * "0",
        "unit": world.hub.unit,
        "purpose": "seal",
        "certificate": b"",
        "revoked_at": None,
    }
    digests = [digest_of(bytes([number])) for number in range(5)]
    results = await asyncio.gather(
        *(world.committer.grant(world.first.unit, digest, 1, at=world.clock()) for digest in digests[:3]),
        # As ``add`` does, but in the same moment as the others.
        world.committer._submit(PlainRows(t.credential, [row])),
        *(world.committer.grant(world.first.unit, digest, 1, at=world.clock()) for digest in digests[3:]),
        return_exceptions=True,
    )
    assert [isinstance(result, Unavailable) for result in results] == [False] * 3 + [True] + [False] * 2
    assert set(await world.records.granted(world.first.unit, digests)) == set(digests)
    await world.consign()
    await world.check_everything()


async def test_a_commit_that_raises_leaves_no_transaction_behind(world: World) -> None:
    """The next batch does not suffer for the last."""
    letter = await world.letter()
    world.fail_commit(False)
    with pytest.raises(Unavailable):
        await world.submit(letter)
    other = sqlite3.connect(world.sqlite, isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()
    await world.submit(letter)
    await world.check_everything()


# --- contents


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def files(world: World) -> list[Path]:
    return [path for path in (world.folder / "contents").rglob("*") if path.is_file()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
async def test_no_space_for_a_content_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(code, "no space")

    data = b"x" * 5000
    digest = digest_of(data)
    with monkeypatch.context() as patch:
        match where:
            case "write":
                patch.setattr(contents_module._Writer, "write", full)
            case "fsync":
                patch.setattr(os, "fsync", full)
            case _:
                patch.setattr(Path, "replace", full)
        with pytest.raises(StorageFull):
            await world.contents.write(world.first.unit, digest, once(data), offset=0, total=len(data))
    assert files(world) == []
    assert await world.contents.offset(world.first.unit, digest) is None
    assert await world.contents.size(digest) is None
    await world.upload(world.first.unit, data)
    assert await world.contents.size(digest) == len(data)


async def test_another_failure_of_the_disk_is_not_called_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EIO, "the disk")

    digest = digest_of(b"data")
    with monkeypatch.context() as patch:
        patch.setattr(contents_module._Writer, "write", broken)
        with pytest.raises(Unavailable) as error:
            await world.contents.write(world.first.unit, digest, once(b"data"), offset=0, total=4)
    assert not isinstance(error.value, StorageFull)
    assert "EIO" in str(error.value)


async def test_below_the_reserve_nothing_is_taken(tmp_path: Path) -> None:
    contents_module.LocalContents.create(tmp_path / "contents")
    greedy = contents_module.LocalContents(tmp_path / "contents", min_free_bytes=1 << 60)
    with pytest.raises(StorageFull):
        await greedy.write("unit", Digest("sha256:" + 64 * "0"), once(b"x"), offset=0, total=1)  # type: ignore[arg-type]
    with pytest.raises(StorageFull):
        greedy.check_writable()


async def test_a_grant_that_is_lost_costs_the_unit_a_repeat_and_nothing_else(world: World) -> None:
    world.fail_commit(False)
    with pytest.raises(Unavailable):
        await world.upload(world.first.unit, b"data")
    assert await world.records.granted(world.first.unit, [digest_of(b"data")]) == {}
    await world.upload(world.first.unit, b"data")
    assert await world.records.granted(world.first.unit, [digest_of(b"data")]) == {digest_of(b"data"): 4}
    await world.check_everything()


async def test_a_full_disk_does_not_stop_acts_for_ever(world: World) -> None:
    (one,) = await world.consign()
    world.fail_commit(False, error=None)
    with pytest.raises(Unavailable):
        await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()
