"""First step: take a submission as it came, within the caps."""

from __future__ import annotations

from datetime import datetime

from exchange.journey.stages import Received
from exchange.protocol.dispatch import MAX_ENVELOPE
from exchange.protocol.errors import EnvelopeMalformed
from exchange.protocol.identifiers import digest_of
from pki.names import UnitId

MAX_SIGNATURE = 64 * 1024


def receive(unit: UnitId, envelope: bytes, signature: bytes, *, now: datetime) -> Received:
    """The submission with the digests by which it is known again. Nothing is checked but its size.

    Raises:
        EnvelopeMalformed: longer than any envelope may be; too long to be kept as evidence.
    """
    if len(envelope) > MAX_ENVELOPE:
        raise EnvelopeMalformed(detail=f"longer than {MAX_ENVELOPE} bytes")
    if len(signature) > MAX_SIGNATURE:
        raise EnvelopeMalformed(detail=f"its signature is longer than {MAX_SIGNATURE} bytes")
    return Received(
        unit=unit,
        envelope=envelope,
        signature=signature,
        digest=digest_of(envelope),
        signature_digest=digest_of(signature),
        received_at=now,
    )
