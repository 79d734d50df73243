"""Evidence: the statement that an event happened, ``evidence.json`` (FORMATS §3, EN 319 522-2 §8).

    {"actor":{"certificate":"sha256:…","unit":"UNIT"},"consignment_id":"018f…","contents":["sha256:…"],
     "dispatch":"sha256:…","dispatch_id":"018f…","event":"ConsignmentAcceptance","event_time":"…",
     "event_uri":"http://uri.etsi.org/19522/Event/ConsignmentAcceptance","evidence_id":"018f…",
     "issued_number":"府办发〔2026〕12号","origin":"hub.example.gov","policy":"2.25.…","previous":"018f…",
     "recipient":"UNIT","sender":"UNIT","submitted_at":"…","version":1}

An act's statement *is* its evidence: its author builds and signs these bytes, the
hub adds a second, parallel signature. It holds no ledger index and no proof: those
exist only after it is signed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.protocol import canonical
from exchange.protocol.canonical import Json
from exchange.protocol.dispatch import MAX_ATTACHMENTS
from exchange.protocol.errors import EvidenceMalformed, JsonMalformed
from exchange.protocol.events import EVENTS, REASONS, Event
from exchange.protocol.fields import Fields, is_plain_text
from exchange.protocol.identifiers import ConsignmentId, Digest, DispatchId, EvidenceId, format_time
from pki.names import UnitId

VERSION = 1
MAX_EVIDENCE = 64 * 1024
MAX_REASONS = 8
MAX_REASON = 2000
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,20}")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable code, and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who states it: the unit, and the certificate whose signature comes first."""

    unit: UnitId
    certificate: Digest


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statement. Times are claims of the actor; the ledger entry has the hub's."""

    evidence_id: EvidenceId
    event: Event
    event_time: datetime
    actor: Actor
    origin: str
    policy: str
    """OID of the certificate policy under which the actor signs."""
    sender: UnitId
    dispatch: Digest
    """Of ``dispatch.json``."""
    dispatch_id: DispatchId | None
    """Absent only where a refused envelope names none."""
    submitted_at: datetime
    contents: tuple[Digest, ...] = ()
    """Of all documents, the main one first."""
    recipient: UnitId | None = None
    consignment_id: ConsignmentId | None = None
    issued_number: str | None = None
    previous: EvidenceId | None = None
    reasons: tuple[Reason, ...] = ()


def encode_evidence(evidence: Evidence) -> bytes:
    """``evidence.json``, the bytes that are signed.

    Raises:
        EvidenceMalformed: a value that :func:`decode_evidence` would refuse.
    """
    value: dict[str, Json] = {
        "actor": {"certificate": evidence.actor.certificate, "unit": evidence.actor.unit},
        "contents": list(evidence.contents),
        "dispatch": evidence.dispatch,
        "event": evidence.event.wire,
        "event_time": format_time(evidence.event_time),
        "event_uri": evidence.event.uri,
        "evidence_id": evidence.evidence_id,
        "origin": evidence.origin,
        "policy": evidence.policy,
        "sender": evidence.sender,
        "submitted_at": format_time(evidence.submitted_at),
        "version": VERSION,
    }
    optional: dict[str, Json | None] = {
        "consignment_id": evidence.consignment_id,
        "dispatch_id": evidence.dispatch_id,
        "issued_number": evidence.issued_number,
        "previous": evidence.previous,
        "reasons": [{"code": r.code, "text": r.text} for r in evidence.reasons] or None,
        "recipient": evidence.recipient,
    }
    value.update({key: item for key, item in optional.items() if item is not None})
    _check(evidence)
    return canonical.encode(value)


def decode_evidence(data: bytes) -> Evidence:
    """Read ``evidence.json``: every field known and of its form, the event's own rules kept.

    Raises:
        EvidenceMalformed: it is not; the detail names the field.
    """
    try:
        value = canonical.decode(data, max_bytes=MAX_EVIDENCE)
    except JsonMalformed as error:
        raise EvidenceMalformed(detail=str(error.text.fields[0][1])) from None
    read = Fields(value, lambda detail: EvidenceMalformed(detail=detail))
    read.constant("version", VERSION)
    name = read.text("event")
    event = EVENTS.get(name)
    if event is None:
        raise EvidenceMalformed(detail="event: is not a known event")
    read.constant("event_uri", event.uri)
    actor = read.object("actor")
    evidence = Evidence(
        evidence_id=EvidenceId(read.uuid7("evidence_id")),
        event=event,
        event_time=read.time("event_time"),
        actor=Actor(unit=actor.unit("unit"), certificate=actor.digest("certificate")),
        origin=read.text("origin", max_length=253),
        policy=read.text("policy"),
        sender=read.unit("sender"),
        dispatch=read.digest("dispatch"),
        dispatch_id=DispatchId(read.uuid7("dispatch_id")) if "dispatch_id" in read else None,
        submitted_at=read.time("submitted_at"),
        contents=tuple(
            read.checked_digest(item, "contents")
            for item in read.items("contents", max_items=MAX_ATTACHMENTS + 1)
        ),
        recipient=read.unit("recipient") if "recipient" in read else None,
        consignment_id=ConsignmentId(read.uuid7("consignment_id")) if "consignment_id" in read else None,
        issued_number=read.optional_text("issued_number"),
        previous=EvidenceId(read.uuid7("previous")) if "previous" in read else None,
        reasons=_reasons(read),
    )
    actor.done()
    read.done()
    _check(evidence)
    return evidence


def _reasons(read: Fields) -> tuple[Reason, ...]:
    if "reasons" not in read:
        return ()
    items: Sequence[Json] = read.items("reasons", max_items=MAX_REASONS)
    if not items:
        raise EvidenceMalformed(detail="reasons: is left out when there is none")
    reasons = []
    for item in items:
        one = read.nested(item, "reasons")
        reasons.append(
            Reason(code=one.text("code", max_length=64), text=one.text("text", max_length=MAX_REASON))
        )
        one.done()
    return tuple(reasons)


def _check(evidence: Evidence) -> None:
    """The rules that join fields (reference exchange §2.4, FORMATS §3)."""
    event = evidence.event
    if not _OID.fullmatch(evidence.policy):
        raise EvidenceMalformed(detail="policy: must be an object identifier")
    if event.needs_reason and not evidence.reasons:
        raise EvidenceMalformed(detail=f"reasons: {event.wire} needs one")
    for reason in evidence.reasons:
        if not is_plain_text(reason.text, max_length=MAX_REASON):
            raise EvidenceMalformed(detail="reasons.text: must be plain text")
        if not _CODE.fullmatch(reason.code):
            raise EvidenceMalformed(detail="reasons.code: must be like wrong-recipient")
        # Codes are bound to events; at a submission's rejection they are the errors' own.
        if reason.code in REASONS and event not in REASONS[reason.code]:
            raise EvidenceMalformed(detail=f"reasons.code: {reason.code} does not belong to {event.wire}")
    of_dispatch = event in (Event.SUBMISSION_ACCEPTANCE, Event.SUBMISSION_REJECTION)
    if of_dispatch != (evidence.consignment_id is None):
        raise EvidenceMalformed(detail="consignment_id: belongs to every event but those of submission")
    if of_dispatch != (evidence.recipient is None):
        raise EvidenceMalformed(detail="recipient: belongs to every event but those of submission")
    if of_dispatch != (evidence.previous is None):
        raise EvidenceMalformed(detail="previous: belongs to every event but those of submission")
    if event is not Event.SUBMISSION_REJECTION:
        if evidence.dispatch_id is None:
            raise EvidenceMalformed(detail="dispatch_id: is missing")
        if not evidence.contents:
            raise EvidenceMalformed(detail="contents: names no document")
