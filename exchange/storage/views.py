"""What reading gives besides the values of the journey."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.journey.stages import Consignment, KeptDispatch
from exchange.protocol.identifiers import Digest
from pki.names import UnitId


@dataclass(frozen=True, slots=True)
class DispatchRecord:
    """A dispatch with its consignments as they stand."""

    kept: KeptDispatch
    evidence_id: str
    consignments: tuple[Consignment, ...]


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """An evidence as it lies in the database: its statement, and its ledger entry."""

    evidence_id: str
    consignment_id: str | None
    body: bytes
    entry: bytes


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A unit of the directory."""

    unit: UnitId
    name: str
    active: bool
    can_receive: bool


@dataclass(frozen=True, slots=True)
class Credential:
    """A registered certificate of a unit."""

    unit: UnitId
    name: str
    purpose: str
    fingerprint: Digest
    usable: bool
