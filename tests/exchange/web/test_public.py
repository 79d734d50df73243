"""The public listener: the ledger's tiles, revocation lists, health; and what logs and metrics do not say."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from base64 import b64decode
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients import auditor
from exchange.ledger.audit import Outcome
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.policy import parse_policy
from exchange.ledger.tiles import bundles_of_size, decode_bundle, decode_tile, edge_of_size
from exchange.protocol.api import EnrolmentAnswer
from exchange.protocol.identifiers import digest_of
from tests.end_to_end.hubs import TestHub, TestUnit, code, submit
from tests.exchange.web.looking import check_problem, settled_outbox
from tests.tools import need

IMMUTABLE = "public, max-age=31536000, immutable"
ENTRIES = 300
"""More than one full bundle, so that full and partial tiles both exist."""


@pytest.fixture(scope="module")
def size(hub: TestHub, office: TestUnit, finance: TestUnit) -> int:
    """The ledger's size, once it has grown beyond one tile. Each refusal is an entry, and costs nothing."""
    while (now := hub.ledger_size()) < ENTRIES:
        envelope = office.envelope([b"x"], [finance.unit]).replace(b'"version":1', b'"version":9')
        answer = submit(office.door, envelope, b"0")
        assert answer.status_code == 422, now
    settled_outbox(office)
    return hub.ledger_size()


def test_checkpoint(public: httpx2.Client, size: int) -> None:
    answer = public.get("/ledger/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "max-age=1" in answer.headers["Cache-Control"]
    policy = parse_policy(public.get("/ledger/policy").content)
    verified = policy.check(answer.content)
    assert verified.checkpoint.size == size


@pytest.mark.parametrize("width", [1, 2, 3, 100, 255])
def test_bundles_and_tiles_of_every_partial_width(public: httpx2.Client, size: int, width: int) -> None:
    """Widths that the ledger had once stay readable for ever (C2SP tlog-tiles)."""
    bundle = public.get(f"/ledger/tile/entries/000.p/{width}")
    tile = public.get(f"/ledger/tile/0/000.p/{width}")
    for answer in (bundle, tile):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == IMMUTABLE
        assert answer.headers["Content-Type"] == "application/octet-stream"
    entries = decode_bundle(bundle.content, width)
    assert list(decode_tile(tile.content, width)) == [leaf_hash(entry) for entry in entries]


def test_every_file_of_the_present_size(public: httpx2.Client, size: int) -> None:
    for bundle in bundles_of_size(size):
        assert len(decode_bundle(public.get(f"/ledger/{bundle.path}").content, bundle.width)) == bundle.width
    for tile in edge_of_size(size):
        assert len(public.get(f"/ledger/{tile.path}").content) == 32 * tile.width


def test_whole_ledger_audits_over_http(hub: TestHub, public: httpx2.Client, size: int) -> None:
    policy = parse_policy(public.get("/ledger/policy").content)
    from clients.transport import tls_context

    source = auditor.HttpSource(
        f"{hub.public_url}/ledger", policy, tls=tls_context([hub.anchor]), jitter=lambda: 0.0
    )
    try:
        report = auditor.audit(source, policy)
    finally:
        source.close()
    assert (report.outcome, report.entries) == (Outcome.PROVEN, size)


def test_bundles_come_compressed_where_asked_for(public: httpx2.Client, size: int) -> None:
    plain = public.get("/ledger/tile/entries/000", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    with public.stream("GET", "/ledger/tile/entries/000", headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        raw = b"".join(packed.iter_raw())
    assert len(raw) < len(plain.content)
    assert gzip.decompress(raw) == plain.content
    assert "Accept-Encoding" in packed.headers["Vary"]
    refused = public.get("/ledger/tile/entries/000", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers
    assert "Accept-Encoding" in plain.headers["Vary"]
    tile = public.get("/ledger/tile/0/000", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in tile.headers


BEYOND = [
    "0/001.p/200",
    "0/002",
    "0/999",
    "entries/001.p/255",
    "entries/002",
    "1/000.p/2",
    "1/000",
    "2/000",
    "5/000.p/1",
]


@pytest.mark.parametrize("path", BEYOND)
def test_tiles_beyond_the_size_are_not_there(public: httpx2.Client, size: int, path: str) -> None:
    check_problem(public.get(f"/ledger/tile/{path}"), 404, "not-found")


MALFORMED = [
    "0/0",
    "0/00",
    "0/0000",
    "00/000",
    "0/000.p/0",
    "0/000.p/256",
    "0/000.p/01",
    "0/x000",
    "0/x000/000",
    "64/000",
    "-1/000",
    "entries/000.p/",
    "entries/../checkpoint",
    "entries/%2e%2e/checkpoint",
    "0/000/",
    "0/000?x=1/../",
    "0/٠٠٠",
]


@pytest.mark.parametrize("path", MALFORMED)
def test_other_spellings_of_a_tile_are_not_there(public: httpx2.Client, size: int, path: str) -> None:
    answer = public.get(f"/ledger/tile/{path}")
    if "?" in path:
        assert answer.status_code == 200
    else:
        check_problem(answer, 404, "not-found")


NAMES = ["root", "seals", "evidence", "tls", "time"]


@pytest.mark.parametrize("name", NAMES)
def test_revocation_lists_and_certificates_are_read_by_openssl(
    public: httpx2.Client, tmp_path: Path, name: str
) -> None:
    openssl = need("openssl")
    crl, certificate = public.get(f"/v1/crls/{name}.crl"), public.get(f"/v1/certificates/{name}.crt")
    assert crl.headers["Content-Type"] == "application/pkix-crl"
    assert certificate.headers["Content-Type"] == "application/pkix-cert"
    files = tmp_path / "list.crl", tmp_path / "ca.pem"
    files[0].write_bytes(crl.content)
    loaded = x509.load_der_x509_certificate(certificate.content)
    files[1].write_bytes(loaded.public_bytes(Encoding.PEM))
    done = subprocess.run(
        [openssl, "crl", "-inform", "DER", "-in", files[0], "-CAfile", files[1], "-noout", "-text"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"verify OK" in done.stderr
    for answer, path in ((crl, f"/v1/crls/{name}.crl"), (certificate, f"/v1/certificates/{name}.crt")):
        etag = answer.headers["ETag"]
        again = public.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert public.get(path, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304


@pytest.mark.parametrize("path", ["/v1/crls/other.crl", "/v1/crls/..crl", "/v1/certificates/Root.crt"])
def test_unknown_authority(public: httpx2.Client, path: str) -> None:
    check_problem(public.get(path), 404, "not-found")


def test_lists_are_where_certificates_say(public: httpx2.Client, office: TestUnit) -> None:
    """The address in a certificate leads to the list of its issuer."""
    for certificate in (*office.home.seal_certificates, *office.home.tls_certificates):
        (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert point.full_name is not None
        fetched = x509.load_der_x509_crl(public.get(point.full_name[0].value).content)
        assert fetched.issuer == certificate.issuer


def test_health(public: httpx2.Client, office: TestUnit) -> None:
    assert public.get("/healthz").json()["ready"] is True
    assert office.door.get("/healthz").json()["ready"] is True
    ready = public.get("/readyz")
    assert ready.status_code == 200
    assert all(value == "ok" for name, value in ready.json()["checks"].items() if name != "answered_in")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", public.get("/version").json()["version"])


def test_hub_info(public: httpx2.Client, hub: TestHub) -> None:
    info = public.get("/v1/hub").json()
    assert info["origin"] == hub.settings.origin
    assert info["ledger_policy"].encode() == public.get("/ledger/policy").content
    (anchor,) = info["anchors"]
    assert x509.load_pem_x509_certificate(anchor.encode()) == hub.anchor
    assert "PRIVATE" not in json.dumps(info)


def test_enrolment_token_is_for_once(hub: TestHub, public: httpx2.Client) -> None:
    unit = hub.enrol("11310000MB0000088", "登记过的单位")
    used = {
        "token": "x" * 43,
        "seal_request": (unit.home.path / "enrolment" / "seal.csr").read_text(),
        "tls_request": (unit.home.path / "enrolment" / "tls.csr").read_text(),
    }
    check_problem(public.post("/v1/enrolments", json=used), 422, "invitation-refused")
    assert EnrolmentAnswer.model_fields


def test_same_requests_get_the_same_certificates(hub: TestHub, public: httpx2.Client) -> None:
    from exchange.operator import invite
    from pki.keys import Algorithm, SoftwareSigner
    from pki.request import make_request

    invitation = invite(hub.config, code("11310000MB0000077"), "两次登记的单位")
    pems = [
        x509.load_der_x509_csr(make_request(SoftwareSigner.generate(Algorithm.ECDSA_P256_SHA256)))
        .public_bytes(Encoding.PEM)
        .decode()
        for _ in range(4)
    ]
    body = {"token": invitation["token"], "seal_request": pems[0], "tls_request": pems[1]}
    first = public.post("/v1/enrolments", json=body)
    assert first.status_code == 201, first.text
    again = public.post("/v1/enrolments", json=body)
    assert again.json() == first.json()
    other = {**body, "seal_request": pems[2], "tls_request": pems[3]}
    check_problem(public.post("/v1/enrolments", json=other), 422, "invitation-refused")
    same_key = {**body, "tls_request": pems[0]}
    assert public.post("/v1/enrolments", json=same_key).status_code == 422
    nonsense = {**body, "seal_request": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"}
    check_problem(public.post("/v1/enrolments", json=nonsense), 422, "csr-malformed")


# --- silence


def test_logs_and_metrics_hold_no_titles_names_or_bodies(
    hub: TestHub, office: TestUnit, finance: TestUnit, public: httpx2.Client
) -> None:
    """DESIGN §9. Codes of units stand in the log; what they are called and what they write does not."""
    title, document = "极其特别的标题", "极其特别的文件名.pdf"
    pdf = office.sealed(title)

    def change(value: dict) -> None:  # type: ignore[type-arg]
        value["metadata"]["title"] = title
        value["metadata"]["issued_number"] = "特办发〔2026〕777号"
        value["contents"]["name"] = document

    envelope = office.envelope([pdf], [finance.unit], change=change)
    answer = submit(office.door, envelope, office.sign(envelope), pdf)
    assert answer.status_code == 201
    dispatch_id = answer.json()["dispatch_id"]
    consignment_id = answer.json()["consignments"][0]["consignment_id"]
    settled_outbox(office)
    finance.door.get(f"/v1/consignments/{consignment_id}/package")
    finance.door.get("/v1/directory", params={"q": "极其特别的查询"})
    # A refusal as well, with the name in its sentence.
    spoilt = office.envelope([b"spoilt"], [finance.unit], change=change)
    assert submit(office.door, spoilt, office.sign(spoilt), b"spoilt").status_code == 422
    metrics = public.get("/metrics").text
    assert "gongwen_http_request_seconds_count" in metrics
    secret = [title, document, "777号", "极其特别", "spoilt", office.name, finance.name]
    # structlog writes characters as they are; metrics would escape nothing either.
    for word in (*secret, *(json.dumps(one)[1:-1] for one in secret)):
        assert word not in hub.log, word
        assert word not in metrics, word
    for word in (dispatch_id, consignment_id, digest_of(pdf), str(office.unit), str(finance.unit)):
        assert word not in metrics, word
    for line in hub.log.splitlines():
        assert json.loads(line)["level"] in ("info", "warning"), line


def test_metrics_grow_with_routes_not_with_paths(public: httpx2.Client, office: TestUnit) -> None:
    """Nobody can fill the hub's memory by asking for things that do not exist."""
    lines = len(public.get("/metrics").text.splitlines())
    for number in range(30):
        public.get(f"/nothing/{number}")
        office.door.get(f"/v1/consignments/01932000-0000-7000-8000-{number:012}")
        public.request(f"ODD{number}", "/healthz")
    assert len(public.get("/metrics").text.splitlines()) < lines + 150


def test_receipt_of_a_refusal_says_what_the_problem_said(office: TestUnit, finance: TestUnit) -> None:
    envelope = office.envelope([b"spoilt2"], [finance.unit])
    problem = submit(office.door, envelope, office.sign(envelope), b"spoilt2").json()
    assert b64decode(problem["receipt"])[:2] == b"PK"
    assert problem["code"] == "document-refused"
