"""The background work of one hub process.

Woken when something was accepted, and by the clock. A failure that may pass is
tried again with growing pauses; nothing is lost meanwhile, because what waits
stands in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from exchange.journey.deliver import BATCH, deliver_waiting, expire_overdue
from exchange.journey.notary import Notary
from exchange.journey.ports import Directory, Ledger, Records
from exchange.protocol.errors import Broken
from pki.errors import Fault

log = structlog.get_logger("gongwen.courier")
EXPIRY_SECONDS: Final = 1.0
PAUSES: Final = (0.2, 1.0, 5.0, 15.0)


@dataclass(frozen=True, slots=True)
class Round:
    """What the courier needs."""

    records: Records
    directory: Directory
    ledger: Ledger
    notary: Notary
    clock: Callable[[], datetime]


class Courier:
    """Two loops: one that delivers when woken, one that looks for what has expired."""

    def __init__(self, needs: Round) -> None:
        self._needs = needs
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """Something was accepted."""
        self._woken.set()

    async def start(self) -> None:
        """Begin. What waits since before the last stop is delivered first."""
        self._woken.set()
        self._tasks = [
            asyncio.create_task(self._deliver(), name="deliver"),
            asyncio.create_task(self._expire(), name="expire"),
        ]

    async def close(self) -> None:
        """Stop. A step that is under way is committed or not; the next start goes on from there."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _deliver(self) -> None:
        needs = self._needs

        async def once() -> int:
            return await deliver_waiting(
                records=needs.records,
                directory=needs.directory,
                ledger=needs.ledger,
                notary=needs.notary,
                now=needs.clock(),
            )

        while True:
            await self._woken.wait()
            self._woken.clear()
            while await _with_pauses("deliver", once) == BATCH:
                pass

    async def _expire(self) -> None:
        needs = self._needs

        async def once() -> int:
            return await expire_overdue(
                records=needs.records, ledger=needs.ledger, notary=needs.notary, now=needs.clock()
            )

        while True:
            if await _with_pauses("expire", once) < BATCH:
                await asyncio.sleep(EXPIRY_SECONDS)


async def _with_pauses(name: str, step: Callable[[], Awaitable[int]]) -> int:
    """Run a step until it succeeds. Only a broken ledger ends the trying: then a person is needed."""
    attempt = 0
    while True:
        try:
            return await step()
        except Broken:
            log.critical("stopped", step=name)
            raise
        except Fault as error:
            log.warning("again", step=name, error=error.code, attempt=attempt)
        except Exception:
            log.exception("unexpected", step=name, attempt=attempt)
        await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
        attempt += 1
