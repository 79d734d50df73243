"""The main job, whole and for real, on this machine: ``gongwen demo``.

    a certification authority and a hub, three units, real PDFs; sealed, sent,
    signed for (签收), returned (退文), recalled (撤回), refused; and in the end an
    auditor who has nothing but files

Nothing in it is staged: the hub is a process of its own on loopback, the units are
the client library over mutual TLS, and the auditor works after the hub has stopped.
With ``--keep`` it leaves the folder of DESIGN §7.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from clients import auditor
from clients.commands.naming import word_of
from clients.demo_papers import Paper, papers
from clients.enrolment import decode_invitation, enrol
from clients.errors import DemoFailed, OptionUnfit, SubmissionRejected
from clients.exits import Exit
from clients.files import write_atomically, write_privately
from clients.home import UnitHome
from clients.hub import Hub
from clients.sealing import Place, seal_file
from clients.speech import language, say, show, show_json
from clients.transport import tls_context
from clients.verify import Court, verify_folder
from exchange.config import read_settings
from exchange.ledger.audit import Outcome
from exchange.ledger.policy import parse_policy
from exchange.operator import NewHub, init_hub, invite, open_authority
from exchange.protocol.api import ConsignmentView, DispatchView
from exchange.protocol.receipt import SUFFIX
from pki.names import check_character
from pki.storage.trust import read_trust_folder
from pki.text import N_, Text, text
from signing.report import FileReport, Verdict, report_json

ORIGIN = "hub.demo.example"
STOP_SECONDS = 15.0
START_SECONDS = 30.0
# The keys of a demo lie beside their secret; a costly derivation would guard nothing.
KDF_COST = 1 << 12

HUB_UNIT = ("11310000MB0000001", "市公文交换中心")
SENDER = ("11310000MB0000002", "市政府办公室", "office")
FINANCE = ("11310000MB0000003", "市财政局", "finance")
EDUCATION = ("11310000MB0000004", "县教育局", "education")


def code(first: str) -> str:
    """A 统一社会信用代码 from its first 17 characters."""
    return first + check_character(first)


@dataclass(slots=True)
class Story:
    """What has happened so far, for the person and for ``--json``."""

    quiet: bool
    steps: list[dict[str, object]] = field(default_factory=list)
    receipts: dict[str, bytes] = field(default_factory=dict)
    """By evidence id, every receipt of the run."""
    _started: float = field(default_factory=time.monotonic)

    def tell(self, name: str, *sentences: Text) -> None:
        """One step, in a few calm lines."""
        seconds = time.monotonic() - self._started
        lines = [say(sentence) for sentence in sentences]
        self.steps.append({"step": name, "seconds": round(seconds, 2), "text": lines})
        if not self.quiet:
            show(f"{len(self.steps):>2}. {lines[0]}")
            for line in lines[1:]:
                show(f"    {line}")


def run(*, folder: Path | None, keep: bool, as_json: bool, document: Path | None = None) -> int:
    """Do everything; the exit code. Without ``keep`` nothing is left behind.

    Raises:
        OptionUnfit: the folder is there and not empty, or the document is no PDF.
        DemoFailed: the hub did not start, or something did not verify.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise OptionUnfit(option="--dir", detail="the folder is not empty")
    if document is not None and not document.read_bytes()[:1024].count(b"%PDF-"):
        raise OptionUnfit(option="--document", detail="not a PDF")
    root = folder if folder is not None else Path(tempfile.mkdtemp(prefix="gongwen-demo-"))
    made = folder is not None and not folder.exists()
    root.mkdir(parents=True, exist_ok=True)
    story = Story(quiet=as_json)
    try:
        verdict = _Demo(root.resolve(), story, document).play()
    finally:
        if not keep:
            for part in PARTS:
                shutil.rmtree(root / part, ignore_errors=True)
            if made or folder is None:
                with contextlib.suppress(OSError):
                    root.rmdir()
    if keep:
        story.tell(
            "kept",
            text(
                N_(
                    "Everything is kept in {folder}. Try: gongwen verify {folder}/receipts --trust {folder}/trust"
                ),
                folder=root,
            ),
        )
    if as_json:
        show_json({"folder": str(root) if keep else None, "steps": story.steps, **verdict})
    return Exit.DONE


PARTS = ("trust", "documents", "dispatches", "receipts", "ledger", "hub")


class _Demo:
    def __init__(self, root: Path, story: Story, document: Path | None) -> None:
        self._root = root
        self._story = story
        self._document = document
        self._hub_folder = root / "hub"
        self._config = self._hub_folder / "hub.toml"
        self._units = self._hub_folder / "demo-units"

    def play(self) -> dict[str, object]:
        """From nothing to the auditor's word."""
        for part in ("documents", "dispatches", "receipts"):
            (self._root / part).mkdir()
        self._found_hub()
        with self._serving(), contextlib.ExitStack() as stack:
            office, finance, education = (
                stack.enter_context(self._enrol(*unit)) for unit in (SENDER, FINANCE, EDUCATION)
            )
            self._story.tell(
                "enrolled",
                text(
                    N_("Three units enrol with keys of their own: {units}."),
                    units="、".join(unit[1] for unit in (SENDER, FINANCE, EDUCATION)),
                ),
                text(
                    N_("Each made its keys itself and proved that it holds them; the hub never sees a key.")
                ),
            )
            first, second, spoilt = self._seal(office)
            self._exchange(first, office, finance, education)
            self._recall(second, office, finance, education)
            self._refuse(spoilt, office)
            self._collect(office)
            self._export(office)
        self._story.tell("stopped", text(N_("The hub is stopped. From here on there are only files.")))
        return self._audit()

    # --- the hub ----------------------------------------------------------------------------------

    def _found_hub(self) -> None:
        units_port, public_port = _free_ports(2)
        init_hub(
            self._hub_folder,
            NewHub(
                origin=ORIGIN,
                unit=code(HUB_UNIT[0]),
                name=HUB_UNIT[1],
                units_listen=f"127.0.0.1:{units_port}",
                public_listen=f"127.0.0.1:{public_port}",
                units_url=f"https://127.0.0.1:{units_port}",
                public_url=f"https://127.0.0.1:{public_port}",
                server_names=("127.0.0.1", "localhost"),
                kdf_cost=KDF_COST,
            ),
        )
        self._units.mkdir(mode=0o700)
        self._story.tell(
            "founded",
            text(
                N_(
                    "A certification authority is made: an offline root, and an issuing authority for each purpose."
                )
            ),
            text(
                N_("A hub is made: {name} ({origin}), with SQLite and a local content folder."),
                name=HUB_UNIT[1],
                origin=ORIGIN,
            ),
        )

    @contextmanager
    def _serving(self) -> Iterator[None]:
        settings = read_settings(self._config)
        with (self._hub_folder / "hub.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "clients", "hub", "serve", "--config", str(self._config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            self._wait_until_ready(process, settings.public_url)
            self._story.tell(
                "serving",
                text(
                    N_("The hub listens on {units} (units, mutual TLS) and {public} (everybody)."),
                    units=settings.units_url,
                    public=settings.public_url,
                ),
            )
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes], url: str) -> None:
        anchors = read_trust_folder(self._hub_folder / "trust").store.anchors_for(None).certificates
        until = time.monotonic() + START_SECONDS
        with httpx2.Client(verify=tls_context(anchors), timeout=2, trust_env=False) as client:
            while time.monotonic() < until:
                if process.poll() is not None:
                    break
                with contextlib.suppress(httpx2.HTTPError):
                    if client.get(f"{url}/readyz").status_code == 200:
                        return
                time.sleep(0.05)
        log = (self._hub_folder / "hub.log").read_text(errors="replace").splitlines()[-5:]
        raise DemoFailed(detail="the hub did not start: " + " | ".join(log))

    # --- the units --------------------------------------------------------------------------------

    @contextmanager
    def _enrol(self, first: str, name: str, folder: str) -> Iterator[Hub]:
        invitation = invite(self._config, code(first), name)
        home = self._units / folder
        secret = secrets.token_urlsafe(24).encode()
        enrol(
            decode_invitation(json.dumps(invitation).encode()),
            home,
            secret=secret,
            now=_now,
            jitter=random.random,
        )
        write_privately(home / "secret", secret + b"\n")
        with Hub(UnitHome.open(home, secret), language=language().replace("_", "-")) as hub:
            yield hub

    def _seal(self, office: Hub) -> tuple[Sealed, Sealed, Sealed]:
        made = []
        for paper in papers(self._document, datetime.now(UTC)):
            plain = self._units / f"{paper.name}.pdf"
            write_atomically(plain, paper.pdf)
            sealed = self._root / "documents" / f"{paper.name}.pdf"
            place = (
                None if paper.place is None else Place(paper.place.page, paper.place.x_mm, paper.place.y_mm)
            )
            seal_file(office.home, plain, sealed, place=place, reason=paper.reason)
            plain.unlink()
            made.append(Sealed(paper, sealed))
        self._story.tell(
            "sealed",
            text(
                N_(
                    "{unit} seals {count} documents with its own key: a red seal to see, and a PAdES signature under it."
                ),
                unit=SENDER[1],
                count=len(made),
            ),
            text(N_("They are certified: any later change shows.")),
        )
        # A copy in which one bit was changed after sealing, far from the seal itself.
        spoilt = self._units / "changed-after-sealing.pdf"
        data = bytearray(made[0].path.read_bytes())
        data[len(data) // 3] ^= 1
        write_atomically(spoilt, bytes(data))
        return made[0], made[1], Sealed(made[0].paper, spoilt)

    # --- the exchange -----------------------------------------------------------------------------

    def _exchange(self, sealed: Sealed, office: Hub, finance: Hub, education: Hub) -> None:
        sent = office.send(
            [sealed.path],
            to=[code(FINANCE[0])],
            copy=[code(EDUCATION[0])],
            title=sealed.paper.title,
            issued_number=sealed.paper.number,
            urgency="平件",
        )
        self._story.tell(
            "sent",
            text(
                N_("{unit} sends “{title}” to {main} (主送) and {copy} (抄送)."),
                unit=SENDER[1],
                title=sealed.paper.title,
                main=FINANCE[1],
                copy=EDUCATION[1],
            ),
            text(
                N_(
                    "The hub judged seal and envelope, wrote it into the ledger, and gave the receipt: {event}."
                ),
                event="SubmissionAcceptance",
            ),
        )
        consignment = _await(finance)
        finance.fetch(consignment.consignment_id, self._units / "finance" / "fetched")
        finance.sign_for(consignment.consignment_id)
        self._story.tell(
            "signed-for",
            text(
                N_("{unit} collects its copy, checks it, and signs for it (签收) with its own key."),
                unit=FINANCE[1],
            ),
        )
        consignment = _await(education)
        education.fetch(consignment.consignment_id, self._units / "education" / "fetched")
        education.return_(
            consignment.consignment_id, code="wrong-recipient", text="此件内容不属我局职责，退回。"
        )
        self._story.tell(
            "returned",
            text(
                N_("{unit} returns its copy (退文) with a reason: {reason}"),
                unit=EDUCATION[1],
                reason="此件内容不属我局职责，退回。",
            ),
            text(N_("Both facts are statements of the units themselves; the hub only countersigns.")),
        )
        self._told(office, sent.dispatch_id)

    def _recall(self, sealed: Sealed, office: Hub, finance: Hub, education: Hub) -> None:
        sent = office.send(
            [sealed.path],
            to=[code(FINANCE[0]), code(EDUCATION[0])],
            title=sealed.paper.title,
            issued_number=sealed.paper.number,
            urgency="加急",
        )
        for unit in (finance, education):
            _await(unit, dispatch_id=sent.dispatch_id)
        office.recall(sent.dispatch_id, code="sent-in-error", text="附件有误，撤回。")
        self._story.tell(
            "recalled",
            text(
                N_("A second dispatch, “{title}”, is recalled (撤回) before anybody has signed for it."),
                title=sealed.paper.title,
            ),
        )
        self._told(office, sent.dispatch_id)

    def _refuse(self, spoilt: Sealed, office: Hub) -> None:
        try:
            office.send([spoilt.path], to=[code(FINANCE[0])], title=spoilt.paper.title)
        except SubmissionRejected as error:
            receipt = error.receipt
            refusal = error.problem
        else:
            raise DemoFailed(detail="a document that was changed after sealing was accepted")
        evidence = office.session.check(receipt, name="refusal", expected=lambda _receipt: None)
        self._story.receipts[evidence.evidence.evidence_id] = receipt
        self._story.tell(
            "refused",
            text(
                N_(
                    "A document that was changed after sealing is refused, and the refusal has its receipt as well."
                )
            ),
            text("{code}: {detail}", code=refusal.code, detail=refusal.detail),
        )

    def _told(self, office: Hub, dispatch_id: str) -> None:
        view = office.dispatch(dispatch_id)
        states = ", ".join(f"{_name(one.recipient)} {word_of(one.state)}" for one in view.consignments)
        self._story.tell(
            "state",
            text(
                N_("So it stands for the sender: {state} ({states})."),
                state=word_of(view.state),
                states=states,
            ),
        )

    # --- what is left -----------------------------------------------------------------------------

    def _collect(self, office: Hub) -> None:
        views: list[DispatchView] = list(office.whole_outbox())
        for view in views:
            refs = {one.evidence_id for one in view.evidence}
            refs |= {one.evidence_id for consignment in view.consignments for one in consignment.evidence}
            for evidence_id in refs:
                self._story.receipts[evidence_id] = office.receipt(evidence_id).raw
            office.package(view.dispatch_id, self._root / "dispatches" / f"{view.dispatch_id}.asice")
        for evidence_id, raw in self._story.receipts.items():
            write_atomically(self._root / "receipts" / (evidence_id + SUFFIX), raw)
        self._story.tell(
            "collected",
            text(
                N_("{count} receipts and {packages} dispatch packages are saved: every step has left one."),
                count=len(self._story.receipts),
                packages=len(views),
            ),
        )

    def _export(self, office: Hub) -> None:
        settings = read_settings(self._config)
        policy_bytes = (self._hub_folder / "ledger.policy").read_bytes()
        with open_authority(settings) as authority:
            authority.write_trust(self._root / "trust", now=_now(), ledger_policy=policy_bytes)
        policy = parse_policy(policy_bytes)
        anchors = office.home.trust.store.anchors_for(None).certificates
        source = auditor.HttpSource(
            f"{settings.public_url}/ledger", policy, tls=tls_context(anchors), jitter=random.random
        )
        try:
            verified = auditor.export(source, policy, self._root / "ledger")
        finally:
            source.close()
        self._story.tell(
            "exported",
            text(
                N_("The ledger is copied out: {size} entries under one signed checkpoint."),
                size=verified.checkpoint.size,
            ),
        )

    def _audit(self) -> dict[str, object]:
        trust = read_trust_folder(self._root / "trust")
        court = Court(trust=trust, now=_now())
        reports: list[FileReport] = []
        try:
            for part in ("documents", "dispatches", "receipts"):
                reports.extend(verify_folder(self._root / part, court))
        finally:
            court.pdfs.close()
        policy = parse_policy(trust.ledger_policy or b"")
        audited = auditor.audit(auditor.FolderSource(self._root / "ledger"), policy)
        bad = [one.file for one in reports if one.verdict not in (Verdict.VALID, Verdict.VALID_WITH_REMARKS)]
        if bad or audited.outcome is not Outcome.PROVEN:
            problems = bad + [str(one.error) for one in audited.findings]
            raise DemoFailed(detail="not everything verifies: " + "; ".join(problems))
        seals = sum(len(one.seals) for one in reports)
        self._story.tell(
            "audited",
            text(
                N_(
                    "An auditor verifies, from files alone: {files} files with {seals} seals and signatures, all good."
                ),
                files=len(reports),
                seals=seals,
            ),
            text(
                N_("The whole ledger: {entries} entries re-hashed, the root is the signed one."),
                entries=audited.entries,
            ),
        )
        return {
            "verified": [report_json(one, say=say) for one in reports],
            "ledger": {"outcome": audited.outcome.name, "entries": audited.entries, "files": audited.files},
        }


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed document and what it says."""

    paper: Paper
    path: Path


def _await(hub: Hub, *, dispatch_id: str | None = None) -> ConsignmentView:
    """The consignment that comes next, or that of a dispatch."""
    after, until = -1, time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        page = hub.inbox(after=after, wait=5)
        for one in page.items:
            if dispatch_id in (None, one.dispatch_id):
                return one
        after = max(after, page.cursor)
    raise DemoFailed(detail="a consignment did not arrive")


def _name(unit: str) -> str:
    return next((one[1] for one in (SENDER, FINANCE, EDUCATION) if code(one[0]) == unit), unit)


def _now() -> datetime:
    return datetime.now(UTC)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
