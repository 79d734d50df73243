"""What the journey needs of the world, as promises.

Every method's docstring is what the contract tests hold all implementations to,
the in-memory one and the fault-injecting one too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509

from exchange.journey.stages import (
    Accepted,
    Acted,
    Appended,
    Consignment,
    KeptDispatch,
    NewConsignment,
    Pending,
    Refused,
    SignedEvidence,
)
from exchange.protocol.dispatch import Dispatch
from exchange.protocol.events import Event
from exchange.protocol.identifiers import ConsignmentId, Digest
from pki.names import UnitId
from pki.path import ValidatedPath
from pki.purpose import Purpose
from pki.trust import TrustStore
from signing.report import FileReport


@dataclass(frozen=True, slots=True)
class NewDispatch:
    """Rows that an accepted submission adds."""

    dispatch: Dispatch
    digest: Digest
    envelope: bytes
    signature: bytes
    consignments: tuple[NewConsignment, ...]


@dataclass(frozen=True, slots=True)
class NewRejection:
    """The row by which the same refused bytes find their refusal again."""

    sender: UnitId
    envelope_digest: Digest
    signature_digest: Digest


@dataclass(frozen=True, slots=True)
class Move:
    """A consignment's step, valid only if nothing happened to it since it was read."""

    consignment: Consignment
    event: Event
    by: datetime | None = None
    """The step counts only if the entry's ``t`` is not after this; equal counts as in time."""
    after: datetime | None = None
    """The step counts only if the entry's ``t`` is after this (expiry)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One evidence and what it does; all of it happens or nothing."""

    signed: SignedEvidence
    dispatch: NewDispatch | None = None
    rejection: NewRejection | None = None
    move: Move | None = None


class Ledger(Protocol):
    """The one way anything is written."""

    async def commit(self, change: Change) -> Appended:
        """Apply the change together with the ledger entry of its evidence.

        On return all of it is durable, the entry is under a signed checkpoint,
        and the receipt is complete. Changes of concurrent callers share commits.

        Raises:
            AlreadyDone: the same submission or act was committed before; it carries what was answered.
            DuplicateIdConflict: the dispatch id stands for other bytes.
            WrongState: the move's consignment is no longer as it was read, or its time has passed.
            Unavailable: nothing of the change was kept.
            Broken: the writer has stopped.
        """

    async def grant(self, unit: UnitId, digest: Digest, size: int, *, at: datetime) -> None:
        """Record that the unit has uploaded the content. Durable on return; repeating it changes nothing."""


class AlreadyDone(Exception):
    """The same bytes came before: no failure, the first answer stands."""


class AlreadyAccepted(AlreadyDone):
    """The submission was accepted before."""

    def __init__(self, answer: Accepted) -> None:
        self.answer = answer
        super().__init__("accepted before")


class AlreadyRefused(AlreadyDone):
    """The submission was refused before."""

    def __init__(self, answer: Refused) -> None:
        self.answer = answer
        super().__init__("refused before")


class AlreadyActed(AlreadyDone):
    """The act was done before."""

    def __init__(self, answer: Acted) -> None:
        self.answer = answer
        super().__init__("done before")


class Records(Protocol):
    """Reading what was committed."""

    async def accepted(self, sender: UnitId, dispatch_id: str) -> tuple[Digest, Accepted] | None:
        """The accepted submission of that id: the envelope's digest and the answer it got."""

    async def rejected(self, sender: UnitId, envelope: Digest, signature: Digest) -> bytes | None:
        """The receipt (E02) that exactly these bytes got when they were refused."""

    async def consignment(self, consignment_id: ConsignmentId) -> Consignment | None:
        """The consignment as it stands, whoever asks; callers check the party."""

    async def dispatch(self, sender: UnitId, dispatch_id: str) -> KeptDispatch | None:
        """The accepted dispatch of that id."""

    async def acted(self, posted: Digest, consignment_id: ConsignmentId) -> Acted | None:
        """What a statement, as it was posted, led to when it came first."""

    async def receipt(self, evidence_id: str) -> bytes | None:
        """The receipt of an evidence; the same bytes every time."""

    async def to_consign(self, limit: int) -> Sequence[Pending]:
        """Consignments that wait to be put into their boxes, oldest first."""

    async def to_expire(self, now: datetime, limit: int) -> Sequence[Pending]:
        """Open consignments whose ``expires_at`` lies before now."""


class Contents(Protocol):
    """The content store: written once under their digest, never changed."""

    async def size(self, digest: Digest) -> int | None:
        """Size in bytes of a complete, durable content; None when it is not here."""

    def path(self, digest: Digest) -> Path:
        """Where a complete content can be read by a judging process on this machine."""

    def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from start to before end, in chunks.

        Raises:
            NotFound: no complete content of that digest.
        """


class Grants(Protocol):
    """Which contents exist for whom."""

    async def granted(self, unit: UnitId, digests: Sequence[Digest]) -> Mapping[Digest, int]:
        """The sizes of those contents that exist for the unit: uploaded by it, or lawfully received."""


class Directory(Protocol):
    """Who can receive, at one moment."""

    async def can_receive(self, units: Sequence[UnitId]) -> frozenset[UnitId]:
        """Those of the units that are known, active, and hold a seal certificate that is not revoked."""


class Trust(Protocol):
    """The hub's trust anchors and revocation data, kept current."""

    @property
    def store(self) -> TrustStore:
        """The present trust store."""

    def check(
        self,
        certificate: x509.Certificate,
        *,
        others: Sequence[x509.Certificate],
        purpose: Purpose,
        at: datetime,
    ) -> ValidatedPath:
        """As :func:`pki.path.check_path` over the present store; verdicts may be cached until they expire."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A document's verdict, and what stands at the head of its first page."""

    report: FileReport
    mark: str | None
    """The secrecy mark there, if any."""
    page_read: bool
    """Whether the first page could be read at all; else nobody knows that there is no mark."""


class Judge(Protocol):
    """Judging untrusted documents in bounded processes."""

    async def judge(self, path: Path, *, name: str, trust: TrustStore, at: datetime) -> Judged:
        """Judge one PDF. A crash or a limit is ``undecided``; never raises for what the document does."""
