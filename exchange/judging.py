"""Judging documents at intake: the sandbox of ``signing`` behind the journey's port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from math import ceil
from pathlib import Path

from exchange.config import Settings
from exchange.journey.ports import Judge, Judged
from pki.purpose import UNIT_SEAL
from pki.trust import TrustStore
from signing.sandbox.pool import JudgePool, Limits


class SandboxJudge:
    """Port :class:`exchange.journey.ports.Judge` over a pool of bounded worker processes."""

    def __init__(self, pool: JudgePool) -> None:
        self._pool = pool

    async def judge(self, path: Path, *, name: str, trust: TrustStore, at: datetime) -> Judged:
        """As the port promises. Seals must be units' seals: other purposes have no business here."""
        judged = await self._pool.judge(path, trust=trust, purpose=UNIT_SEAL, now=at, file=name)
        return Judged(judged.report, judged.mark, judged.page_read)


@asynccontextmanager
async def open_judge(settings: Settings) -> AsyncIterator[Judge]:
    """Start the workers; they end with the hub."""
    limits = Limits(seconds=settings.judge_seconds, processor_seconds=ceil(settings.judge_seconds))
    async with JudgePool(workers=settings.judge_workers, limits=limits) as pool:
        yield SandboxJudge(pool)
