"""Third step: lay out what will be kept.

The documents are durable under their digests by now (verifying has read them
there). The rows laid out here are written by ``append``, in one transaction with
the ledger entry, so that neither exists without the other.
"""

from __future__ import annotations

from collections.abc import Callable

from exchange.journey.stages import NewConsignment, Stored, Verified
from exchange.protocol.identifiers import ConsignmentId, uuid7


def store(verified: Verified, *, random: Callable[[int], bytes]) -> Stored:
    """One consignment for each recipient, 主送 and 抄送 kept apart, each with an id of its own."""
    now = verified.received.received_at
    dispatch = verified.dispatch
    roles = [(unit, "main") for unit in dispatch.main] + [(unit, "copy") for unit in dispatch.copy]
    # Ascending, so that reading them back in the order of their ids gives the order of the envelope.
    ids = sorted(uuid7(now, random(10)) for _ in roles)
    return Stored(
        verified=verified,
        consignments=tuple(
            NewConsignment(ConsignmentId(one), unit, role)
            for one, (unit, role) in zip(ids, roles, strict=True)
        ),
    )
