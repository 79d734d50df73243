"""Joining a hub: whom the unit believes, what it keeps when the line breaks, what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from clients.enrolment import Enrolled, Invitation, decode_invitation, enrol
from clients.errors import HomeUnusable, TransportError, TrustRefused
from clients.home import UnitHome
from clients.transport import Driver
from exchange.ledger.note import NoteSigner
from pki.keys import SoftwareSigner
from pki.names import UnitId
from pki.profile import HUB_EVIDENCE_POLICY, TLS_CLIENT, UNIT_SEAL, UNIT_SEAL_POLICY
from pki.request import check_request
from pki.storage.keys import KeyFolder
from tests.clients.fake_hub import SECRET
from tests.worlds.pki import NOW, Certifier, PkiWorld, a_unit_id


@dataclass
class PublicSide:
    """The hub's public listener, as far as enrolment sees it."""

    pki: PkiWorld = field(default_factory=PkiWorld)
    unit: UnitId = field(default_factory=lambda: a_unit_id(7))
    answers: dict[bytes, bytes] = field(default_factory=dict)
    posted: list[bytes] = field(default_factory=list)
    fail_after: int | None = None
    named: UnitId | None = None
    key: SoftwareSigner | None = None

    def __post_init__(self) -> None:
        self.log = NoteSigner.from_key("hub.test/ledger", Ed25519PrivateKey.generate()).vkey

    @property
    def info(self) -> dict[str, object]:
        return {
            "origin": "hub.test",
            "unit": a_unit_id(0),
            "name": "平台",
            "units_url": "https://hub.test:8443/",
            "public_url": "https://hub.test:8444",
            "unit_seal_policy": UNIT_SEAL_POLICY.dotted_string,
            "hub_evidence_policy": HUB_EVIDENCE_POLICY.dotted_string,
            "ledger_policy": f"log {self.log}\nquorum none\n",
            "anchors": [pem(self.pki.root)],
            "intermediates": [pem(one) for one in self.pki.certifiers[1:]],
            "max_content_bytes": 1000,
            "max_small_bytes": 100,
            "max_expiry_days": 90,
        }

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.fail_after is not None:
            if self.fail_after == 0:
                raise httpx2.ReadError("cut", request=request)
            self.fail_after -= 1
        path = request.url.path
        if path == "/v1/hub":
            return httpx2.Response(200, json=self.info)
        if path.startswith("/v1/crls/"):
            certifier = getattr(self.pki, path.removeprefix("/v1/crls/").removesuffix(".crl"))
            return httpx2.Response(200, content=certifier.revocation_list(NOW).der)
        self.posted.append(request.content)
        return httpx2.Response(
            201, content=self.answers.setdefault(request.content, self.certify(request.content))
        )

    def certify(self, body: bytes) -> bytes:
        asked = json.loads(body)
        unit = self.named or self.unit
        certificates = {}
        for name, profile, by in (("seal", UNIT_SEAL, self.pki.seals), ("tls", TLS_CLIENT, self.pki.tls)):
            key = check_request(asked[f"{name}_request"].encode()).public_key
            if self.key is not None:
                key = self.key.public_key
            certificate = self.pki.certify(profile, key, by=by, unit=unit, name="丙局")
            certificates[f"{name}_certificate"] = certificate.public_bytes(Encoding.PEM).decode()
        return json.dumps({"unit": unit, "name": "丙局", **certificates, "hub": self.info}).encode()


def pem(certifier: Certifier) -> str:
    return certifier.certificate.public_bytes(Encoding.PEM).decode()


def invited(side: PublicSide, **changes: str) -> Invitation:
    anchor = sha256(side.pki.root.certificate.public_bytes(Encoding.DER)).hexdigest()
    value = {
        "public_url": "https://hub.test:8444",
        "unit": side.unit,
        "name": "丙局",
        "token": "t" * 32,
        "anchor_sha256": anchor,
        **changes,
    }
    return decode_invitation(json.dumps(value).encode())


def join(side: PublicSide, home: Path, invitation: Invitation | None = None) -> Enrolled:
    transport = httpx2.MockTransport(side)
    return enrol(
        invitation or invited(side),
        home,
        secret=SECRET,
        now=lambda: NOW,
        jitter=lambda: 0.0,
        untrusted=transport,
        trusted=lambda context: transport,
    )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = dict(Driver.__init__.__kwdefaults__, sleep=lambda seconds: None)
    monkeypatch.setattr(Driver.__init__, "__kwdefaults__", defaults)
    create = KeyFolder.create
    monkeypatch.setattr(
        "clients.enrolment.KeyFolder.create", lambda path, secret: create(path, secret, n=1 << 8)
    )


def test_an_enrolled_unit_has_a_folder_that_opens(tmp_path: Path) -> None:
    side = PublicSide()
    done = join(side, tmp_path / "home")
    home = UnitHome.open(done.home, SECRET)
    assert home.unit == side.unit
    assert home.config.units_url == "https://hub.test:8443"
    assert len(home.seal_certificates) == 2
    assert home.trust.ledger_policy is not None
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    assert join(side, tmp_path / "home").config == done.config, "once more changes nothing"
    assert len(side.posted) == 1


@pytest.mark.parametrize("requests", range(8))
def test_a_broken_enrolment_goes_on_with_the_same_keys(tmp_path: Path, requests: int) -> None:
    side = PublicSide(fail_after=requests)
    with pytest.raises(TransportError):
        join(side, tmp_path / "home")
    assert not (tmp_path / "home/unit.toml").exists()
    side.fail_after = None
    join(side, tmp_path / "home")
    assert len(set(side.posted)) == 1
    assert UnitHome.open(tmp_path / "home", SECRET).unit == side.unit


def test_a_hub_with_another_anchor_is_refused(tmp_path: Path) -> None:
    side = PublicSide()
    invitation = invited(side, anchor_sha256="0" * 64)
    with pytest.raises(TrustRefused, match="fingerprint"):
        join(side, tmp_path / "home", invitation)
    assert side.posted == []
    assert not (tmp_path / "home").exists()


def test_a_certificate_for_another_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrustRefused, match="another key"):
        join(PublicSide(key=SoftwareSigner.generate()), tmp_path / "home")
    assert not (tmp_path / "home/unit.toml").exists()


def test_a_certificate_for_another_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrustRefused, match="is for"):
        join(PublicSide(named=a_unit_id(8)), tmp_path / "home")


def test_certificates_of_another_root_are_refused(tmp_path: Path) -> None:
    side = PublicSide()
    certify, other = side.certify, PublicSide(unit=side.unit)
    side.certify = other.certify  # type: ignore[method-assign]
    with pytest.raises(TrustRefused, match="no certification path"):
        join(side, tmp_path / "home")
    assert certify != side.certify


def test_the_folder_of_another_unit_is_left_alone(tmp_path: Path) -> None:
    side = PublicSide()
    join(side, tmp_path / "home")
    with pytest.raises(HomeUnusable, match="belongs to"):
        join(side, tmp_path / "home", invited(side, unit=a_unit_id(9)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"public_url": 1, "unit": "", "name": "", "token": "", "anchor_sha256": ""}',
        json.dumps(
            {
                "public_url": "http://x",
                "unit": a_unit_id(1),
                "name": "n",
                "token": "t",
                "anchor_sha256": "0" * 64,
            }
        ).encode(),
        json.dumps(
            {"public_url": "https://x", "unit": "12", "name": "n", "token": "t", "anchor_sha256": "0" * 64}
        ).encode(),
        json.dumps(
            {
                "public_url": "https://x",
                "unit": a_unit_id(1),
                "name": "n",
                "token": "t",
                "anchor_sha256": "00",
            }
        ).encode(),
    ],
)
def test_what_is_no_invitation_is_refused(data: bytes) -> None:
    with pytest.raises(TrustRefused):
        decode_invitation(data)
