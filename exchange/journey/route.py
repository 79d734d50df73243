"""Fifth step: find the way to each recipient, against one view of the directory."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.journey.stages import Consigned, Pending, Unroutable
from pki.names import UnitId


def route(pending: Sequence[Pending], *, able: frozenset[UnitId]) -> tuple[Consigned | Unroutable, ...]:
    """For each consignment a way, or the reason why there is none. Pure: the same view gives the same ways."""
    return tuple(
        Consigned(one)
        if one.consignment.recipient in able
        else Unroutable(one, "the recipient can no longer receive")
        for one in pending
    )
