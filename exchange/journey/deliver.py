"""Sixth step: put consignments into their boxes, and close those whose time has passed.

Deliveries are independent: one that fails leaves the others as they are. Each
outcome is evidence like anything else (E05, E16, E12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime

from exchange.journey.notary import Notary
from exchange.journey.ports import Change, Directory, Ledger, Move, Records
from exchange.journey.route import route
from exchange.journey.stages import Appended, Pending, Unroutable
from exchange.protocol.errors import WrongState
from exchange.protocol.events import Event
from exchange.protocol.evidence import Reason

BATCH = 256


async def deliver_waiting(
    *, records: Records, directory: Directory, ledger: Ledger, notary: Notary, now: datetime
) -> int:
    """Consign what waits, at most one batch; returns how many consignments were handled.

    A crash before the commit leaves them waiting; the next call takes them again.
    """
    pending = await records.to_consign(BATCH)
    if not pending:
        return 0
    able = await directory.can_receive([one.consignment.recipient for one in pending])
    steps = []
    for way in route(pending, able=able):
        if isinstance(way, Unroutable):
            reason = Reason("recipient-gone", way.detail)
            step = _step(
                way.pending,
                Event.CONTENT_CONSIGNMENT_FAILURE,
                (reason,),
                ledger=ledger,
                notary=notary,
                now=now,
            )
        else:
            step = _step(way.pending, Event.CONTENT_CONSIGNMENT, (), ledger=ledger, notary=notary, now=now)
        steps.append(step)
    await _all(steps)
    return len(pending)


async def expire_overdue(*, records: Records, ledger: Ledger, notary: Notary, now: datetime) -> int:
    """Close consignments whose ``expires_at`` has passed (E12); returns how many were tried.

    The consignment closes in the same transaction that writes E12, judged by the
    entry's own time: an act that came first wins, one that comes later finds the
    consignment EXPIRED. So no genuine 签收 can meet a false E12.
    """
    pending = await records.to_expire(now, BATCH)
    reason = Reason("expired-unsigned", "nobody signed for it before the deadline")
    await _all(
        [
            _step(one, Event.ACCEPTANCE_REJECTION_EXPIRY, (reason,), ledger=ledger, notary=notary, now=now)
            for one in pending
        ]
    )
    return len(pending)


async def _all(steps: list[Coroutine[None, None, Appended]]) -> None:
    results = await asyncio.gather(*steps, return_exceptions=True)
    for result in results:
        # Somebody acted first: nothing is owed. Anything else is the caller's to report.
        if isinstance(result, BaseException) and not isinstance(result, WrongState):
            raise result


async def _step(
    one: Pending, event: Event, reasons: tuple[Reason, ...], *, ledger: Ledger, notary: Notary, now: datetime
) -> Appended:
    signed = notary.state_about(event, one, at=now, reasons=reasons)
    expiry = one.kept.dispatch.expires_at if event is Event.ACCEPTANCE_REJECTION_EXPIRY else None
    return await ledger.commit(Change(signed, move=Move(one.consignment, event, after=expiry)))
