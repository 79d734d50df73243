"""What the content store promises: ports ``Contents`` and what uploading relies on.

Run over every implementation in ``STORES``; there is one so far.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exchange.journey.ports import Contents
from exchange.protocol.errors import ContentMismatch, NotFound, Overloaded, Unavailable
from exchange.protocol.identifiers import Digest, digest_of
from exchange.storage.contents import CHUNK, LocalContents, OffsetMismatch, sync_folder
from pki.names import UnitId
from tests.worlds.pki import a_unit_id

ONE, OTHER = a_unit_id(1), a_unit_id(2)
SMALL = b"a small content"
LARGE = bytes(range(256)) * (3 * CHUNK // 256) + b"and a bit"


def local(folder: Path) -> LocalContents:
    LocalContents.create(folder / "contents")
    return LocalContents(folder / "contents")


STORES: dict[str, Callable[[Path], LocalContents]] = {"local": local}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LocalContents:
    return STORES[request.param](tmp_path)


async def pieces(
    data: bytes, size: int = 70_000, *, then: BaseException | None = None
) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(0)
    if then is not None:
        raise then


async def put(store: LocalContents, data: bytes, unit: UnitId = ONE, *, size: int = 70_000) -> bool:
    return await store.write(unit, digest_of(data), pieces(data, size), offset=0, total=len(data))


async def read(store: Contents, digest: Digest, *, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(digest, start=start, end=end)])


@pytest.mark.parametrize(
    "data", [SMALL, LARGE, LARGE[:CHUNK], LARGE[: CHUNK - 1], LARGE[: CHUNK + 1]], ids=len
)
async def test_whole(store: LocalContents, data: bytes) -> None:
    digest = digest_of(data)
    assert await store.size(digest) is None
    assert await put(store, data)
    assert await store.size(digest) == len(data)
    assert await store.offset(ONE, digest) is None
    assert await read(store, digest) == data
    assert store.path(digest).read_bytes() == data


async def test_chunks_that_are_read_are_never_large(store: LocalContents) -> None:
    await put(store, LARGE)
    sizes = [len(chunk) async for chunk in store.read(digest_of(LARGE))]
    assert max(sizes) <= CHUNK


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 9), (0, 15), (14, 15), (3, 3), (0, 99), (15, None)])
async def test_parts_are_read(store: LocalContents, start: int, end: int | None) -> None:
    await put(store, SMALL)
    assert await read(store, digest_of(SMALL), start=start, end=end) == SMALL[start:end]


async def test_what_is_not_here_is_not_found(store: LocalContents) -> None:
    with pytest.raises(NotFound):
        await read(store, digest_of(b"nowhere"))


async def test_an_unfinished_upload_is_not_there_for_readers(store: LocalContents) -> None:
    digest = digest_of(SMALL)
    assert not await store.write(ONE, digest, pieces(SMALL[:5]), offset=0, total=len(SMALL))
    assert await store.size(digest) is None
    assert await store.offset(ONE, digest) == 5
    with pytest.raises(NotFound):
        await read(store, digest)


@pytest.mark.parametrize("cut", [1, 5, len(SMALL) - 1, len(SMALL)])
async def test_resumed(store: LocalContents, cut: int) -> None:
    digest = digest_of(SMALL)
    whole = await store.write(ONE, digest, pieces(SMALL[:cut]), offset=0, total=len(SMALL))
    assert whole == (cut == len(SMALL))
    if not whole:
        assert await store.write(ONE, digest, pieces(SMALL[cut:]), offset=cut, total=len(SMALL))
    assert await read(store, digest) == SMALL


async def test_resumed_in_many_parts_by_a_new_store_each_time(tmp_path: Path) -> None:
    """Nothing about an upload is remembered in memory only."""
    store = local(tmp_path)
    digest, at = digest_of(LARGE), 0
    while at < len(LARGE):
        store = LocalContents(tmp_path / "contents")
        step = LARGE[at : at + CHUNK // 2 + 17]
        whole = await store.write(ONE, digest, pieces(step), offset=at, total=len(LARGE))
        at += len(step)
        assert whole == (at == len(LARGE))
    assert await read(store, digest) == LARGE


@pytest.mark.parametrize("claimed", [1, 4, 6, 14])
async def test_an_offset_that_does_not_fit_changes_nothing(store: LocalContents, claimed: int) -> None:
    digest = digest_of(SMALL)
    await store.write(ONE, digest, pieces(SMALL[:5]), offset=0, total=len(SMALL))
    with pytest.raises(OffsetMismatch) as mismatch:
        await store.write(ONE, digest, pieces(SMALL[claimed:]), offset=claimed, total=len(SMALL))
    assert mismatch.value.offset == await store.offset(ONE, digest) == 5
    assert await store.write(ONE, digest, pieces(SMALL[5:]), offset=5, total=len(SMALL))


async def test_an_offset_without_a_beginning_makes_no_beginning(store: LocalContents) -> None:
    digest = digest_of(SMALL)
    with pytest.raises(OffsetMismatch) as mismatch:
        await store.write(ONE, digest, pieces(SMALL[3:]), offset=3, total=len(SMALL))
    assert mismatch.value.offset == 0
    assert await store.offset(ONE, digest) is None


async def test_beginning_anew_is_always_allowed(store: LocalContents) -> None:
    digest = digest_of(SMALL)
    await store.write(ONE, digest, pieces(b"wrong"), offset=0, total=len(SMALL))
    assert await put(store, SMALL)
    assert await read(store, digest) == SMALL


@pytest.mark.parametrize("at", [0, 7], ids=["at-once", "resumed"])
async def test_a_wrong_digest_leaves_nothing(store: LocalContents, at: int) -> None:
    digest = digest_of(SMALL)
    wrong = SMALL[:-1] + b"!"
    if at:
        await store.write(ONE, digest, pieces(wrong[:at]), offset=0, total=len(SMALL))
    with pytest.raises(ContentMismatch):
        await store.write(ONE, digest, pieces(wrong[at:]), offset=at, total=len(SMALL))
    assert await store.size(digest) is None
    assert await store.size(digest_of(wrong)) is None
    assert await store.offset(ONE, digest) is None
    assert await put(store, SMALL)


@pytest.mark.parametrize("data", [SMALL + b"!", SMALL + LARGE], ids=len)
async def test_more_than_announced_leaves_nothing(store: LocalContents, data: bytes) -> None:
    digest = digest_of(SMALL)
    with pytest.raises(ContentMismatch):
        await store.write(ONE, digest, pieces(data), offset=0, total=len(SMALL))
    assert await store.size(digest) is None
    assert await store.offset(ONE, digest) is None


@pytest.mark.parametrize("sent", [5, CHUNK // 2, CHUNK + 123])
@pytest.mark.parametrize(
    "broken",
    [ConnectionResetError(104, "reset"), RuntimeError("the caller"), asyncio.CancelledError()],
    ids=repr,
)
async def test_what_came_before_the_connection_broke_is_kept(
    store: LocalContents, sent: int, broken: BaseException
) -> None:
    digest = digest_of(LARGE)
    with pytest.raises((Unavailable, RuntimeError, asyncio.CancelledError)):
        await store.write(ONE, digest, pieces(LARGE[:sent], then=broken), offset=0, total=len(LARGE))
    assert await store.offset(ONE, digest) == sent
    assert await store.write(ONE, digest, pieces(LARGE[sent:]), offset=sent, total=len(LARGE))
    assert await read(store, digest) == LARGE


@pytest.mark.parametrize("after", [0.0, 0.001, 0.004, 0.01, 0.02])
async def test_a_cancelled_upload_can_go_on(store: LocalContents, after: float) -> None:
    """Wherever it is cut off: what is kept is a beginning of the content, and nothing twice."""
    digest = digest_of(LARGE)
    task = asyncio.create_task(put(store, LARGE, size=CHUNK // 3))
    await asyncio.sleep(after)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # A thread that was under way ends by itself.
    await asyncio.sleep(0.05)
    if await store.size(digest) is None:
        at = await store.offset(ONE, digest) or 0
        assert at <= len(LARGE)
        assert await store.write(ONE, digest, pieces(LARGE[at:]), offset=at, total=len(LARGE))
    assert await read(store, digest) == LARGE


async def test_uploads_of_two_units_do_not_touch_each_other(store: LocalContents) -> None:
    digest = digest_of(SMALL)
    await store.write(ONE, digest, pieces(SMALL[:5]), offset=0, total=len(SMALL))
    assert await store.offset(OTHER, digest) is None
    await store.write(OTHER, digest, pieces(SMALL[:9]), offset=0, total=len(SMALL))
    assert await store.offset(ONE, digest) == 5
    assert await store.write(OTHER, digest, pieces(SMALL[9:]), offset=9, total=len(SMALL))
    # The store knows the content now; the first unit's upload goes on all the same.
    assert await store.offset(ONE, digest) == 5
    assert await store.write(ONE, digest, pieces(SMALL[5:]), offset=5, total=len(SMALL))
    assert await read(store, digest) == SMALL


async def test_the_same_content_of_many_units_at_once_is_stored_once(store: LocalContents) -> None:
    units = [a_unit_id(at) for at in range(8)]
    assert await asyncio.gather(*(put(store, LARGE, unit) for unit in units)) == 8 * [True]
    assert await read(store, digest_of(LARGE)) == LARGE
    assert await asyncio.gather(*(store.offset(unit, digest_of(LARGE)) for unit in units)) == 8 * [None]


async def test_the_same_content_of_one_unit_at_once_is_taken_once(store: LocalContents) -> None:
    results = await asyncio.gather(*(put(store, LARGE) for _ in range(4)), return_exceptions=True)
    assert [result for result in results if not isinstance(result, Overloaded)] == [True]
    assert await read(store, digest_of(LARGE)) == LARGE


async def test_many_contents_at_once(store: LocalContents) -> None:
    contents = [str(at).encode() * 1000 for at in range(1, 60)]
    await asyncio.gather(*(put(store, data) for data in contents))
    for data in contents:
        assert await read(store, digest_of(data)) == data


async def test_discarding_forgets_an_unfinished_upload_and_nothing_else(store: LocalContents) -> None:
    await put(store, SMALL)
    digest = digest_of(LARGE)
    await store.write(ONE, digest, pieces(LARGE[:100]), offset=0, total=len(LARGE))
    await store.discard(ONE, digest)
    await store.discard(ONE, digest)
    await store.discard(ONE, digest_of(SMALL))
    assert await store.offset(ONE, digest) is None
    assert await store.size(digest_of(SMALL)) == len(SMALL)


# --- of the local store only: files, and what is flushed when


async def test_a_name_is_given_only_to_what_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content first, then its name, then the folder; and the folder of the folder where that is new."""
    store = local(tmp_path)
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(handle: int) -> None:
        done.append(f"fsync {_kind(handle)}")
        fsync(handle)

    def watched_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    await put(store, SMALL)
    folder = digest_of(SMALL).removeprefix("sha256:")[:2]
    assert done == ["fsync file", "fsync objects", "rename", f"fsync {folder}"]
    # A new process does not know whether the folder's own name had reached the disk.
    done.clear()
    await put(LocalContents(tmp_path / "contents"), SMALL)
    assert done == ["fsync file", "fsync objects", "rename", f"fsync {folder}"]


def _kind(handle: int) -> str:
    path = Path(f"/proc/self/fd/{handle}").resolve()
    return path.name if path.is_dir() else "file"


async def test_files_are_for_the_hub_alone(tmp_path: Path) -> None:
    store = local(tmp_path)
    await put(store, SMALL)
    assert (tmp_path / "contents" / "objects").stat().st_mode & 0o077 == 0
    assert (tmp_path / "contents" / "partial").stat().st_mode & 0o077 == 0


async def test_names_hold_no_unit_and_no_path(tmp_path: Path) -> None:
    store = local(tmp_path)
    unit = UnitId(f"{ONE}/办公室")
    await store.write(unit, digest_of(SMALL), pieces(SMALL[:3]), offset=0, total=len(SMALL))
    names = [path.name for path in (tmp_path / "contents" / "partial").rglob("*")]
    assert len(names) == 2
    assert all(set(name) <= set("0123456789abcdef") for name in names)


def test_a_store_is_made_once(tmp_path: Path) -> None:
    local(tmp_path)
    with pytest.raises(FileExistsError):
        LocalContents.create(tmp_path / "contents")


def test_a_healthy_store_is_writable_and_leaves_no_trace(tmp_path: Path) -> None:
    store = local(tmp_path)
    store.check_writable()
    assert [path for path in (tmp_path / "contents").rglob("*") if path.is_file()] == []
    sync_folder(tmp_path)


def test_the_digest_in_the_name_is_sha256(tmp_path: Path) -> None:
    assert local(tmp_path).path(digest_of(SMALL)).name == hashlib.sha256(SMALL).hexdigest()
