"""The one file that knows everybody: putting a hub's parts together, and running it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import signal
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_der_private_key,
)

from exchange.config import Settings, read_settings, split_address
from exchange.courier.worker import Courier, Round
from exchange.journey.notary import Notary
from exchange.journey.verify import Intake, IntakeRules
from exchange.judging import open_judge
from exchange.keeper import AUTHORITIES, TrustKeeper
from exchange.operator import (
    EVIDENCE_KEY,
    JOURNAL,
    LEDGER_KEY,
    SERVER_KEY,
    HubFolderUnusable,
    note_signer,
    read_secret,
)
from exchange.protocol.api import EnrolmentAnswer, EnrolmentRequest, HubInfo
from exchange.protocol.errors import Broken, ExchangeError
from exchange.protocol.identifiers import format_time
from exchange.storage import tables
from exchange.storage.committer import Committer, Rows
from exchange.storage.contents import LocalContents
from exchange.storage.database import Database
from exchange.storage.keeping import ContentKeeper
from exchange.storage.ledger import LedgerFiles
from exchange.storage.records import SqlRecords
from exchange.storage.signer import EmbeddedSigner, Journal
from exchange.web.bell import Bell
from exchange.web.listeners import make_application
from exchange.web.metrics import Metrics
from exchange.web.routes import Listener
from exchange.web.services import Limits, PublicFiles, Services
from pki.asn1 import encode_certificate, load_certificates
from pki.errors import Fault
from pki.keys import SoftwareSigner
from pki.profile import HUB_EVIDENCE_POLICY, UNIT_SEAL_POLICY
from pki.storage.authority import Authority
from pki.storage.authority_records import IssuedCertificate
from pki.storage.keys import KeyFolder
from pki.storage.trust import write_trust_folder
from pki.text import N_
from signing.cms import CadesSigner

log = structlog.get_logger("gongwen")

TRUST_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 10.0
_PURPOSES: Final = {"unit-seal": "seal", "tls-client": "tls"}
"""What the certificates of a unit's two profiles are registered for."""


class AlreadyRunning(ExchangeError):
    """A hub runs on this folder already."""

    code = "already-running"
    template = N_("a hub is running on {folder} already")


# --- putting together -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub whose parts are open, without its listeners."""

    settings: Settings
    services: Services
    keeper: TrustKeeper
    committer: Committer
    courier: Courier


@asynccontextmanager
async def open_hub(settings: Settings) -> AsyncIterator[Hub]:
    """Open every part in order, and close them in the other. Starts the writer and the courier.

    Raises:
        HubFolderUnusable: parts are missing, or of another schema.
        Broken: ledger and signer disagree; a person has to look.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_alone(settings.folder))
        secret = read_secret(settings)
        authority = stack.enter_context(
            await asyncio.to_thread(Authority.open, settings.folder / "pki", secret)
        )
        keys = await asyncio.to_thread(KeyFolder.open, settings.folder / "keys", secret)
        database = Database(settings.database)
        stack.push_async_callback(database.close)
        current, head = await database.revision()
        if current != head:
            detail = f"the database has schema {current} and this program needs {head}: gongwen hub migrate"
            raise HubFolderUnusable(folder=settings.folder, detail=detail)
        keeper = TrustKeeper(authority, now=clock())
        await asyncio.to_thread(write_trust_folder, settings.folder / "trust", anchors=(), crls=keeper.lists)
        evidence = load_certificates((settings.folder / "evidence.pem").read_bytes())[0]
        issuer = authority.issuing("evidence")
        signer = CadesSigner(keys.load(EVIDENCE_KEY, purpose=EVIDENCE_KEY), [evidence, issuer])
        notary = Notary(
            origin=settings.origin,
            unit=settings.unit_id,
            certificate=evidence,
            others=(issuer,),
            signer=signer,
            trust=keeper,
            random=secrets.token_bytes,
        )
        files = LedgerFiles(database, settings.ledger)
        records = SqlRecords(database, files)
        bell = Bell()
        stack.callback(bell.close)
        ledger_key = keys.load(LEDGER_KEY, purpose=LEDGER_KEY)
        journal = Journal(settings.path(settings.signer_folder) / JOURNAL)
        committer = Committer(
            database,
            files,
            records,
            EmbeddedSigner(journal, note_signer(settings.ledger, ledger_key)),
            clock=clock,
            random=secrets.token_bytes,
            released=bell.ring,
        )
        await committer.start()
        stack.push_async_callback(committer.close)
        contents = LocalContents(settings.folder / "contents", min_free_bytes=settings.min_free_bytes)
        judge = await stack.enter_async_context(open_judge(settings))
        courier = Courier(Round(records, records, committer, notary, clock))
        stack.push_async_callback(courier.close)
        info = _hub_info(settings, authority)
        services = Services(
            info=info,
            limits=Limits(settings.max_content_bytes, settings.max_small_bytes),
            records=records,
            ledger=committer,
            files=files,
            contents=contents,
            keeper=ContentKeeper(contents, committer, records, clock=clock),
            notary=notary,
            trust=keeper,
            intake=Intake(
                rules=IntakeRules(settings.origin, timedelta(days=settings.max_expiry_days)),
                trust=keeper,
                grants=records,
                contents=contents,
                directory=records,
                judge=judge,
            ),
            bell=bell,
            metrics=Metrics(),
            public=_public_files(settings, authority, keeper),
            enrol=lambda request: _enrol(authority, info, request),
            register=_credentials,
            ready=lambda: _ready(contents),
            wake_courier=courier.wake,
            clock=clock,
            random=secrets.token_bytes,
            language=settings.language,
        )
        await _register_issued(authority, committer)
        await courier.start()
        watcher = asyncio.create_task(
            _watch_trust(keeper, authority, committer, settings.folder / "trust"), name="trust"
        )
        stack.push_async_callback(_stop, watcher)
        yield Hub(settings, services, keeper, committer, courier)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process on one folder: a second one would take the ledger from under the first.

    Raises:
        AlreadyRunning: somebody else has it.
    """
    with (folder / "hub.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(folder=folder) from None
        yield


def clock() -> datetime:
    """The hub's clock."""
    return datetime.now(UTC)


async def _watch_trust(keeper: TrustKeeper, authority: Authority, committer: Committer, folder: Path) -> None:
    """Look for new revocation lists every second; mark the certificates that they name, keep them in ``folder``."""
    while True:
        try:
            lists = await asyncio.to_thread(keeper.fetch, clock())
            if lists is not None:
                keeper.adopt(lists)
                await _mark_revoked(authority, committer)
                await asyncio.to_thread(write_trust_folder, folder, anchors=(), crls=lists)
                log.info("trust-adopted", lists=len(lists))
        except Exception as error:
            # Whatever it is, tomorrow's list must still be looked for; meanwhile the lists at hand
            # grow stale, and what rests on them is refused by and by.
            log.error("trust-not-refreshed", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(TRUST_SECONDS)


async def _register_issued(authority: Authority, committer: Committer) -> None:
    """Enter units whose certificates were issued just before a crash: the authority knows them, we do not."""
    issued = await asyncio.to_thread(authority.list)
    names = await asyncio.to_thread(authority.units)
    valid = [one for one in issued if one.profile in _PURPOSES and one.revoked is None]
    units = tuple(
        {
            "unit": one.unit,
            "name": names[one.unit],
            "active": True,
            "registered_at": format_time(one.issued_at),
        }
        for one in valid
    )
    credentials = tuple(_credential_row(one, None) for one in valid)
    if valid:
        await committer.add(Rows(tables.unit, units))
        await committer.add(Rows(tables.credential, credentials))
    await _mark_revoked(authority, committer)


def _credential_row(one: IssuedCertificate, revoked_at: str | None) -> dict[str, object]:
    return {
        "fingerprint": one.fingerprint,
        "unit": one.unit,
        "purpose": _PURPOSES[one.profile],
        "certificate": encode_certificate(one.certificate),
        "revoked_at": revoked_at,
    }


async def _mark_revoked(authority: Authority, committer: Committer) -> None:
    issued = await asyncio.to_thread(authority.list)
    rows = tuple(
        _credential_row(one, format_time(one.revoked.at))
        for one in issued
        if one.revoked is not None and one.profile in _PURPOSES
    )
    if rows:
        await committer.add(Rows(tables.credential, rows, replace=True))


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _hub_info(settings: Settings, authority: Authority) -> HubInfo:
    return HubInfo(
        origin=settings.origin,
        unit=settings.unit,
        name=settings.name,
        units_url=settings.units_url,
        public_url=settings.public_url,
        unit_seal_policy=UNIT_SEAL_POLICY.dotted_string,
        hub_evidence_policy=HUB_EVIDENCE_POLICY.dotted_string,
        ledger_policy=(settings.folder / "ledger.policy").read_text(),
        anchors=(authority.root.public_bytes(Encoding.PEM).decode(),),
        intermediates=tuple(
            authority.issuing(name).public_bytes(Encoding.PEM).decode() for name in AUTHORITIES
        ),
        max_content_bytes=settings.max_content_bytes,
        max_small_bytes=settings.max_small_bytes,
        max_expiry_days=settings.max_expiry_days,
    )


def _public_files(settings: Settings, authority: Authority, keeper: TrustKeeper) -> PublicFiles:
    certificates = {"root": authority.root, **{name: authority.issuing(name) for name in AUTHORITIES}}

    def crl(name: str) -> bytes | None:
        certificate = certificates.get(name)
        if certificate is None:
            return None
        issuer = certificate.subject.public_bytes()
        return next((one.der for one in keeper.lists if one.issuer == issuer), None)

    def certificate(name: str) -> bytes | None:
        found = certificates.get(name)
        return None if found is None else encode_certificate(found)

    return PublicFiles(crl, certificate, (settings.folder / "ledger.policy").read_bytes())


def _enrol(authority: Authority, info: HubInfo, request: EnrolmentRequest) -> EnrolmentAnswer:
    enrolled = authority.enrol(
        request.token, request.seal_request.encode(), request.tls_request.encode(), now=clock()
    )
    return EnrolmentAnswer(
        unit=enrolled.unit,
        name=enrolled.name,
        seal_certificate=enrolled.seal.public_bytes(Encoding.PEM).decode(),
        tls_certificate=enrolled.tls.public_bytes(Encoding.PEM).decode(),
        hub=info,
    )


def _credentials(answer: EnrolmentAnswer) -> list[tuple[str, bytes]]:
    """The certificates by which the hub will know the unit again: purpose and DER."""
    return [
        (purpose, encode_certificate(load_certificates(pem.encode())[0]))
        for purpose, pem in (("seal", answer.seal_certificate), ("tls", answer.tls_certificate))
    ]


def _ready(contents: LocalContents) -> dict[str, str]:
    try:
        contents.check_writable()
    except (Fault, OSError) as error:
        return {"contents": str(error)}
    return {"contents": ""}


# --- running --------------------------------------------------------------------------------------


def serve(config: Path, processes: int = 1) -> int:
    """Run a hub until SIGTERM or SIGINT. Returns the exit code.

    What is under way is finished; what waits in long polls is answered at once.
    """
    settings = read_settings(config)
    if processes != 1:
        raise HubFolderUnusable(
            folder=settings.folder,
            detail="several hub processes need PostgreSQL, which this version does not run on",
        )
    configure_logging(settings)
    try:
        asyncio.run(run(settings))
    except Broken as error:
        log.critical("broken", error=str(error))
        return 1
    return 0


async def run(settings: Settings, *, started: Callable[[], None] = lambda: None) -> None:
    """Open the hub, listen, and stay until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_hub(settings) as hub, listening(hub):
        log.info("listening", units=settings.units_listen, public=settings.public_listen)
        started()
        broken = asyncio.create_task(hub.committer.stopped.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({broken, stopped}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        hub.services.bell.close()
        for task in (broken, stopped):
            task.cancel()
        if hub.committer.broken is not None:
            raise Broken(detail=hub.committer.broken)


@asynccontextmanager
async def listening(hub: Hub) -> AsyncIterator[None]:
    """Both listeners, each with TLS 1.3 from the hub's own authority."""
    settings = hub.settings
    runners = []
    try:
        for listener, address in (
            (Listener.UNITS, settings.units_listen),
            (Listener.PUBLIC, settings.public_listen),
        ):
            app = make_application(hub.services, listener)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_SECONDS, handle_signals=False)
            await runner.setup()
            runners.append(runner)
            host, port = split_address(address)
            context = await asyncio.to_thread(_tls_context, settings, listener)
            await web.TCPSite(runner, host, port, ssl_context=context).start()
        yield
    finally:
        await asyncio.gather(*(runner.cleanup() for runner in runners))


def _tls_context(settings: Settings, listener: Listener) -> ssl.SSLContext:
    """TLS 1.3; the units' listener demands a client certificate of our own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    keys = KeyFolder.open(settings.folder / "keys", read_secret(settings))
    _load_key(context, settings.folder / "server.pem", keys.load(SERVER_KEY, purpose=SERVER_KEY))
    if listener is Listener.UNITS:
        context.verify_mode = ssl.CERT_REQUIRED
        # Anchor and TLS authority both: clients need not send the authority's certificate.
        for folder in ("anchors", "intermediates"):
            for file in sorted((settings.folder / "trust" / folder).glob("*.pem")):
                context.load_verify_locations(file)
    return context


def _load_key(context: ssl.SSLContext, certificates: Path, signer: SoftwareSigner) -> None:
    """OpenSSL reads keys from files only: give it one that is encrypted under a password of the moment."""
    password = secrets.token_urlsafe(32)
    key = load_der_private_key(signer.to_pkcs8(), password=None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(certificates, file.name, password)


def configure_logging(settings: Settings) -> None:
    """Lines on stderr: JSON for machines, or for a person's terminal."""
    renderer = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
