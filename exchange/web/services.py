"""What handlers need, on one typed application key; opened and closed by ``exchange.app``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from exchange.journey.notary import Notary
from exchange.journey.ports import Trust
from exchange.journey.verify import Intake
from exchange.protocol.api import EnrolmentAnswer, EnrolmentRequest, HubInfo
from exchange.protocol.identifiers import Digest
from exchange.storage.committer import Committer
from exchange.storage.contents import LocalContents
from exchange.storage.keeping import ContentKeeper
from exchange.storage.ledger import LedgerFiles
from exchange.storage.records import SqlRecords
from exchange.web.bell import Bell
from exchange.web.metrics import Metrics
from pki.names import UnitId


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may cost."""

    max_content_bytes: int
    max_small_bytes: int


@dataclass(frozen=True, slots=True)
class PublicFiles:
    """Small public files that others make: revocation lists and CA certificates by name, the ledger's policy."""

    crl: Callable[[str], bytes | None]
    certificate: Callable[[str], bytes | None]
    ledger_policy: bytes


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may use."""

    info: HubInfo
    limits: Limits
    records: SqlRecords
    ledger: Committer
    files: LedgerFiles
    contents: LocalContents
    keeper: ContentKeeper
    notary: Notary
    trust: Trust
    intake: Intake
    bell: Bell
    metrics: Metrics
    public: PublicFiles
    enrol: Callable[[EnrolmentRequest], EnrolmentAnswer]
    """Blocking; handlers call it in a thread."""
    register: Callable[[EnrolmentAnswer], list[tuple[str, bytes]]]
    ready: Callable[[], dict[str, str]]
    """What is wrong, by check; empty texts are fine."""
    wake_courier: Callable[[], None]
    clock: Callable[[], datetime]
    random: Callable[[int], bytes]
    language: str


@dataclass(frozen=True, slots=True)
class Session:
    """Who the transport session belongs to."""

    unit: UnitId
    name: str
    fingerprint: Digest


SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
