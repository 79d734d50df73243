"""Contents and their grants together: what was uploaded exists for its unit; what was refused is forgotten.

The store knows bytes and the database knows whose they are; here the two are kept
in step. Within one process a content is never removed between its arrival and
its grant: both happen under the content's own lock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

from exchange.protocol.errors import Unavailable
from exchange.protocol.identifiers import Digest
from exchange.storage.committer import Committer
from exchange.storage.contents import LocalContents
from exchange.storage.records import SqlRecords
from pki.names import UnitId


class ContentKeeper:
    """Taking contents in, and letting them go."""

    def __init__(
        self,
        contents: LocalContents,
        ledger: Committer,
        records: SqlRecords,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._contents = contents
        self._ledger = ledger
        self._records = records
        self._clock = clock
        self._locks: dict[Digest, tuple[asyncio.Lock, int]] = {}
        self._in_use: Counter[Digest] = Counter()

    async def take(
        self, unit: UnitId, digest: Digest, chunks: AsyncIterator[bytes], *, offset: int, total: int
    ) -> bool:
        """As :meth:`LocalContents.write`; on True the content is granted to the unit as well.

        Raises:
            Unavailable: the same content was being forgotten for another unit just then; send it again.
        """
        if not await self._contents.write(unit, digest, chunks, offset=offset, total=total):
            return False
        async with self._locked(digest):
            if await self._contents.size(digest) is None:
                raise Unavailable(detail="the content was being removed for another unit; send it again")
            await self._ledger.grant(unit, digest, total, at=self._clock())
        return True

    @asynccontextmanager
    async def using(self, digests: Iterable[Digest]) -> AsyncIterator[None]:
        """While a submission is judged, nobody forgets the contents that it names."""
        used = tuple(dict.fromkeys(digests))
        for digest in used:
            # Waits for a removal under way; after it the content is plainly missing.
            async with self._locked(digest):
                self._in_use[digest] += 1
        try:
            yield
        finally:
            self._in_use.subtract(used)
            for digest in used:
                if not self._in_use[digest]:
                    del self._in_use[digest]

    async def forget(self, unit: UnitId, digests: Iterable[Digest]) -> None:
        """Take contents from the unit, but for those that a dispatch of its own names; remove what
        nobody has any more. A crash in between leaves bytes that exist for nobody.

        What another submission is using stays: whether it is forgotten, that one decides.
        """
        for digest in dict.fromkeys(digests):
            async with self._locked(digest):
                if self._in_use[digest]:
                    continue
                await self._ledger.forget(unit, digest)
                if not await self._records.is_granted(digest):
                    await self._contents.remove(digest)

    @asynccontextmanager
    async def _locked(self, digest: Digest) -> AsyncIterator[None]:
        lock, users = self._locks.get(digest, (asyncio.Lock(), 0))
        self._locks[digest] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            users = self._locks[digest][1] - 1
            if users:
                self._locks[digest] = (lock, users)
            else:
                del self._locks[digest]
