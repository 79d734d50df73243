"""Seventh step: the acts of the parties: hand-over, 签收, 退文, 撤回.

An act is a statement that its author has signed (FORMATS §2). It is checked against
the consignment, countersigned by the hub, and committed together with the state that
it leads to; whoever comes second finds out from the winner's receipt.

    (1) the statement has its form                     evidence-malformed
    (2) it is about this consignment and this hub      act-refused
    (3) it is signed by the unit that acts             act-refused
    (4) the event is one that this party may state     act-refused
    (5) its time is near the hub's clock               act-time-unfit
    (6) the consignment's state allows it              wrong-state
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.journey.notary import Notary, posted_digest
from exchange.journey.ports import AlreadyActed, Change, Ledger, Move, Records, Trust
from exchange.journey.stages import Acted, Consignment, KeptDispatch, Pending
from exchange.journey.verify import CLOCK_TOLERANCE, check_unit_signature
from exchange.protocol.errors import ActOverdue, ActRefused, NotFound
from exchange.protocol.events import Author, Event
from exchange.protocol.evidence import Evidence, Reason, decode_evidence
from exchange.protocol.identifiers import ConsignmentId, digest_of, format_time
from exchange.protocol.receipt import decode_receipt
from exchange.protocol.states import VISIBLE, next_state
from pki.asn1 import encode_certificate
from pki.names import UnitId, unit_of
from pki.path import ValidatedPath
from pki.profile import UNIT_SEAL_POLICY

ACTS = frozenset(
    {
        Event.CONTENT_HANDOVER,
        Event.CONSIGNMENT_ACCEPTANCE,
        Event.CONSIGNMENT_REJECTION,
        Event.RECALL,
    }
)
"""The acts that this hub takes."""

_BOUND_BY_EXPIRY = frozenset(ACTS - {Event.RECALL})


@dataclass(frozen=True, slots=True)
class Statement:
    """A signed statement as it was posted."""

    body: bytes
    signature: bytes


async def acknowledge(
    unit: UnitId,
    consignment_id: ConsignmentId,
    statement: Statement,
    *,
    records: Records,
    ledger: Ledger,
    notary: Notary,
    trust: Trust,
    now: datetime,
) -> Acted:
    """Do the act. The same statement again is answered with the first receipt.

    Raises:
        NotFound: no such consignment, or none of this unit's.
        EvidenceMalformed ActRefused ActOverdue: the statement cannot be taken.
        WrongState: not possible now; names the evidence that came first.
        RevocationStale Unavailable: not decided; try again.
    """
    consignment = await records.consignment(consignment_id)
    if consignment is None or not is_party(unit, consignment):
        raise NotFound(what="consignment")
    first = await records.acted(posted_digest(statement.body, statement.signature), consignment_id)
    if first is not None:
        return first
    evidence = decode_evidence(statement.body)  # (1)
    kept = await records.dispatch(consignment.sender, consignment.dispatch_id)
    if kept is None:
        raise NotFound(what="consignment")
    _check_subject(evidence, consignment, kept, origin=notary.origin)  # (2)
    path = check_unit_signature(  # (3)
        statement.body,
        statement.signature,
        trust=trust,
        now=now,
        refuse=lambda detail: ActRefused(detail=detail),
    )
    _check_author(unit, evidence, consignment, path)  # (3) (4)
    if abs(evidence.event_time - now) > CLOCK_TOLERANCE:  # (5)
        raise ActOverdue(
            claimed=format_time(evidence.event_time),
            tolerance=int(CLOCK_TOLERANCE.total_seconds()),
            now=format_time(now),
        )
    after = next_state(consignment.state, evidence.event, evidence_id=consignment.last_evidence)  # (6)
    if evidence.previous != consignment.last_evidence:
        raise ActRefused(detail=f"previous must be {consignment.last_evidence}, the last evidence")
    signed = notary.countersign(
        evidence,
        statement.body,
        statement.signature,
        at=now,
        revocation=(used.der for used in path.revocation),
    )
    by = kept.dispatch.expires_at if evidence.event in _BOUND_BY_EXPIRY else None
    try:
        appended = await ledger.commit(Change(signed, move=Move(consignment, evidence.event, by=by)))
    except AlreadyActed as done:
        return done.answer
    return Acted(appended.evidence_id, consignment_id, after, appended.receipt, repeated=False)


async def refuse_recall(
    consignment: Consignment,
    *,
    records: Records,
    ledger: Ledger,
    notary: Notary,
    now: datetime,
) -> bytes:
    """State that a recall came too late (E14): the recipient has signed for it. Returns the receipt.

    Where that is the last thing that was stated about the consignment, its receipt is given again:
    a sender who repeats a late recall adds nothing to the ledger.
    """
    last = await records.receipt(consignment.last_evidence)
    if last is not None and decode_evidence(decode_receipt(last).evidence).event is Event.RECALL_REFUSED:
        return last
    kept = await records.dispatch(consignment.sender, consignment.dispatch_id)
    if kept is None:
        raise NotFound(what="consignment")
    reason = Reason("already-signed-for", "the recipient has signed for it")
    signed = notary.state_about(Event.RECALL_REFUSED, Pending(consignment, kept), at=now, reasons=(reason,))
    appended = await ledger.commit(Change(signed, move=Move(consignment, Event.RECALL_REFUSED)))
    return appended.receipt


def is_party(unit: UnitId, consignment: Consignment) -> bool:
    """Whether the consignment exists for the unit: its sender's always, its recipient's once consigned."""
    if unit == consignment.sender:
        return True
    return unit == consignment.recipient and consignment.state in VISIBLE


def _check_subject(evidence: Evidence, consignment: Consignment, kept: KeptDispatch, *, origin: str) -> None:
    dispatch = kept.dispatch
    expected = {
        "origin": (evidence.origin, origin),
        "consignment_id": (evidence.consignment_id, consignment.consignment_id),
        "dispatch_id": (evidence.dispatch_id, dispatch.dispatch_id),
        "dispatch": (evidence.dispatch, kept.digest),
        "sender": (evidence.sender, consignment.sender),
        "recipient": (evidence.recipient, consignment.recipient),
        "contents": (evidence.contents, tuple(document.digest for document in dispatch.documents)),
        "submitted_at": (evidence.submitted_at, kept.accepted_at),
        "issued_number": (evidence.issued_number, dispatch.metadata.issued_number),
        "policy": (evidence.policy, UNIT_SEAL_POLICY.dotted_string),
    }
    for field, (stated, actual) in expected.items():
        if stated != actual:
            raise ActRefused(detail=f"{field} is not that of the consignment")


def _check_author(unit: UnitId, evidence: Evidence, consignment: Consignment, path: ValidatedPath) -> None:
    certificate = path.certificates[0]
    if unit_of(certificate) != unit or evidence.actor.unit != unit:
        raise ActRefused(detail="the statement is not signed by the unit that posts it")
    if evidence.actor.certificate != digest_of(encode_certificate(certificate)):
        raise ActRefused(detail="actor.certificate is not the certificate that signed")
    if evidence.event not in ACTS:
        raise ActRefused(detail=f"{evidence.event.wire} is not an act of a unit here")
    author = consignment.sender if evidence.event.author is Author.SENDER else consignment.recipient
    if unit != author:
        raise ActRefused(detail=f"{evidence.event.wire} is for the {evidence.event.author.value} to state")
