"""A hub in memory behind ``httpx2.MockTransport``: real receipts, and faults on request.

    world = ClientWorld(tmp_path)
    hub = world.client()
    world.hub.faults.append(drop_answer)
    hub.send([world.document("通知.pdf", b"...")], to=[world.recipient.unit], title="通知")

Its evidence is signed and logged with the real formats, so that the client's own
checks judge it; its state machine is ``exchange.protocol.states``. What it leaves out
is everything a client cannot see: storage, trust in what it is sent, time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from clients.home import SEAL, TLS, UnitConfig, UnitHome, encode_config
from clients.hub import AsyncHub, Hub
from clients.session import Session
from exchange.ledger.checkpoint import Checkpoint, sign_checkpoint
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.note import NoteSigner
from exchange.ledger.tree import MemoryTree
from exchange.protocol.dispatch import Dispatch, decode_dispatch
from exchange.protocol.entry import Entry, commitment, encode_entry
from exchange.protocol.errors import WrongState
from exchange.protocol.events import Author, Event
from exchange.protocol.evidence import Actor, Evidence, Reason, decode_evidence, encode_evidence
from exchange.protocol.identifiers import ConsignmentId, Digest, EvidenceId, digest_of, format_time, uuid7
from exchange.protocol.receipt import assemble_receipt
from exchange.protocol.states import State, aggregate, allowed_events, next_state
from pki.names import UnitId
from pki.profile import HUB_EVIDENCE_POLICY, UNIT_SEAL_POLICY
from pki.storage.keys import KeyFolder
from pki.storage.trust import write_trust_folder
from signing.cms import CadesSigner
from tests.worlds.pki import NOW, Member, PkiWorld

SECRET = b"a secret of this test"
ORIGIN = "hub.test/ledger"
Handler = Callable[[httpx2.Request], httpx2.Response]
Fault = Callable[[httpx2.Request, Handler], httpx2.Response]


def refuse_connection(request: httpx2.Request, _handle: Handler) -> httpx2.Response:
    """The request never arrives."""
    raise httpx2.ConnectError("connection refused", request=request)


def drop_answer(request: httpx2.Request, handle: Handler) -> httpx2.Response:
    """The request arrives and is obeyed; the answer is lost."""
    handle(request)
    raise httpx2.ReadError("connection reset", request=request)


def answer(status: int, **headers: str) -> Fault:
    """An answer without a body, whatever was asked."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request, _handle: httpx2.Response(status, headers=named)


@dataclass
class Box:
    """One consignment in the fake."""

    consignment_id: ConsignmentId
    recipient: str
    role: str
    state: State
    cursor: int
    evidence: list[Evidence] = field(default_factory=list)


@dataclass
class Sent:
    """One dispatch in the fake."""

    envelope: bytes
    signature: bytes
    dispatch: Dispatch
    answer: bytes
    boxes: list[Box]
    accepted: Evidence


class FakeHub:
    """The hub's side of the interface, for one unit at a time."""

    def __init__(self, pki: PkiWorld, now: Callable[[], datetime]) -> None:
        self.pki = pki
        self.now = now
        self.member = pki.hub()
        self.signer = CadesSigner(self.member.seal.signer, self.member.seal.chain)
        self.log = NoteSigner.from_key(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
        self.policy = f"log {self.log.vkey}\nquorum none\n".encode()
        self.tree = MemoryTree()
        self.entries: list[bytes] = []
        self.contents: dict[str, bytes] = {}
        self.partial: dict[str, bytes] = {}
        self.sent: dict[str, Sent] = {}
        self.acts: dict[str, bytes] = {}
        self.receipts: dict[str, bytes] = {}
        self.requests: list[httpx2.Request] = []
        self.faults: list[Fault] = []
        self.refuse: tuple[str, str] | None = None
        self.tamper: Callable[[bytes], bytes] = lambda receipt: receipt
        self.caller = ""
        self._numbers = count(1)
        self._cursor = count(1)

    # --- the wire

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        if self.faults:
            return self.faults.pop(0)(request, self.handle)
        return self.handle(request)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to a request that arrived."""
        path = request.url.path
        for method, pattern, run in self._routes():
            match = re.fullmatch(pattern, path)
            if match is not None and method == request.method:
                return run(request, *match.groups())
        return problem(404, "not-found")

    def _routes(self) -> list[tuple[str, str, Callable[..., httpx2.Response]]]:
        return [
            ("GET", "/v1/whoami", self._whoami),
            ("GET", "/v1/directory", self._directory),
            ("HEAD", "/v1/contents/(sha256:[0-9a-f]{64})", self._head),
            ("PUT", "/v1/contents/(sha256:[0-9a-f]{64})", self._put),
            ("PATCH", "/v1/contents/(sha256:[0-9a-f]{64})", self._patch),
            ("GET", "/v1/contents/(sha256:[0-9a-f]{64})", self._get),
            ("POST", "/v1/dispatches", self._submit),
            ("GET", "/v1/dispatches", self._outbox),
            ("GET", "/v1/dispatches/([^/]+)", self._dispatch),
            ("GET", "/v1/inbox", self._inbox),
            ("GET", "/v1/consignments/([^/]+)", self._consignment),
            ("GET", "/v1/consignments/([^/]+)/envelope", self._envelope),
            ("POST", "/v1/consignments/([^/]+)/acts", self._act),
            ("GET", "/v1/receipts/([^/]+)", self._receipt),
            ("GET", "/v1/crls/([a-z]+).crl", self._crl),
        ]

    def _whoami(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, json={"unit": self.caller, "name": "甲", "certificate": "sha256:" + "0" * 64, "mood": "new"}
        )

    def _directory(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, json={"items": [{"unit": self.caller, "name": "甲", "can_receive": True}]}
        )

    # --- contents

    def _head(self, request: httpx2.Request, digest: str) -> httpx2.Response:
        if digest in self.contents:
            return httpx2.Response(200, headers={"Upload-Complete": "?1"})
        if digest in self.partial:
            return httpx2.Response(204, headers={"Upload-Offset": str(len(self.partial[digest]))})
        return httpx2.Response(404)

    def _put(self, request: httpx2.Request, digest: str) -> httpx2.Response:
        return self._keep(digest, request.content)

    def _patch(self, request: httpx2.Request, digest: str) -> httpx2.Response:
        have = self.partial.get(digest, b"")
        if int(request.headers["Upload-Offset"]) != len(have):
            return problem(409, "upload-offset-mismatch", headers={"Upload-Offset": str(len(have))})
        whole = have + request.content
        if len(whole) < int(request.headers["Upload-Length"]):
            self.partial[digest] = whole
            return httpx2.Response(204, headers={"Upload-Offset": str(len(whole))})
        return self._keep(digest, whole)

    def _keep(self, digest: str, data: bytes) -> httpx2.Response:
        if digest_of(data) != digest:
            return problem(422, "content-mismatch")
        self.contents[digest] = data
        self.partial.pop(digest, None)
        return httpx2.Response(201)

    def _get(self, request: httpx2.Request, digest: str) -> httpx2.Response:
        data = self.contents[digest]
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if wanted is not None:
            return httpx2.Response(206, content=data[int(wanted[1]) :])
        return httpx2.Response(200, content=data)

    # --- dispatches

    def _submit(self, request: httpx2.Request) -> httpx2.Response:
        parts = read_multipart(request)
        envelope, signature = parts["envelope"][0], parts["signature"][0]
        for content in parts.get("content", ()):
            self.contents[digest_of(content)] = content
        dispatch = decode_dispatch(envelope)
        known = self.sent.get(dispatch.dispatch_id)
        if known is not None and known.envelope == envelope:
            return httpx2.Response(200, content=known.answer, headers={"content-type": "application/json"})
        missing = [one.digest for one in dispatch.documents if one.digest not in self.contents]
        if missing:
            return problem(409, "content-missing", digests=missing)
        if self.refuse is not None:
            code, sentence = self.refuse
            reasons = (Reason(code, sentence),)
            refused = self._state(Event.SUBMISSION_REJECTION, dispatch, envelope, reasons=reasons)
            return problem(422, code, receipt=b64(self.record(refused)))
        accepted = self._state(Event.SUBMISSION_ACCEPTANCE, dispatch, envelope)
        receipt = self.record(accepted)
        boxes = []
        for role, units in (("main", dispatch.main), ("copy", dispatch.copy)):
            for unit in units:
                box = Box(ConsignmentId(self._id()), unit, role, State.CONSIGNED, next(self._cursor))
                consigned = self._state(
                    Event.CONTENT_CONSIGNMENT, dispatch, envelope, box=box, after=accepted
                )
                box.evidence.append(consigned)
                self.record(consigned)
                boxes.append(box)
        body = httpx2.Response(
            201,
            json={
                "dispatch_id": dispatch.dispatch_id,
                "evidence_id": accepted.evidence_id,
                "consignments": [
                    {"consignment_id": b.consignment_id, "recipient": b.recipient, "role": b.role}
                    for b in boxes
                ],
                "receipt": b64(receipt),
            },
        )
        self.sent[dispatch.dispatch_id] = Sent(envelope, signature, dispatch, body.content, boxes, accepted)
        return body

    def _outbox(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"items": [self._dispatch_view(one) for one in self.sent.values()]})

    def _dispatch(self, request: httpx2.Request, dispatch_id: str) -> httpx2.Response:
        if dispatch_id not in self.sent:
            return problem(404, "not-found")
        return httpx2.Response(200, json=self._dispatch_view(self.sent[dispatch_id]))

    def _dispatch_view(self, sent: Sent) -> dict[str, object]:
        view = self._common(sent)
        view["state"] = aggregate(box.state for box in sent.boxes)
        view["consignments"] = [self._view(sent, box) for box in sent.boxes]
        view["evidence"] = [reference(sent.accepted)]
        return view

    def _common(self, sent: Sent) -> dict[str, object]:
        d = sent.dispatch
        view: dict[str, object] = {
            "dispatch_id": d.dispatch_id,
            "dispatch": digest_of(sent.envelope),
            "title": d.metadata.title,
            "submitted_at": format_time(sent.accepted.submitted_at),
            "due_at": format_time(d.due_at),
            "expires_at": format_time(d.expires_at),
            "documents": [
                {
                    "role": "attachment" if place else "contents",
                    "name": one.name,
                    "media_type": one.media_type,
                    "size": one.size,
                    "digest": one.digest,
                }
                for place, one in enumerate(d.documents)
            ],
        }
        if d.metadata.issued_number is not None:
            view["issued_number"] = d.metadata.issued_number
        return view

    def _view(self, sent: Sent, box: Box) -> dict[str, object]:
        last = box.evidence[-1]
        return {
            **self._common(sent),
            "consignment_id": box.consignment_id,
            "sender": sent.dispatch.sender,
            "recipient": box.recipient,
            "role": box.role,
            "state": box.state,
            "overdue": False,
            "changed_at": format_time(last.event_time),
            "evidence": [reference(one) for one in box.evidence],
            "last_evidence": last.evidence_id,
            "allowed": list(allowed_events(box.state)),
            "cursor": box.cursor,
            "colour_of_the_folder": "red",
        }

    def _inbox(self, request: httpx2.Request) -> httpx2.Response:
        after = int(request.url.params.get("after", "0"))
        found = sorted(
            ((box.cursor, self._view(sent, box)) for sent in self.sent.values() for box in sent.boxes),
            key=lambda item: item[0],
        )
        items = [view for cursor, view in found if cursor > after]
        return httpx2.Response(200, json={"items": items, "cursor": max([after, *(c for c, _v in found)])})

    def find(self, consignment_id: str) -> tuple[Sent, Box]:
        """The consignment with its dispatch."""
        for sent in self.sent.values():
            for box in sent.boxes:
                if box.consignment_id == consignment_id:
                    return sent, box
        raise KeyError(consignment_id)

    def _consignment(self, request: httpx2.Request, consignment_id: str) -> httpx2.Response:
        try:
            return httpx2.Response(200, json=self._view(*self.find(consignment_id)))
        except KeyError:
            return problem(404, "not-found")

    def _envelope(self, request: httpx2.Request, consignment_id: str) -> httpx2.Response:
        sent, _box = self.find(consignment_id)
        return httpx2.Response(200, json={"envelope": b64(sent.envelope), "signature": b64(sent.signature)})

    def _act(self, request: httpx2.Request, consignment_id: str) -> httpx2.Response:
        body = httpx2.Response(200, content=request.content).json()
        evidence_bytes = base64.b64decode(body["evidence"])
        key = digest_of(request.content)
        if key in self.acts:
            return httpx2.Response(200, content=self.acts[key])
        sent, box = self.find(consignment_id)
        evidence = decode_evidence(evidence_bytes)
        if abs(self.now() - evidence.event_time) > timedelta(minutes=5):
            return problem(422, "act-time-unfit")
        try:
            box.state = next_state(box.state, evidence.event)
        except WrongState as error:
            receipt = self.receipts[box.evidence[-1].evidence_id]
            if evidence.event is Event.RECALL:
                late = self._state(
                    Event.RECALL_REFUSED,
                    sent.dispatch,
                    sent.envelope,
                    box=box,
                    after=box.evidence[-1],
                    reasons=(Reason("already-signed-for", "too late"),),
                )
                receipt = self.record(late)
            return problem(
                409, "wrong-state", current=error.current, allowed=list(error.allowed), receipt=b64(receipt)
            )
        box.cursor = next(self._cursor)
        box.evidence.append(evidence)
        signature = self.signer.cosign(base64.b64decode(body["signature"]), evidence_bytes, at=self.now())
        receipt = self._log(evidence, evidence_bytes, signature)
        done = httpx2.Response(
            201,
            json={
                "evidence_id": evidence.evidence_id,
                "consignment_id": consignment_id,
                "state": box.state,
                "receipt": b64(receipt),
            },
        )
        self.acts[key] = done.content
        return done

    def _receipt(self, request: httpx2.Request, evidence_id: str) -> httpx2.Response:
        if evidence_id not in self.receipts:
            return problem(404, "not-found")
        return httpx2.Response(200, content=self.tamper(self.receipts[evidence_id]))

    def _crl(self, request: httpx2.Request, name: str) -> httpx2.Response:
        certifier = getattr(self.pki, name)
        return httpx2.Response(200, content=certifier.revocation_list(self.now()).der)

    # --- evidence

    def _id(self) -> str:
        return uuid7(self.now(), next(self._numbers).to_bytes(10, "big"))

    def _state(
        self,
        event: Event,
        dispatch: Dispatch,
        envelope: bytes,
        *,
        box: Box | None = None,
        after: Evidence | None = None,
        reasons: tuple[Reason, ...] = (),
    ) -> Evidence:
        certificate = self.signer.certificate.public_bytes(Encoding.DER)
        return Evidence(
            evidence_id=EvidenceId(self._id()),
            event=event,
            event_time=self.now(),
            actor=Actor(self.member.unit, digest_of(certificate)),
            origin=dispatch.origin,
            policy=HUB_EVIDENCE_POLICY.dotted_string,
            sender=dispatch.sender,
            dispatch=digest_of(envelope),
            dispatch_id=dispatch.dispatch_id,
            submitted_at=self.now() if after is None else after.submitted_at,
            contents=tuple(Digest(one.digest) for one in dispatch.documents),
            recipient=None if box is None else UnitId(box.recipient),
            consignment_id=None if box is None else box.consignment_id,
            issued_number=dispatch.metadata.issued_number,
            previous=None if after is None or box is None else after.evidence_id,
            reasons=reasons,
        )

    def record(self, evidence: Evidence) -> bytes:
        """Sign and log a statement of the hub's own; its receipt."""
        assert evidence.event.author is Author.HUB
        data = encode_evidence(evidence)
        return self._log(evidence, data, self.signer.sign(data, at=self.now()))

    def _log(self, evidence: Evidence, data: bytes, signature: bytes) -> bytes:
        salt = bytes(32)
        index = self.tree.size
        entry = encode_entry(
            Entry(
                commit=commitment(salt=salt, evidence=data, signature=signature),
                kind=evidence.event.kind,
                n=index + 1,
                rid=f"{index:032x}",
                stream="0" * 32,
                t=self.now(),
            )
        )
        self.entries.append(entry)
        self.tree.extend([leaf_hash(entry)])
        head = sign_checkpoint(Checkpoint(ORIGIN, self.tree.size, self.tree.root), [self.log])
        receipt = assemble_receipt(
            evidence=data,
            signature=signature,
            entry=entry,
            salt=salt,
            index=index,
            hashes=self.tree.inclusion_proof(index),
            checkpoint=head,
            revocation=[one.der for one in self.pki.crls(self.now())],
        )
        self.receipts[evidence.evidence_id] = receipt
        return self.tamper(receipt)


class ClientWorld:
    """A PKI, a fake hub, a sender and a recipient with their folders; time stands still unless told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = NOW
        self.pki = PkiWorld()
        self.hub = FakeHub(self.pki, lambda: self.at)
        self.sender = self.pki.unit("甲局")
        self.recipient = self.pki.unit("乙局")
        self.pauses: list[float] = []
        self._random = count(1)

    def home(self, member: Member) -> UnitHome:
        """The folder of a unit, made if need be."""
        path = self.path / member.unit
        if not path.exists():
            path.mkdir()
            keys = KeyFolder.create(path / "keys", SECRET, n=1 << 8)
            keys.add(SEAL, SEAL, member.seal.signer)
            keys.add(TLS, TLS, member.tls.signer)
            (path / "certificates").mkdir()
            for name, credential in ((SEAL, member.seal), (TLS, member.tls)):
                pem = b"".join(one.public_bytes(Encoding.PEM) for one in credential.chain)
                (path / "certificates" / f"{name}.pem").write_bytes(pem)
            write_trust_folder(
                path / "trust",
                anchors=[self.pki.root.certificate],
                intermediates=[one.certificate for one in self.pki.certifiers[1:]],
                crls=self.pki.crls(),
                ledger_policy=self.hub.policy,
            )
            config = UnitConfig(
                unit=member.unit,
                name=member.name,
                origin="hub.test",
                units_url="https://hub.test:8443",
                public_url="https://hub.test:8444",
                unit_seal_policy=UNIT_SEAL_POLICY.dotted_string,
                hub_evidence_policy=HUB_EVIDENCE_POLICY.dotted_string,
                max_content_bytes=1 << 30,
                max_small_bytes=1 << 20,
                max_expiry_days=365,
            )
            (path / "unit.toml").write_bytes(encode_config(config))
        return UnitHome.open(path, SECRET)

    def session(self, home: UnitHome) -> Session:
        """A session whose clock and randomness are the test's."""
        return Session(
            home,
            now=lambda: self.at,
            entropy=lambda size: next(self._random).to_bytes(size, "big"),
            jitter=lambda: 0.5,
        )

    def client(self, member: Member | None = None) -> Hub:
        """A blocking client of a unit (the sender, unless told); it does not really sleep."""
        home = self.home(self.sender if member is None else member)
        self.hub.caller = home.unit
        hub = Hub(home, session=self.session(home), transport=httpx2.MockTransport(self.hub))
        hub._driver._sleep = self.pauses.append
        return hub

    def async_client(self, member: Member | None = None) -> AsyncHub:
        """The same on asyncio."""
        home = self.home(self.sender if member is None else member)
        self.hub.caller = home.unit
        return AsyncHub(home, session=self.session(home), transport=httpx2.MockTransport(self.hub))

    def document(self, name: str = "通知.txt", content: bytes = b"a document") -> Path:
        """A file to be sent."""
        path = self.path / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path


def problem(
    status: int, code: str, *, headers: dict[str, str] | None = None, **more: object
) -> httpx2.Response:
    """A problem document."""
    value = {
        "title": f"refused: {code}",
        "status": status,
        "detail": "as the test wants it",
        "code": code,
        "mender": "sender",
        "request_id": "req-1",
        **more,
    }
    import json

    return httpx2.Response(
        status,
        content=json.dumps(value).encode(),
        headers={"content-type": "application/problem+json", **(headers or {})},
    )


def reference(evidence: Evidence) -> dict[str, object]:
    """What a view says of an evidence."""
    return {
        "evidence_id": evidence.evidence_id,
        "event": evidence.event.wire,
        "event_time": format_time(evidence.event_time),
        "recorded_at": format_time(evidence.event_time),
        "actor": evidence.actor.unit,
    }


def read_multipart(request: httpx2.Request) -> dict[str, list[bytes]]:
    """The parts of a form by name (RFC 7578), strictly as the client writes them."""
    match = re.fullmatch(r"multipart/form-data; boundary=([0-9a-f]+)", request.headers["content-type"])
    assert match is not None
    head, *parts = request.content.split(f"--{match[1]}".encode())
    assert head == b""
    assert parts.pop() == b"--\r\n"
    found: dict[str, list[bytes]] = {}
    for part in parts:
        lines, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([a-z]+)"', lines)
        assert name is not None
        found.setdefault(name[1].decode(), []).append(body.removesuffix(b"\r\n"))
    return found


def b64(data: bytes) -> str:
    """Padded base64."""
    return base64.b64encode(data).decode()
