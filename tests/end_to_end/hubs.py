"""A hub as an operator runs it: a folder, a process, two listeners on loopback; and units enrolled at it.

    hub = make_hub(folder)
    with hub.running():
        office = hub.enrol("11310000MB0000002", "市政府办公室")
        office.client().send([office.sealed("通知.pdf")], to=[...], title="通知")

Nothing here reaches into the hub: it is spoken to over HTTPS and by signals. What a test makes that no
honest unit would make (wrong certificates, broken envelopes) is made here as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients.enrolment import decode_invitation, enrol
from clients.home import UnitHome
from clients.hub import Hub as HubClient
from clients.official_paper import OfficialDocument, draw_official_document, seal_centre
from clients.transport import tls_context
from exchange.config import Settings, read_settings
from exchange.operator import NewHub, init_hub, invite, open_authority, read_secret
from exchange.protocol import canonical
from exchange.protocol.identifiers import digest_of, format_time, to_milliseconds, uuid7
from pki.issue import issue, new_serial, prepare
from pki.keys import Algorithm, SoftwareSigner
from pki.names import UnitId, check_character, parse_unit_id, unit_subject
from pki.profile import Profile
from pki.storage.keys import KeyFolder
from signing.cms import CadesSigner
from signing.pdf_seal import seal_pdf
from signing.stamp import Stamp

ORIGIN = "hub.test.example"
KDF_COST = 1 << 10
START_SECONDS = 60.0
FOUNDED = timedelta(days=20)
"""How long ago a hub of ours was founded: there is room for certificates that have ended since."""


def code(first: str) -> str:
    """A 统一社会信用代码 from its first 17 characters."""
    return first + check_character(first)


def now() -> datetime:
    return datetime.now(UTC)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


# --- hub ------------------------------------------------------------------------------------------


@dataclass
class TestHub:
    """A hub's folder, and its process while it runs."""

    __test__ = False

    folder: Path
    settings: Settings
    beside: Path
    """Where its log and its units' folders lie."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "hub.toml"

    @property
    def units_url(self) -> str:
        return self.settings.units_url

    @property
    def public_url(self) -> str:
        return self.settings.public_url

    @property
    def anchor(self) -> x509.Certificate:
        (file,) = (self.folder / "trust" / "anchors").iterdir()
        return x509.load_pem_x509_certificate(file.read_bytes())

    @property
    def log_file(self) -> Path:
        return self.beside / f"{self.folder.name}.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def start(self) -> None:
        """``gongwen hub serve``, and wait until it is ready."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clients", "hub", "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        with self.public() as client:
            until = time.monotonic() + START_SECONDS
            while time.monotonic() < until and self.process.poll() is None:
                with contextlib.suppress(httpx2.HTTPError):
                    if client.get("/healthz").status_code == 200:
                        return
                time.sleep(0.02)
        ended = self.process.poll()
        self.kill()
        raise AssertionError(f"the hub did not start (exit {ended}):\n{self.log[-3000:]}")

    def stop(self) -> int:
        """SIGTERM, as a service manager does; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: the power cut of a process."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
        self.process = None

    @contextlib.contextmanager
    def running(self) -> Iterator[TestHub]:
        self.start()
        try:
            yield self
        finally:
            if self.process is not None:
                assert self.stop() == 0, self.log[-3000:]

    def public(self) -> httpx2.Client:
        """Anybody."""
        return httpx2.Client(
            base_url=self.public_url, verify=tls_context([self.anchor]), trust_env=False, timeout=40
        )

    def bare(self, context: ssl.SSLContext | None = None) -> httpx2.Client:
        """Somebody at the units' door with this TLS context; without one, with no certificate."""
        return httpx2.Client(
            base_url=self.units_url,
            verify=tls_context([self.anchor]) if context is None else context,
            trust_env=False,
            timeout=40,
        )

    def enrol(self, first: str, name: str, *, sub_unit: str = "") -> TestUnit:
        """Invite a unit and let it enrol; its folder lies beside the hub's."""
        invitation = invite(self.config, code(first) + (f"/{sub_unit}" if sub_unit else ""), name)
        home = self.beside / f"{self.folder.name}-{first}{sub_unit}"
        secret = secrets.token_urlsafe(24).encode()
        # The unit's key folder is made beforehand, so that it costs a test nothing.
        home.mkdir(mode=0o700)
        KeyFolder.create(home / "keys", secret, n=KDF_COST)
        enrol(
            decode_invitation(json.dumps(invitation).encode()),
            home,
            secret=secret,
            now=now,
            jitter=random.random,
        )
        return TestUnit(self, UnitHome.open(home, secret))

    def certify(
        self,
        profile: Profile,
        authority: str,
        unit: str,
        name: str,
        *,
        begins: datetime | None = None,
        ends: datetime | None = None,
        server_names: Sequence[str] = (),
    ) -> tuple[SoftwareSigner, x509.Certificate, x509.Certificate]:
        """A certificate of the hub's own authority that its register knows nothing of: key, it, issuer."""
        keys = KeyFolder.open(self.folder / "pki" / "keys", read_secret(self.settings))
        with open_authority(self.settings) as opened:
            issuer = opened.issuing(authority)
            url = opened.list_urls()[authority]
        signer = SoftwareSigner.generate(Algorithm.ECDSA_P256_SHA256)
        intent = prepare(
            profile,
            subject=unit_subject(parse_unit_id(unit), name, profile.role),
            public_key=signer.public_key,
            issuer=issuer,
            serial=new_serial(),
            not_before=begins or now() - timedelta(days=1),
            not_after=ends,
            revocation_list_url=url,
            server_names=server_names,
        )
        return signer, issue(intent, keys.load(authority)), issuer

    def contents(self) -> dict[str, int]:
        """Every file in the content store, and its size."""
        root = self.folder / "contents"
        return {str(f.relative_to(root)): f.stat().st_size for f in root.rglob("*") if f.is_file()}

    def ledger_size(self) -> int:
        with self.public() as client:
            answer = client.get("/ledger/checkpoint")
            return 0 if answer.status_code == 404 else int(answer.text.split("\n")[1])


def make_hub(folder: Path, *, beside: Path | None = None, **settings: object) -> TestHub:
    """A new hub with an authority of its own; ``settings`` go into its file as they are."""
    units, public = free_ports(2)
    init_hub(
        folder,
        NewHub(
            origin=ORIGIN,
            unit=code("11310000MB0000001"),
            name="市公文交换中心",
            units_listen=f"127.0.0.1:{units}",
            public_listen=f"127.0.0.1:{public}",
            units_url=f"https://127.0.0.1:{units}",
            public_url=f"https://127.0.0.1:{public}",
            server_names=("127.0.0.1", "localhost"),
            kdf_cost=KDF_COST,
        ),
        now=now() - FOUNDED,
    )
    set_settings(folder / "hub.toml", {"judge_workers": 1, "min_free_bytes": 0, **settings})
    return TestHub(folder, read_settings(folder / "hub.toml"), beside or folder.parent)


def set_settings(config: Path, values: Mapping[str, object]) -> None:
    """Add settings to a file, or replace them."""
    lines = [
        line for line in config.read_text().splitlines() if line.partition(" = ")[0].strip() not in values
    ]
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    config.write_text("\n".join(lines) + "\n")


# --- unit -----------------------------------------------------------------------------------------


@dataclass
class TestUnit:
    """An enrolled unit: its folder, its client, and what it can sign."""

    __test__ = False

    hub: TestHub
    home: UnitHome
    _pdfs: dict[str, bytes] = field(default_factory=dict)
    cursor: int = -1
    """How far its inbox was looked at."""
    _door: httpx2.Client | None = None

    @property
    def unit(self) -> UnitId:
        return self.home.unit

    @property
    def name(self) -> str:
        return self.home.config.name

    def client(self) -> HubClient:
        """The client library's connection to the hub."""
        return HubClient(self.home)

    def context(self) -> ssl.SSLContext:
        return tls_context([self.hub.anchor], signer=self.home.tls, certificates=self.home.tls_certificates)

    def http(self) -> httpx2.Client:
        """A plain HTTP client with the unit's certificate."""
        return self.hub.bare(self.context())

    @property
    def door(self) -> httpx2.Client:
        """One plain HTTP client that stays open; whoever made the unit closes it."""
        if self._door is None:
            self._door = self.http()
        return self._door

    def close(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None

    def sealed(self, title: str = "关于测试工作的通知", **changes: Any) -> bytes:
        """A document sealed by this unit; the same words give the same bytes."""
        key = title + repr(sorted(changes.items()))
        if key not in self._pdfs:
            self._pdfs[key] = seal(
                plain_pdf(title, **changes), self.home.seal_key, self.home.seal_certificates, self.name
            )
        return self._pdfs[key]

    def sign(self, data: bytes, *, at: datetime | None = None) -> bytes:
        return self.home.seal.sign(data, at=at or now())

    def envelope(
        self,
        documents: Sequence[bytes],
        to: Sequence[str],
        *,
        change: Callable[[dict[str, Any]], None] = lambda _value: None,
    ) -> bytes:
        """``dispatch.json`` for these documents, with one change made before it is signed."""
        instant = to_milliseconds(now())
        described = [
            {
                "digest": digest_of(one),
                "media_type": "application/pdf",
                "name": f"文件{place}.pdf",
                "size": len(one),
            }
            for place, one in enumerate(documents)
        ]
        value: dict[str, Any] = {
            "attachments": described[1:],
            "contents": described[0],
            "dispatch_id": uuid7(instant, secrets.token_bytes(10)),
            "due_at": format_time(instant + timedelta(days=3)),
            "expires_at": format_time(instant + timedelta(days=30)),
            "metadata": {
                "title": "关于测试工作的通知",
                "issued_number": "测办发〔2026〕1号",
                "urgency": "平件",
            },
            "origin": ORIGIN,
            "recipients": {"main": list(to), "copy": []},
            "sender": self.unit,
            "sent_at": format_time(instant),
            "version": 1,
        }
        change(value)
        return canonical.encode(value)


def submit(
    client: httpx2.Client, envelope: bytes, signature: bytes, *contents: bytes, **headers: str
) -> httpx2.Response:
    """POST /v1/dispatches, whole, in one multipart request."""
    boundary = secrets.token_hex(16)
    parts = [("envelope", envelope), ("signature", signature), *(("content", one) for one in contents)]
    return client.post(
        "/v1/dispatches",
        content=multipart(boundary, parts),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}", **headers},
    )


def multipart(boundary: str, parts: Sequence[tuple[str, bytes]]) -> bytes:
    body = b""
    for name, data in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        body += head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


# --- documents ------------------------------------------------------------------------------------


@cache
def plain_pdf(
    title: str = "关于测试工作的通知", *, body: str = "现将有关事项通知如下。", secrecy: str = ""
) -> bytes:
    """An official document without a seal."""
    return draw_official_document(_document(title, body, secrecy), created=now())


def _document(title: str, body: str, secrecy: str) -> OfficialDocument:
    return OfficialDocument(
        issuer="临江市测试局文件",
        number="测办发〔2026〕1号",
        title=title,
        recipients=("各单位",),
        body=(body,),
        signature="临江市测试局",
        issued_on=now().date(),
        secrecy=secrecy,
    )


def seal(pdf: bytes, signer: SoftwareSigner, certificates: Sequence[x509.Certificate], name: str) -> bytes:
    """The document with a seal, whatever the certificate is good for."""
    place = seal_centre(_document("题", "文", ""))
    return seal_pdf(pdf, signer=signer, certificates=certificates, at=now(), stamp=Stamp(name), place=place)


def cades(signer: SoftwareSigner, certificates: Sequence[x509.Certificate]) -> CadesSigner:
    return CadesSigner(signer, certificates)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def gongwen(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[bytes]:
    """The command line as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "clients", *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=timeout,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
