"""How a unit joins a hub: keys made here, certificates from there, trust from the invitation.

    {"anchor_sha256": "9f86…", "name": "临江市教育局", "public_url": "https://hub.example.gov:8444",
     "token": "…", "unit": "11310000000000000X"}

The invitation comes to the unit by a way that its operator trusts (by hand, by letter).
(1) The hub's page is fetched without trust, to learn its anchors, and nothing of it is
believed but (2) the anchor whose SHA-256 stands in the invitation. (3) Everything is
fetched again over TLS under that anchor alone. (4) Keys and requests are made here and
kept before they are sent, so that an interrupted enrolment goes on with the same ones
and the hub gives the same answer. (5) What comes back is checked: our unit, our keys,
a path to the anchor for each purpose, a policy that can be read. (6) Only then the
folder gets its ``unit.toml``, without which it is no unit's folder.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients.errors import HomeUnusable, TrustRefused
from clients.files import write_atomically
from clients.home import CONFIG, SEAL, TLS, UnitConfig, UnitHome, encode_config, read_config
from clients.operations import parse
from clients.transport import Driver, tls_context
from clients.trust import LISTS
from clients.wire import Operation, Request, call
from exchange.ledger.errors import LedgerError
from exchange.ledger.policy import parse_policy
from exchange.protocol.api import EnrolmentAnswer, EnrolmentRequest, HubInfo
from pki.errors import KeyNotFound, NameMalformed, PathError, RevocationListMalformed
from pki.keys import Algorithm, SoftwareSigner, encode_public_key
from pki.names import UnitId, parse_unit_id, unit_of
from pki.path import check_path
from pki.purpose import TLS_CLIENT, UNIT_SEAL, Purpose
from pki.request import make_request
from pki.revocation import RevocationList
from pki.storage.keys import KeyFolder
from pki.storage.trust import write_trust_folder
from pki.trust import TrustStore

MAX_INVITATION = 16 * 1024
_FIELDS = ("public_url", "unit", "name", "token", "anchor_sha256")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the hub's operator hands to a unit."""

    public_url: str
    unit: UnitId
    name: str
    token: str
    anchor_sha256: str
    """SHA-256 of the DER of the hub's trust anchor, 64 hexadecimal digits."""


def decode_invitation(data: bytes) -> Invitation:
    """Read an invitation.

    Raises:
        TrustRefused: it is not one.
    """
    try:
        value = json.loads(data[: MAX_INVITATION + 1])
        texts = {key: value[key] for key in _FIELDS}
    except (ValueError, KeyError, TypeError):
        raise TrustRefused(detail=f"an invitation is a JSON object with {', '.join(_FIELDS)}") from None
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise TrustRefused(detail="the fields of an invitation are texts")
    fingerprint = texts["anchor_sha256"].removeprefix("sha256:").replace(":", "").lower()
    if len(fingerprint) != 64 or not all(digit in "0123456789abcdef" for digit in fingerprint):
        raise TrustRefused(detail="anchor_sha256 must have 64 hexadecimal digits")
    if not texts["public_url"].startswith("https://"):
        raise TrustRefused(detail="public_url must begin with https://")
    try:
        unit = parse_unit_id(texts["unit"])
    except NameMalformed as error:
        raise TrustRefused(detail=f"unit: {error}") from None
    return Invitation(texts["public_url"].rstrip("/"), unit, texts["name"], texts["token"], fingerprint)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A unit that now has its folder."""

    home: Path
    config: UnitConfig
    seal_expires: datetime
    tls_expires: datetime


def enrol(
    invitation: Invitation,
    home: Path,
    *,
    secret: bytes,
    now: Callable[[], datetime],
    jitter: Callable[[], float],
    algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256,
    untrusted: httpx2.BaseTransport | None = None,
    trusted: Callable[[ssl.SSLContext], httpx2.BaseTransport] | None = None,
) -> Enrolled:
    """Enrol, or go on with an enrolment that broke off; see the module for the numbered steps.

    ``untrusted`` and ``trusted`` stand in for the network in tests.

    Raises:
        HomeUnusable: the folder belongs to a unit already (to this one at this hub: it is done).
        TrustRefused: (2), (3) or (5) fails; no certificate was kept.
        HubError: as everywhere.
    """
    if (home / CONFIG).exists():
        known = read_config(home)
        if (known.unit, known.public_url) != (invitation.unit, invitation.public_url):
            raise HomeUnusable(path=home, detail=f"it belongs to {known.unit} at {known.origin}")
        done = UnitHome.open(home, secret)
        return _enrolled(done.path, known, done.seal_certificates[0], done.tls_certificates[0])
    anchor = _fetch_anchor(invitation, jitter, untrusted)  # (1) (2)
    context = tls_context([anchor])
    transport = None if trusted is None else trusted(context)
    driver = Driver(invitation.public_url, tls=context, transport=transport)
    try:
        info = driver.run(_hub_info(jitter))  # (3)
        if anchor not in _anchors(info):
            raise TrustRefused(detail="over TLS the hub shows other anchors than before")
        keys = _keys(home, secret, algorithm)  # (4)
        request = EnrolmentRequest(
            token=invitation.token,
            seal_request=_request(home, SEAL, keys[SEAL]),
            tls_request=_request(home, TLS, keys[TLS]),
        )
        answer = driver.run(_post(request, jitter))
        lists = driver.run(_lists(jitter))
    finally:
        driver.close()
    return _keep(home, invitation, answer, anchor, keys, lists, now())  # (5) (6)


def _fetch_anchor(
    invitation: Invitation, jitter: Callable[[], float], transport: httpx2.BaseTransport | None
) -> x509.Certificate:
    """The one anchor of the hub's page that the invitation vouches for; the rest of the page is dropped."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nothing is trusted here on purpose: the answer is only searched for the bytes
    # whose digest the invitation names, and then fetched again under them.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    driver = Driver(invitation.public_url, tls=context, transport=transport)
    try:
        info = driver.run(_hub_info(jitter))
    finally:
        driver.close()
    for anchor in _anchors(info):
        if sha256(anchor.public_bytes(Encoding.DER)).hexdigest() == invitation.anchor_sha256:
            return anchor
    raise TrustRefused(detail="none of its anchors has the fingerprint of the invitation")


def _hub_info(jitter: Callable[[], float]) -> Operation[HubInfo]:
    response = yield from call(Request("GET", "/v1/hub"), jitter=jitter)
    return parse(HubInfo, response)


def _post(request: EnrolmentRequest, jitter: Callable[[], float]) -> Operation[EnrolmentAnswer]:
    response = yield from call(
        Request(
            "POST",
            "/v1/enrolments",
            headers=(("Content-Type", "application/json"),),
            body=request.model_dump_json().encode(),
        ),
        jitter=jitter,
    )
    return parse(EnrolmentAnswer, response)


def _lists(jitter: Callable[[], float]) -> Operation[dict[str, bytes]]:
    """The hub's revocation lists; what they are worth is asked whenever they are used."""
    found = {}
    for name in LISTS:
        response = yield from call(
            Request("GET", f"/v1/crls/{name}.crl"), jitter=jitter, accept=frozenset({200, 404})
        )
        if response.status == 200:
            found[name] = response.body
    return found


def _anchors(info: HubInfo) -> list[x509.Certificate]:
    try:
        return [one for pem in info.anchors for one in x509.load_pem_x509_certificates(pem.encode())]
    except ValueError:
        raise TrustRefused(detail="its anchors cannot be read") from None


def _keys(home: Path, secret: bytes, algorithm: Algorithm) -> dict[str, SoftwareSigner]:
    """The two keys: those of an enrolment that broke off, else new ones, durable on return."""
    path = home / "keys"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_dir() and not any(path.iterdir()):
        # Broken off between making the folder and writing its first file.
        path.rmdir()
    folder = KeyFolder.open(path, secret) if path.exists() else KeyFolder.create(path, secret)
    keys = {}
    for name in (SEAL, TLS):
        try:
            keys[name] = folder.load(name)
        except KeyNotFound:
            keys[name] = SoftwareSigner.generate(algorithm)
            folder.add(name, name, keys[name])
    return keys


def _request(home: Path, name: str, signer: SoftwareSigner) -> str:
    """The certificate request in PEM, kept: ECDSA gives another signature each time, and the hub
    recognises a repeated enrolment by its bytes."""
    path = home / "enrolment" / f"{name}.csr"
    if not path.exists():
        der = make_request(signer, common_name=name)
        pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
        write_atomically(path, pem)
    return path.read_text("ascii")


def _keep(
    home: Path,
    invitation: Invitation,
    answer: EnrolmentAnswer,
    anchor: x509.Certificate,
    keys: dict[str, SoftwareSigner],
    lists: dict[str, bytes],
    now: datetime,
) -> Enrolled:
    info = answer.hub
    crls = _readable(lists)
    try:
        intermediates = [
            one for pem in info.intermediates for one in x509.load_pem_x509_certificates(pem.encode())
        ]
        trust = TrustStore.of([anchor], intermediates, crls)
        seal = _path(answer.seal_certificate, keys[SEAL], invitation.unit, trust, UNIT_SEAL, now)
        tls = _path(answer.tls_certificate, keys[TLS], invitation.unit, trust, TLS_CLIENT, now)
        parse_policy(info.ledger_policy.encode())
    except ValueError:
        raise TrustRefused(detail="its certificates cannot be read") from None
    except LedgerError as error:
        raise TrustRefused(detail=f"its ledger policy: {error}") from None
    config = UnitConfig(
        unit=invitation.unit,
        name=answer.name,
        origin=info.origin,
        units_url=info.units_url.rstrip("/"),
        public_url=invitation.public_url,
        unit_seal_policy=info.unit_seal_policy,
        hub_evidence_policy=info.hub_evidence_policy,
        max_content_bytes=info.max_content_bytes,
        max_small_bytes=info.max_small_bytes,
        max_expiry_days=info.max_expiry_days,
    )
    write_trust_folder(
        home / "trust",
        anchors=[anchor],
        intermediates=intermediates,
        crls=crls,
        ledger_policy=info.ledger_policy.encode(),
    )
    for name, path in ((SEAL, seal), (TLS, tls)):
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in path)
        write_atomically(home / "certificates" / f"{name}.pem", pem)
    write_atomically(home / CONFIG, encode_config(config))  # (6) the folder is whole from here on
    return _enrolled(home, config, seal[0], tls[0])


def _path(
    pem: str, signer: SoftwareSigner, unit: UnitId, trust: TrustStore, purpose: Purpose, now: datetime
) -> tuple[x509.Certificate, ...]:
    """The certificate and its path without the anchor, if it is for our key, our unit and the purpose."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        if encode_public_key(signer.public_key) != encode_public_key(certificate.public_key()):  # type: ignore[arg-type]
            raise TrustRefused(detail=f"the {purpose.name} certificate is for another key")
        named = unit_of(certificate)
        path = check_path(certificate, others=(), trust=trust, purpose=purpose, at=now)
    except (PathError, NameMalformed) as error:
        raise TrustRefused(detail=f"the {purpose.name} certificate: {error}") from error
    if named != unit:
        raise TrustRefused(detail=f"the {purpose.name} certificate is for {named}")
    return path.certificates[:-1]


def _readable(lists: dict[str, bytes]) -> list[RevocationList]:
    readable = []
    for name, data in lists.items():
        try:
            readable.append(RevocationList.decode(data))
        except RevocationListMalformed as error:
            raise TrustRefused(detail=f"its revocation list {name}: {error}") from error
    return readable


def _enrolled(home: Path, config: UnitConfig, seal: x509.Certificate, tls: x509.Certificate) -> Enrolled:
    return Enrolled(home, config, seal.not_valid_after_utc, tls.not_valid_after_utc)
