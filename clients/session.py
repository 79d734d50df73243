"""What an operation knows of its unit and of the moment; clock, randomness and keys are handed in."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clients.home import UnitHome
from clients.receipts import CheckedReceipt, Expectation, check_receipt
from clients.wire import RETRIES
from exchange.protocol.identifiers import to_milliseconds, uuid7


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """One unit, as operations see it."""

    home: UnitHome
    now: Callable[[], datetime] = field(default=_now)
    entropy: Callable[[int], bytes] = field(default=secrets.token_bytes)
    jitter: Callable[[], float] = field(default=random.random)
    retries: int = RETRIES

    def instant(self) -> datetime:
        """Now, as signed statements spell it."""
        return to_milliseconds(self.now())

    def new_id(self, at: datetime) -> str:
        """A fresh UUIDv7."""
        return uuid7(at, self.entropy(10))

    def check(self, raw: bytes, *, name: str, expected: Expectation) -> CheckedReceipt:
        """As :func:`~clients.receipts.check_receipt`, under the unit's own trust; kept on return."""
        checked = check_receipt(raw, trust=self.home.trust, now=self.now(), name=name, expected=expected)
        path = self.home.keep_receipt(checked.evidence.evidence_id, raw)
        return CheckedReceipt(checked.raw, checked.statement, checked.evidence, checked.report, path)
