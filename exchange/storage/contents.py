"""The local content store: files under their digest, written once, durable before they are named.

    contents/objects/9f/9f86d081…          complete, never changed again
    contents/partial/<unit>/9f86d081…      an upload of one unit that goes on later

Bytes arrive in the unit's own partial file, are hashed and flushed there, and only
then renamed; the folder is flushed after the rename. So a name under ``objects``
is always a whole, right, durable content. Which unit may see it is not known here
(the grants are rows). Our own store because the usual libraries do not flush the
folder (DESIGN §8).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from exchange.protocol.errors import ContentMismatch, NotFound, Overloaded, Rejected, StorageFull, Unavailable
from exchange.protocol.identifiers import Digest
from pki.names import UnitId
from pki.text import N_

CHUNK: Final = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OffsetMismatch(Rejected):
    """The upload goes on elsewhere; ask where with HEAD."""

    code = "upload-offset-mismatch"
    template = N_("the upload continues at {offset}, not at {claimed}")

    def __init__(self, *, offset: int, claimed: int) -> None:
        self.offset = offset
        super().__init__(offset=offset, claimed=claimed)


class UploadTruncated(Rejected):
    """Fewer bytes came than were announced; what came is kept for going on."""

    code = "upload-truncated"
    template = N_("only {received} of {announced} bytes arrived; continue from there")


class LocalContents:
    """The store in one folder of this machine. Port :class:`exchange.journey.ports.Contents`."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self._objects = root / "objects"
        self._partial = root / "partial"
        self._min_free = min_free_bytes
        self._busy: set[Path] = set()
        self._durable: set[Path] = set()
        """Folders whose own name is known to be durable."""

    @staticmethod
    def create(root: Path) -> None:
        """Make the folders of an empty store. Done once, by ``gongwen hub init``."""
        for folder in (root / "objects", root / "partial"):
            folder.mkdir(parents=True, mode=0o700)

    def path(self, digest: Digest) -> Path:
        """Where the complete content stands, or would stand."""
        name = digest.removeprefix("sha256:")
        return self._objects / name[:2] / name

    def _partial_path(self, unit: UnitId, digest: Digest) -> Path:
        folder = hashlib.sha256(unit.encode()).hexdigest()[:32]
        return self._partial / folder / digest.removeprefix("sha256:")

    async def size(self, digest: Digest) -> int | None:
        """Size of a complete content; None when it is not here."""
        return await asyncio.to_thread(_size, self.path(digest))

    async def offset(self, unit: UnitId, digest: Digest) -> int | None:
        """How far this unit's unfinished upload has come; None when there is none."""
        return await asyncio.to_thread(_size, self._partial_path(unit, digest))

    async def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from start to before end, in chunks of at most 1 MiB."""
        try:
            file = await asyncio.to_thread(self.path(digest).open, "rb")
        except FileNotFoundError:
            raise NotFound(what="content") from None
        try:
            await asyncio.to_thread(file.seek, start)
            left = None if end is None else end - start
            while left is None or left > 0:
                chunk = await asyncio.to_thread(file.read, CHUNK if left is None else min(CHUNK, left))
                if not chunk:
                    return
                if left is not None:
                    left -= len(chunk)
                yield chunk
        finally:
            file.close()

    async def write(
        self, unit: UnitId, digest: Digest, chunks: AsyncIterator[bytes], *, offset: int, total: int
    ) -> bool:
        """Take bytes from ``offset`` on; True when the content is complete, right and durable.

        Memory does not grow with the content. A broken connection leaves the
        bytes that came, so that the unit can go on from there.

        Raises:
            OffsetMismatch: the unfinished upload has another length.
            ContentMismatch: complete, but not of that digest, or longer than announced; nothing is kept.
            StorageFull: nothing is kept.
            Overloaded: another request uploads the same content for the same unit.
        """
        partial = self._partial_path(unit, digest)
        async with self._alone(partial):
            with _disk_errors(partial):
                await asyncio.to_thread(self._check_space, total - offset)
                return await self._append(partial, digest, chunks, offset=offset, total=total)

    async def _append(
        self, partial: Path, digest: Digest, chunks: AsyncIterator[bytes], *, offset: int, total: int
    ) -> bool:
        writer = await asyncio.to_thread(_Writer, partial, offset)
        buffer = bytearray()
        try:
            async for chunk in _arriving(chunks):
                if writer.size + len(buffer) + len(chunk) > total:
                    buffer.clear()
                    await asyncio.to_thread(writer.discard)
                    raise ContentMismatch(detail=f"more than the announced {total} bytes arrived")
                buffer += chunk
                if len(buffer) >= CHUNK:
                    await asyncio.to_thread(writer.write, _taken(buffer))
            await asyncio.to_thread(writer.finish, _taken(buffer))
        except BaseException:
            # At most 1 MiB and into the page cache only; a thread could not be awaited in a cancelled task.
            writer.close(_taken(buffer))
            raise
        if writer.size < total:
            return False
        if await asyncio.to_thread(writer.digest) != digest:
            await asyncio.to_thread(partial.unlink, missing_ok=True)
            raise ContentMismatch(detail=f"the {total} bytes that arrived have another digest")
        await asyncio.to_thread(self._publish, partial, self.path(digest))
        return True

    def _publish(self, partial: Path, final: Path) -> None:
        """Give a durable file its name, durably."""
        if final.parent not in self._durable:
            final.parent.mkdir(mode=0o700, exist_ok=True)
            # Also where the folder was there: another request may have made it this moment.
            sync_folder(final.parent.parent)
            self._durable.add(final.parent)
        partial.replace(final)
        sync_folder(final.parent)

    async def remove(self, digest: Digest) -> None:
        """Remove a complete content. Whether anybody still has it is the caller's to know."""
        await asyncio.to_thread(self.path(digest).unlink, missing_ok=True)

    async def discard(self, unit: UnitId, digest: Digest) -> None:
        """Forget an unfinished upload."""
        await asyncio.to_thread(self._partial_path(unit, digest).unlink, missing_ok=True)

    def check_writable(self) -> None:
        """Write, flush and remove a small file; raises what the disk says (for ``/readyz``)."""
        with _disk_errors(None):
            self._check_space(0)
            probe = self._partial / f".probe-{os.getpid()}"
            writer = _Writer(probe, 0)
            writer.finish(b"probe")
            probe.unlink()

    def _check_space(self, wanted: int) -> None:
        if shutil.disk_usage(self._objects).free < wanted + self._min_free:
            raise StorageFull

    @asynccontextmanager
    async def _alone(self, partial: Path) -> AsyncIterator[None]:
        if partial in self._busy:
            raise Overloaded
        self._busy.add(partial)
        try:
            yield
        finally:
            self._busy.discard(partial)


class _Writer:
    """Appends to a partial file and hashes on the way; used from worker threads, one at a time."""

    def __init__(self, path: Path, offset: int) -> None:
        here = _size(path)
        # Beginning anew is always allowed: the unit sends everything again.
        if offset not in (0, here or 0):
            raise OffsetMismatch(offset=here or 0, claimed=offset)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._file = path.open("x+b" if here is None else "r+b")
        self._file.truncate(offset)
        self.size = self._file.seek(offset)
        # What came in an earlier request is hashed again at the end; only one run is hashed on the fly.
        self._hash = hashlib.sha256() if offset == 0 else None

    def write(self, data: bytes) -> None:
        if self._hash is not None:
            self._hash.update(data)
        self._file.write(data)
        self.size += len(data)

    def finish(self, data: bytes) -> None:
        """Write the rest, flush to the disk, close."""
        self.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        if self.size >= CHUNK:
            # A large body would push everything else out of the page cache (reference performance §10).
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._file.close()

    def digest(self) -> str:
        if self._hash is not None:
            return "sha256:" + self._hash.hexdigest()
        with self._path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    def close(self, data: bytes = b"") -> None:
        """Keep what came; it need not be durable, HEAD tells how far it got."""
        # ValueError: closed already.
        with contextlib.suppress(OSError, ValueError):
            self._file.write(data)
        with contextlib.suppress(OSError):
            self._file.close()

    def discard(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)


async def _arriving(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks; what the connection raises is the connection's, and says nothing about our disk."""
    try:
        async for chunk in chunks:
            yield chunk
    except OSError as error:
        raise Unavailable(detail="the connection broke") from error


def _taken(buffer: bytearray) -> bytes:
    """What is in the buffer, which is empty then: nothing is written twice, whatever happens meanwhile."""
    data = bytes(buffer)
    buffer.clear()
    return data


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


@contextmanager
def _disk_errors(partial: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if partial is not None:
            # A full disk must not stay full because of us.
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise StorageFull from error
        raise Unavailable(detail=errno.errorcode.get(error.errno or 0, "input/output error")) from error
