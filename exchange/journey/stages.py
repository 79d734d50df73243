"""One frozen type a stage, so that the order of the journey stands in the signatures.

A :class:`Verified` can only come out of ``verify``; code that holds one need not
ask again. The bytes that were signed travel with the values read from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.protocol.dispatch import Dispatch
from exchange.protocol.evidence import Evidence
from exchange.protocol.identifiers import ConsignmentId, Digest, EvidenceId
from exchange.protocol.states import State
from pki.names import UnitId
from signing.report import FileReport


@dataclass(frozen=True, slots=True)
class Received:
    """A submission as it came: whole, within the caps, and nothing checked."""

    unit: UnitId
    """Whom the transport session belongs to."""
    envelope: bytes
    signature: bytes
    digest: Digest
    """Of the envelope."""
    signature_digest: Digest
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Verified:
    """Everything about the submission holds: envelope, sender, recipients, documents, seals."""

    received: Received
    dispatch: Dispatch
    reports: tuple[FileReport, ...]
    """One for each document that was judged, the main one first."""
    revocation: tuple[bytes, ...]
    """CRLs (DER) on which the envelope's path rests."""


@dataclass(frozen=True, slots=True)
class NewConsignment:
    """A consignment as it is laid out for one recipient."""

    consignment_id: ConsignmentId
    recipient: UnitId
    role: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What will be kept of the submission: every document is durable, every id is chosen."""

    verified: Verified
    consignments: tuple[NewConsignment, ...]


@dataclass(frozen=True, slots=True)
class SignedEvidence:
    """An evidence with its signatures and what its receipt needs besides the ledger's proof."""

    evidence: Evidence
    body: bytes
    signature: bytes
    posted: Digest | None
    """Digest of statement and signature as an actor posted them; None for what the hub states alone."""
    salt: bytes
    rid: str
    revocation: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Appended:
    """An evidence that is durable, in the ledger, and under a signed checkpoint; here is its receipt."""

    evidence_id: EvidenceId
    index: int
    recorded_at: datetime
    receipt: bytes
    signed: SignedEvidence


@dataclass(frozen=True, slots=True)
class Accepted:
    """The submission was accepted: what its sender is told, the first time and every time."""

    dispatch_id: str
    evidence_id: EvidenceId
    consignments: tuple[NewConsignment, ...]
    receipt: bytes
    repeated: bool


@dataclass(frozen=True, slots=True)
class Consignment:
    """A consignment as it stands now."""

    consignment_id: ConsignmentId
    sender: UnitId
    dispatch_id: str
    recipient: UnitId
    role: str
    state: State
    last_evidence: EvidenceId
    changed_index: int
    changed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeptDispatch:
    """An accepted dispatch as it was kept."""

    dispatch: Dispatch
    digest: Digest
    """Of the envelope."""
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """A consignment, with its dispatch, about which the hub has something to state."""

    consignment: Consignment
    kept: KeptDispatch


@dataclass(frozen=True, slots=True)
class Consigned:
    """A consignment for which a way was found."""

    pending: Pending


@dataclass(frozen=True, slots=True)
class Unroutable:
    """A consignment for which there is no way, and why."""

    pending: Pending
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The submission was refused: the receipt (E02) that its sender is given, every time."""

    receipt: bytes


@dataclass(frozen=True, slots=True)
class Acted:
    """An act that was done: the state it led to, and its receipt."""

    evidence_id: EvidenceId
    consignment_id: ConsignmentId
    state: State
    receipt: bytes
    repeated: bool
