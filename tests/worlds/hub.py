"""A hub without HTTP, described in a few lines: everything real but the clock, the chance and the judge.

    async with World(tmp_path) as world:
        letter = await world.letter(main=[world.second])
        accepted = await world.submit(letter)
        await world.deliver()
        await world.act(world.second, accepted.consignments[0].consignment_id, Event.CONSIGNMENT_ACCEPTANCE)
        await world.check_everything()

SQLite, the committer, the signer's journal, the content folder and the records are those of the
hub; ``submit`` does what ``POST /v1/dispatches`` does. A write is made to fail by ``fail_once``;
``restart`` forgets the memory as a crash does. ``check_everything`` is in ``tests.worlds.hub_checks``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from exchange.journey.acknowledge import Statement, acknowledge, refuse_recall
from exchange.journey.append import append, append_rejection
from exchange.journey.deliver import deliver_waiting, expire_overdue
from exchange.journey.notary import Notary
from exchange.journey.ports import Judge, Judged
from exchange.journey.receive import receive
from exchange.journey.stages import Accepted, Acted
from exchange.journey.store import store
from exchange.journey.verify import Intake, IntakeRules, verify
from exchange.ledger.note import NoteSigner
from exchange.ledger.policy import LogLine, Policy, encode_policy
from exchange.operator import found_ledger
from exchange.protocol.dispatch import Dispatch, Document, Metadata, decode_dispatch, encode_dispatch
from exchange.protocol.errors import (
    ContentMissing,
    EnvelopeMalformed,
    Rejected,
    Unavailable,
)
from exchange.protocol.events import Event
from exchange.protocol.evidence import Actor, Evidence, Reason, decode_evidence, encode_evidence
from exchange.protocol.identifiers import (
    ConsignmentId,
    Digest,
    DispatchId,
    EvidenceId,
    digest_of,
    format_time,
    to_milliseconds,
    uuid7,
)
from exchange.protocol.receipt import decode_receipt
from exchange.storage import tables as t
from exchange.storage.committer import Committer, Rows
from exchange.storage.contents import LocalContents
from exchange.storage.database import Database
from exchange.storage.ledger import LedgerFiles
from exchange.storage.records import SqlRecords
from exchange.storage.signer import CheckpointSigner, EmbeddedSigner, Journal
from pki.asn1 import encode_certificate
from pki.names import UnitId
from pki.path import PathCache, ValidatedPath
from pki.profile import UNIT_SEAL_POLICY
from pki.purpose import Purpose
from pki.trust import TrustStore
from signing.cms import CadesSigner
from signing.report import (
    FileReport,
    Finding,
    Indication,
    SealReport,
    Verdict,
    file_report,
)
from tests.worlds.clock import Clock
from tests.worlds.hub_checks import check_world
from tests.worlds.pki import NOW, Credential, Member, PkiWorld

ORIGIN = "hub.example.gov"
LEDGER = f"{ORIGIN}/ledger/2026"
PDF = "application/pdf"
Write = Literal["enqueue", "sequence", "sign", "release"]
WRITES: tuple[Write, ...] = ("enqueue", "sequence", "sign", "release")
WRONG_RECIPIENT = (Reason("wrong-recipient", "不是发给我们的"),)
SENT_IN_ERROR = (Reason("sent-in-error", "发错了"),)


@cache
def the_pki() -> PkiWorld:
    """One PKI for all worlds that do not revoke."""
    return PkiWorld()


@cache
def the_members() -> tuple[Member, tuple[Member, ...]]:
    """The hub of that PKI, and four units."""
    pki = the_pki()
    return pki.hub(), tuple(pki.unit(name) for name in ("甲市教育局", "乙县教育局", "丙县教育局", "丁大学"))


class WorldTrust:
    """The hub's trust: the PKI's, renewed in time unless it is made stale. Port ``Trust``."""

    def __init__(self, pki: PkiWorld, now: datetime) -> None:
        self._pki = pki
        self._built = now
        self._paths = PathCache(pki.trust(now))
        self.stale = False
        """Set to leave the revocation lists as they are, however old they get."""

    @property
    def store(self) -> TrustStore:
        """What is trusted now."""
        return self._paths.trust

    def renew(self, now: datetime) -> None:
        """Fetch the revocation lists of this instant."""
        self._built = now
        self._paths.replace(self._pki.trust(now))

    def check(
        self,
        certificate: x509.Certificate,
        *,
        others: Sequence[x509.Certificate],
        purpose: Purpose,
        at: datetime,
    ) -> ValidatedPath:
        """As the port promises."""
        if not self.stale and abs(at - self._built) > timedelta(days=5):
            self.renew(at)
        return self._paths.check(certificate, others, purpose, at)


def a_seal(
    signer: Member,
    *,
    verdict: Verdict = Verdict.VALID_WITH_REMARKS,
    sub_indication: str | None = None,
) -> SealReport:
    """What a judge says of a seal of this unit."""
    indication = {
        Verdict.UNDECIDED: Indication.INDETERMINATE,
        Verdict.NOT_VALID: Indication.TOTAL_FAILED,
    }.get(verdict, Indication.TOTAL_PASSED)
    return SealReport(
        format="PAdES-B-B",
        verdict=verdict,
        indication=indication,
        sub_indication=sub_indication,
        signer=signer.name,
        time=None,
        time_source=None,
        steps=(),
        unit=signer.unit,
    )


@dataclass
class ToldJudge:
    """A judge that says what it was told about each content; it opens nothing. Port ``Judge``."""

    told: dict[str, tuple[tuple[SealReport, ...], tuple[Finding, ...], str | None, bool]] = field(
        default_factory=dict
    )
    asked: list[str] = field(default_factory=list)

    def tell(
        self,
        content: bytes,
        *seals: SealReport,
        findings: Sequence[Finding] = (),
        mark: str | None = None,
        page_read: bool = True,
    ) -> None:
        """From now on this is the verdict on the content."""
        self.told[digest_of(content).removeprefix("sha256:")] = (seals, tuple(findings), mark, page_read)

    async def judge(self, path: Path, *, name: str, trust: TrustStore, at: datetime) -> Judged:
        """As the port promises."""
        self.asked.append(name)
        seals, findings, mark, page_read = self.told[path.name]
        report: FileReport = file_report(name, seals, findings)
        return Judged(report, mark, page_read)


@dataclass(frozen=True)
class Letter:
    """A submission ready to be made: the signed envelope, and who submits it."""

    envelope: bytes
    signature: bytes
    unit: UnitId

    @property
    def dispatch(self) -> Dispatch:
        """What the envelope says."""
        return decode_dispatch(self.envelope)


class SubmissionRefused(Exception):
    """What a refused sender is told: the reason, and the receipt (E02)."""

    def __init__(self, code: str, receipt: bytes) -> None:
        self.code = code
        self.receipt = receipt
        super().__init__(code)


class FaultySigner:
    """The signer of checkpoints, once or more unable to write. Port ``CheckpointSigner``."""

    def __init__(self, signer: CheckpointSigner) -> None:
        self.signer = signer
        self.failing: list[bool] = []
        """Failures to come; True where the state is kept all the same."""

    async def last(self) -> object:
        """As the port promises."""
        return await self.signer.last()

    async def sign(self, *, leaves: Sequence[bytes], size: int, root: bytes) -> bytes:
        """As the port promises, but for the failures to come."""
        if self.failing:
            if self.failing.pop(0):
                await self.signer.sign(leaves=leaves, size=size, root=root)
            raise OSError(5, "the signer's disk")
        return await self.signer.sign(leaves=leaves, size=size, root=root)


class World:
    """A hub, four units, and the letters between them."""

    def __init__(
        self,
        folder: Path,
        *,
        pki: PkiWorld | None = None,
        now: datetime = NOW,
        judge: Judge | None = None,
        busy_seconds: float = 5,
        seed: int = 1,
    ) -> None:
        self.folder = folder
        self.pki = pki or the_pki()
        self.hub, self.units = (
            the_members()
            if pki is None
            else (pki.hub(), tuple(pki.unit(name) for name in ("甲局", "乙局", "丙局", "丁局")))
        )
        self.clock = Clock(now)
        self.trust = WorldTrust(self.pki, now)
        self.told = ToldJudge()
        self.judge: Judge = judge or self.told
        self.busy_seconds = busy_seconds
        self._chance = random.Random(seed)
        # Only for the ledger of this world; Ed25519 notes are then the same in every run.
        self._ledger_key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self._key = NoteSigner(
            LEDGER, self._ledger_key.public_key().public_bytes_raw(), self._ledger_key.sign
        )
        self.policy = encode_policy(Policy((LogLine(self._key.verifier),)))
        self.handed_out: dict[str, bytes] = {}
        """Every receipt that was ever given to anybody, by evidence id."""
        self.verified: set[str] = set()
        """Digests of receipts that were judged already; the same bytes are not judged again."""
        self._letters = 0

    # -- life ------------------------------------------------------------------------------------

    @property
    def first(self) -> Member:
        """The unit that mostly sends."""
        return self.units[0]

    @property
    def second(self) -> Member:
        """The unit that mostly receives."""
        return self.units[1]

    @property
    def third(self) -> Member:
        """Another recipient."""
        return self.units[2]

    @property
    def stranger(self) -> Member:
        """A unit of the directory that has nothing to do with it."""
        return self.units[3]

    @property
    def sqlite(self) -> Path:
        """The database's file."""
        return self.folder / "hub.sqlite"

    @property
    def journal(self) -> Path:
        """The signer's journal."""
        return self.folder / "signer" / "journal"

    async def __aenter__(self) -> Self:
        await self.create()
        await self.start()
        await self.register(*self.units)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def create(self) -> None:
        """What ``gongwen hub init`` makes."""
        self.folder.mkdir(exist_ok=True)
        LocalContents.create(self.folder / "contents")
        (self.folder / "signer").mkdir()
        Journal.create(self.journal, LEDGER)
        self.sqlite.write_bytes(await _empty_database())

    async def start(self, *, check: bool = True) -> None:
        """Open every part and start the writer.

        Raises:
            Broken: ledger and signer disagree. The world stays closed then.
        """
        self.database = Database(f"sqlite+aiosqlite:///{self.sqlite}", busy_seconds=self.busy_seconds)
        self.files = LedgerFiles(self.database, LEDGER)
        self.records = SqlRecords(self.database, self.files)
        self.contents = LocalContents(self.folder / "contents")
        self.signer = FaultySigner(EmbeddedSigner(Journal(self.journal), self._key))
        self.committer = Committer(
            self.database,
            self.files,
            self.records,
            self.signer,  # type: ignore[arg-type]
            clock=self.clock,
            random=self._chance.randbytes,
            retry_seconds=0.02,
        )
        hub = self.hub.seal
        self.notary = Notary(
            origin=ORIGIN,
            unit=self.hub.unit,
            certificate=hub.certificate,
            others=hub.others,
            signer=CadesSigner(hub.signer, hub.chain),
            trust=self.trust,
            random=self._chance.randbytes,
        )
        self.intake = Intake(
            rules=IntakeRules(ORIGIN, timedelta(days=90)),
            trust=self.trust,
            grants=self.records,
            contents=self.contents,
            directory=self.records,
            judge=self.judge,
        )
        try:
            await self.committer.start()
        except BaseException:
            self.committer._thread.shutdown()
            await self.database.close()
            raise

    async def stop(self) -> None:
        """Stop in good order."""
        await self.committer.close()
        await self.database.close()

    async def crash(self) -> None:
        """Forget everything that is not on the disk."""
        task = self.committer._task
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.committer._thread.shutdown()
        await self.database.close()

    async def restart(self) -> None:
        """Crash, and start again."""
        await self.crash()
        await self.start()

    async def register(self, *members: Member) -> None:
        """Enter the units and their certificates in the directory, as enrolment does."""
        now = format_time(self.clock())
        units = [
            {"unit": one.unit, "name": one.name, "active": True, "registered_at": now} for one in members
        ]
        credentials = [
            {
                "fingerprint": digest_of(encode_certificate(credential.certificate)),
                "unit": one.unit,
                "purpose": purpose,
                "certificate": encode_certificate(credential.certificate),
                "revoked_at": None,
            }
            for one in members
            for purpose, credential in (("seal", one.seal), ("tls", one.tls))
        ]
        await self.committer.add(Rows(t.unit, units, replace=True))
        await self.committer.add(Rows(t.credential, credentials, replace=True))

    async def set_active(self, member: Member, active: bool) -> None:
        """Suspend a unit, or take it back."""
        row = {
            "unit": member.unit,
            "name": member.name,
            "active": active,
            "registered_at": format_time(self.clock.now),
        }
        await self.committer.add(Rows(t.unit, [row], replace=True))

    async def settle(self) -> None:
        """Wait until what was committed is signed."""
        for _ in range(500):
            if not self.committer._unsigned:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it is not signed after five seconds")

    async def check_everything(self) -> None:
        """Read the whole world again and check it; see ``tests.worlds.hub_checks``."""
        await check_world(self)

    # -- faults ----------------------------------------------------------------------------------

    def fail_once(self, write: Write, *, kept: bool) -> None:
        """The next write of this kind fails: it is lost, or it is kept and reported lost."""
        match write:
            case "enqueue":
                self._fail_enqueue(kept)
            case "sequence":
                self.fail_commit(kept)
            case "sign":
                self.signer.failing.append(kept)
            case "release":
                self._fail_release(kept)

    def _fail_enqueue(self, kept: bool) -> None:
        committer, submit = self.committer, self.committer._submit

        async def failing(work: object) -> object:
            del committer._submit
            if kept:
                # It is in the queue and goes its way; only its caller never hears of it.
                await submit(work)  # type: ignore[arg-type]
            raise Unavailable(detail="the connection broke")

        committer._submit = failing  # type: ignore[method-assign, assignment]

    def fail_commit(self, kept: bool, error: Exception | None = None) -> None:
        """The next COMMIT raises; the transaction is rolled back, or stands nevertheless."""
        engine = self.database.writer

        def failing(connection: object) -> None:
            event.remove(engine, "commit", failing)
            if kept:
                connection.connection.dbapi_connection.commit()  # type: ignore[attr-defined]
            raise error or OperationalError("COMMIT", None, Exception("the disk did not answer"))

        event.listen(engine, "commit", failing)

    def _fail_release(self, kept: bool) -> None:
        committer, release = self.committer, self.committer._release

        def failing(written: object, note: bytes) -> None:
            del committer._release
            if kept:
                release(written, note)  # type: ignore[arg-type]
            raise OSError(5, "the connection broke")

        committer._release = failing  # type: ignore[method-assign]
        if kept:
            self._fail_enqueue(True)

    # -- letters ---------------------------------------------------------------------------------

    async def upload(self, unit: UnitId, content: bytes, *, signer: Member | None = None) -> Digest:
        """What ``PUT /v1/contents`` does; with ``signer`` the judge will find that unit's seal on it."""
        digest = digest_of(content)

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self.contents.write(unit, digest, chunks(), offset=0, total=len(content))
        await self.committer.grant(unit, digest, len(content), at=self.clock())
        if signer is not None:
            self.told.tell(content, a_seal(signer))
        return digest

    async def letter(
        self,
        *,
        sender: Member | None = None,
        main: Sequence[Member] | None = None,
        copy: Sequence[Member] = (),
        contents: bytes | None = None,
        attachments: Mapping[str, bytes] | None = None,
        uploaded: bool = True,
        signer: Credential | None = None,
        unit: UnitId | None = None,
        title: str = "关于开展数据共享工作的通知",
        metadata: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Letter:
        """A letter whose contents are uploaded; ``changes`` are fields of the envelope."""
        sender = sender or self.first
        self._letters += 1
        body = contents if contents is not None else b"%PDF-1.7 letter " + str(self._letters).encode()
        if uploaded:
            await self.upload(sender.unit, body, signer=sender if contents is None else None)
        extra = []
        for name, attachment in (attachments or {}).items():
            if uploaded:
                await self.upload(sender.unit, attachment)
            media_type = PDF if name.endswith(".pdf") else "text/plain"
            extra.append(Document(digest_of(attachment), media_type, name, len(attachment)))
        now = to_milliseconds(self.clock())
        dispatch = Dispatch(
            dispatch_id=DispatchId(uuid7(now, self._chance.randbytes(10))),
            sender=sender.unit,
            origin=ORIGIN,
            main=tuple(one.unit for one in (main if main is not None else [self.second])),
            copy=tuple(one.unit for one in copy),
            contents=Document(digest_of(body), PDF, "正文.pdf", len(body)),
            attachments=tuple(extra),
            metadata=Metadata(title=title, issued_number="甲教发〔2026〕12号", **(metadata or {})),
            sent_at=now,
            due_at=now + timedelta(days=4),
            expires_at=now + timedelta(days=30),
        )
        return self.sign(replace(dispatch, **changes), signer or sender.seal, unit=unit or sender.unit)

    def sign(self, dispatch: Dispatch, signer: Credential, *, unit: UnitId) -> Letter:
        """The envelope signed by this key."""
        return self.sign_bytes(encode_dispatch(dispatch), signer, unit=unit)

    def sign_bytes(self, envelope: bytes, signer: Credential, *, unit: UnitId) -> Letter:
        """Any bytes as an envelope, signed by this key."""
        signature = CadesSigner(signer.signer, signer.chain).sign(envelope, at=self.clock.now)
        return Letter(envelope, signature, unit)

    async def submit(self, letter: Letter) -> Accepted:
        """What ``POST /v1/dispatches`` does, without HTTP.

        Raises:
            SubmissionRefused: with E02, now or before.
            ContentMissing Unavailable Broken: as there.
        """
        now = self.clock()
        received = receive(letter.unit, letter.envelope, letter.signature, now=now)
        try:
            dispatch = decode_dispatch(letter.envelope)
        except EnvelopeMalformed:
            pass
        else:
            found = await self.records.accepted(letter.unit, dispatch.dispatch_id)
            if found is not None and found[0] == received.digest and dispatch.sender == letter.unit:
                return self._accepted(found[1])
        refused = await self.records.rejected(letter.unit, received.digest, received.signature_digest)
        if refused is not None:
            raise self._refused(refused)
        try:
            verified = await verify(received, intake=self.intake)
            laid_out = store(verified, random=self._chance.randbytes)
            return self._accepted(await append(laid_out, ledger=self.committer, notary=self.notary))
        except ContentMissing:
            raise
        except Rejected as error:
            receipt = await append_rejection(
                received, error, sentence=str(error), ledger=self.committer, notary=self.notary
            )
            raise self._refused(receipt) from error

    def _accepted(self, accepted: Accepted) -> Accepted:
        self.hand_out(accepted.receipt)
        return accepted

    def _refused(self, receipt: bytes) -> SubmissionRefused:
        evidence = self.hand_out(receipt)
        return SubmissionRefused(evidence.reasons[0].code, receipt)

    def hand_out(self, receipt: bytes) -> Evidence:
        """Remember a receipt that somebody got; the same evidence has the same receipt for ever."""
        evidence = decode_evidence(decode_receipt(receipt).evidence)
        assert self.handed_out.setdefault(evidence.evidence_id, receipt) == receipt
        return evidence

    # -- what happens to consignments ------------------------------------------------------------

    async def deliver(self) -> int:
        """One round of the courier."""
        return await deliver_waiting(
            records=self.records,
            directory=self.records,
            ledger=self.committer,
            notary=self.notary,
            now=self.clock(),
        )

    async def expire(self) -> int:
        """One look for what has expired."""
        return await expire_overdue(
            records=self.records, ledger=self.committer, notary=self.notary, now=self.clock()
        )

    async def consign(self, letter: Letter | None = None, **options: Any) -> list[ConsignmentId]:
        """A letter that is submitted and delivered; the ids of its consignments."""
        letter = letter or await self.letter(**options)
        accepted = await self.submit(letter)
        await self.deliver()
        return [one.consignment_id for one in accepted.consignments]

    async def statement(
        self,
        actor: Member,
        consignment_id: ConsignmentId,
        event: Event,
        /,
        *,
        reasons: Sequence[Reason] | None = None,
        signer: Credential | None = None,
        **changes: Any,
    ) -> Statement:
        """What the unit would state about the consignment as it stands, signed; ``changes`` are its fields."""
        consignment = await self.records.consignment(consignment_id)
        assert consignment is not None
        kept = await self.records.dispatch(consignment.sender, consignment.dispatch_id)
        assert kept is not None
        now = to_milliseconds(self.clock.now)
        if reasons is None:
            reasons = WRONG_RECIPIENT if event is Event.CONSIGNMENT_REJECTION else ()
        evidence = Evidence(
            evidence_id=EvidenceId(uuid7(now, self._chance.randbytes(10))),
            event=event,
            event_time=now,
            actor=Actor(actor.unit, digest_of(encode_certificate((signer or actor.seal).certificate))),
            origin=ORIGIN,
            policy=UNIT_SEAL_POLICY.dotted_string,
            sender=consignment.sender,
            dispatch=kept.digest,
            dispatch_id=kept.dispatch.dispatch_id,
            submitted_at=kept.accepted_at,
            contents=tuple(one.digest for one in kept.dispatch.documents),
            recipient=consignment.recipient,
            consignment_id=consignment_id,
            issued_number=kept.dispatch.metadata.issued_number,
            previous=consignment.last_evidence,
            reasons=tuple(reasons),
        )
        body = encode_evidence(replace(evidence, **changes))
        return self.signed_statement(body, signer or actor.seal)

    def signed_statement(self, body: bytes, signer: Credential) -> Statement:
        """Any bytes as a statement, signed by this key."""
        signature = CadesSigner(signer.signer, signer.chain).sign(body, at=self.clock.now)
        return Statement(body, signature)

    async def post(self, unit: UnitId, consignment_id: ConsignmentId, statement: Statement) -> Acted:
        """What ``POST /v1/consignments/{id}/acts`` does."""
        acted = await acknowledge(
            unit,
            consignment_id,
            statement,
            records=self.records,
            ledger=self.committer,
            notary=self.notary,
            trust=self.trust,
            now=self.clock(),
        )
        self.hand_out(acted.receipt)
        return acted

    async def act(
        self,
        actor: Member,
        consignment_id: ConsignmentId,
        event: Event,
        *,
        reasons: Sequence[Reason] | None = None,
    ) -> Acted:
        """State it and post it."""
        return await self.post(
            actor.unit, consignment_id, await self.statement(actor, consignment_id, event, reasons=reasons)
        )

    async def refuse_recall(self, consignment_id: ConsignmentId) -> Evidence:
        """What the hub does about a recall that came too late (E14)."""
        consignment = await self.records.consignment(consignment_id)
        assert consignment is not None
        receipt = await refuse_recall(
            consignment,
            records=self.records,
            ledger=self.committer,
            notary=self.notary,
            now=self.clock(),
        )
        return self.hand_out(receipt)

    # -- looking ---------------------------------------------------------------------------------

    async def state(self, consignment_id: ConsignmentId) -> str:
        """Where the consignment stands."""
        consignment = await self.records.consignment(consignment_id)
        assert consignment is not None
        return consignment.state.value

    @property
    def size(self) -> int:
        """How many entries the ledger has."""
        return self.committer.size


_TEMPLATE: list[bytes] = []


async def _empty_database() -> bytes:
    """The database of a new hub; made once, by the migrations, and copied."""
    if not _TEMPLATE:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "hub.sqlite"
            database = Database(f"sqlite+aiosqlite:///{path}")
            await database.migrate()
            await asyncio.to_thread(found_ledger, database, LEDGER, datetime(2026, 1, 1, tzinfo=UTC))
            await database.close()
            _TEMPLATE.append(path.read_bytes())
    return _TEMPLATE[0]
