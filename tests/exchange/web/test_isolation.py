"""Whoever is not a party learns nothing: not from the answers, not from the routes, not at the door."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509

from clients.transport import tls_context
from exchange.operator import read_secret
from exchange.protocol.identifiers import digest_of
from exchange.web.routes import ROUTES, Listener, Route
from pki.names import UnitId
from pki.profile import TLS_CLIENT, UNIT_SEAL
from pki.storage.keys import KeyFolder
from tests.end_to_end.hubs import TestHub, TestUnit, now, submit
from tests.exchange.web.looking import check_problem, settled_outbox
from tests.worlds.pki import PkiWorld

NO_SUCH = "01932000-0000-7000-8000-000000000000"
NO_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Sent:
    """A dispatch of one unit to another, by everything that names it."""

    dispatch_id: str
    consignment_id: str
    digest: str
    evidence: tuple[str, ...]


@pytest.fixture(scope="module")
def sent(office: TestUnit, finance: TestUnit) -> Sent:
    pdf = office.sealed("只给财政局的通知")
    envelope = office.envelope([pdf], [finance.unit])
    answer = submit(office.door, envelope, office.sign(envelope), pdf).json()
    settled_outbox(office)
    view = office.door.get(f"/v1/dispatches/{answer['dispatch_id']}").json()
    (consignment,) = view["consignments"]
    evidence = [one["evidence_id"] for one in view["evidence"] + consignment["evidence"]]
    return Sent(answer["dispatch_id"], consignment["consignment_id"], digest_of(pdf), tuple(evidence))


def places(sent: Sent) -> list[tuple[str, str]]:
    """Every address under which something of the dispatch can be asked for, and one with nothing behind it."""
    pairs = [
        ("/v1/dispatches/{}", sent.dispatch_id),
        ("/v1/dispatches/{}/package", sent.dispatch_id),
        ("/v1/consignments/{}", sent.consignment_id),
        ("/v1/consignments/{}/envelope", sent.consignment_id),
        ("/v1/consignments/{}/package", sent.consignment_id),
        *(("/v1/receipts/{}", one) for one in sent.evidence),
    ]
    found = [(form.format(key), form.format(NO_SUCH)) for form, key in pairs]
    return [*found, (f"/v1/contents/{sent.digest}", f"/v1/contents/{NO_DIGEST}")]


def without_ids(answer: httpx2.Response) -> dict[str, object]:
    return {key: value for key, value in answer.json().items() if key != "request_id"}


def test_stranger_cannot_tell_what_exists_from_what_does_not(stranger: TestUnit, sent: Sent) -> None:
    for there, nowhere in places(sent):
        real, unreal = stranger.door.get(there), stranger.door.get(nowhere)
        check_problem(real, 404, "not-found")
        check_problem(unreal, 404, "not-found")
        assert without_ids(real) == without_ids(unreal)
        assert set(real.headers) == set(unreal.headers)
        assert len(real.content) == len(unreal.content)


def test_parties_can(office: TestUnit, finance: TestUnit, sent: Sent) -> None:
    for there, _nowhere in places(sent):
        assert office.door.get(there).status_code == 200, there
        expected = 404 if there.startswith("/v1/dispatches") else 200
        assert finance.door.get(there).status_code == expected, there


def test_recipient_of_one_consignment_sees_nothing_of_the_other(
    office: TestUnit, finance: TestUnit, stranger: TestUnit
) -> None:
    pdf = office.sealed("给两家的通知")
    envelope = office.envelope([pdf], [finance.unit, stranger.unit])
    answer = submit(office.door, envelope, office.sign(envelope), pdf).json()
    settled_outbox(office)
    view = office.door.get(f"/v1/dispatches/{answer['dispatch_id']}").json()
    mine, other = sorted(view["consignments"], key=lambda one: one["recipient"] != stranger.unit)
    assert stranger.door.get(f"/v1/consignments/{mine['consignment_id']}").status_code == 200
    check_problem(stranger.door.get(f"/v1/consignments/{other['consignment_id']}"), 404, "not-found")
    theirs = {one["evidence_id"] for one in other["evidence"]} - {
        one["evidence_id"] for one in mine["evidence"]
    }
    assert theirs
    for evidence_id in theirs:
        check_problem(stranger.door.get(f"/v1/receipts/{evidence_id}"), 404, "not-found")
    package = stranger.door.get(f"/v1/consignments/{mine['consignment_id']}/package").content
    for evidence_id in theirs:
        assert evidence_id.encode() not in package


def test_lists_hold_only_what_is_ones_own(office: TestUnit, stranger: TestUnit, sent: Sent) -> None:
    assert sent.dispatch_id not in stranger.door.get("/v1/dispatches?limit=200").text
    assert sent.consignment_id not in stranger.door.get("/v1/inbox?limit=200").text
    assert sent.consignment_id not in office.door.get("/v1/inbox?limit=200").text


def test_act_on_a_foreign_consignment_is_not_found(stranger: TestUnit, sent: Sent) -> None:
    body = {"evidence": "e30=", "signature": "MA=="}
    for key in (sent.consignment_id, NO_SUCH):
        answer = stranger.door.post(f"/v1/consignments/{key}/acts", json=body)
        check_problem(answer, 404, "not-found")


def test_recipient_learns_nothing_from_a_wrong_sender(office: TestUnit, sent: Sent) -> None:
    """The sender may not act as the recipient on its own consignment."""
    with office.client() as client:
        view = client.consignment(sent.consignment_id)
    assert view.recipient != office.unit


# --- every route


def address(route: Route, sent: Sent) -> str:
    """A route's path with things in it that exist."""
    path = route.path
    for name, value in (
        ("{digest}", sent.digest),
        ("{dispatch_id}", sent.dispatch_id),
        ("{consignment_id}", sent.consignment_id),
        ("{evidence_id}", sent.evidence[0]),
        ("{name}", "root"),
        ("{path:.+}", "0/000.p/1"),
    ):
        path = path.replace(name, value)
    assert "{" not in path
    return path


UNITS_ROUTES = [route for route in ROUTES if Listener.UNITS in route.listener]
OF_A_PARTY = [route for route in UNITS_ROUTES if "{" in route.path]
PUBLIC_ONLY = [route for route in ROUTES if route.listener is Listener.PUBLIC]
UNITS_ONLY = [route for route in ROUTES if route.listener is Listener.UNITS]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", OF_A_PARTY, ids=name_of)
def test_foreign_unit_on_every_route(stranger: TestUnit, sent: Sent, route: Route) -> None:
    if route.method in ("PUT", "PATCH"):
        # Uploading is everybody's right; what it must not do is tell what others have.
        answer = stranger.door.request(
            route.method,
            address(route, sent),
            content=b"x",
            headers={
                "Content-Type": "application/partial-upload",
                "Upload-Offset": "0",
                "Upload-Length": "1",
            },
        )
        check_problem(answer, 422, "content-mismatch")
        return
    body = {"evidence": "e30=", "signature": "MA=="} if route.method == "POST" else None
    answer = stranger.door.request(route.method, address(route, sent), json=body)
    assert answer.status_code == 404
    if route.method != "HEAD":
        check_problem(answer, 404, "not-found")


@pytest.mark.parametrize("route", UNITS_ONLY, ids=name_of)
def test_units_routes_are_not_on_the_public_listener(public: httpx2.Client, sent: Sent, route: Route) -> None:
    answer = public.request(route.method, address(route, sent))
    assert answer.status_code == 404


@pytest.mark.parametrize("route", PUBLIC_ONLY, ids=name_of)
def test_public_routes_are_not_on_the_units_listener(office: TestUnit, sent: Sent, route: Route) -> None:
    answer = office.door.request(route.method, address(route, sent))
    assert answer.status_code == 404


@dataclass(frozen=True)
class Guest:
    """Somebody at the door with a TLS context that is not a unit's."""

    context: ssl.SSLContext
    enters: bool
    """Whether the handshake succeeds: then it is the hub that says no, and to everything."""
    code: str = ""


def guests(hub: TestHub, office: TestUnit) -> Iterator[tuple[str, Guest]]:
    anchor = [hub.anchor]
    yield "no certificate", Guest(tls_context(anchor), False)
    foreign = PkiWorld(now=now()).unit(office.name, unit=UnitId(office.unit))
    yield (
        "certificate of a foreign authority",
        Guest(
            tls_context(anchor, signer=foreign.tls.signer, certificates=foreign.tls.chain),
            False,
        ),
    )
    keys = KeyFolder.open(hub.folder / "keys", read_secret(hub.settings))
    server = certificates_of(hub.folder / "server.pem")
    yield (
        "the hub's own server certificate",
        Guest(tls_context(anchor, signer=keys.load("tls-server"), certificates=server), False),
    )
    yield (
        "the unit's seal certificate",
        Guest(
            tls_context(anchor, signer=office.home.seal_key, certificates=office.home.seal_certificates),
            False,
        ),
    )
    key, certificate, issuer = hub.certify(TLS_CLIENT, "tls", office.unit, office.name)
    yield (
        "a certificate that the register does not know",
        Guest(
            tls_context(anchor, signer=key, certificates=(certificate, issuer)), True, "certificate-unknown"
        ),
    )
    key, certificate, issuer = hub.certify(
        TLS_CLIENT,
        "tls",
        office.unit,
        office.name,
        begins=now() - timedelta(days=15),
        ends=now() - timedelta(days=1),
    )
    yield (
        "an expired certificate",
        Guest(tls_context(anchor, signer=key, certificates=(certificate, issuer)), False),
    )
    key, certificate, issuer = hub.certify(UNIT_SEAL, "seals", office.unit, office.name)
    yield (
        "a fresh seal certificate",
        Guest(tls_context(anchor, signer=key, certificates=(certificate, issuer)), False),
    )


def certificates_of(path: Path) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(path.read_bytes()))


GUESTS = [
    "no certificate",
    "certificate of a foreign authority",
    "the hub's own server certificate",
    "the unit's seal certificate",
    "a certificate that the register does not know",
    "an expired certificate",
    "a fresh seal certificate",
]


@pytest.fixture(scope="module")
def all_guests(hub: TestHub, office: TestUnit) -> dict[str, Guest]:
    return dict(guests(hub, office))


@pytest.mark.parametrize("who", GUESTS)
def test_guest_gets_nothing_on_any_route(
    hub: TestHub, sent: Sent, all_guests: dict[str, Guest], who: str
) -> None:
    guest = all_guests[who]
    with hub.bare(guest.context) as client:
        for route in UNITS_ROUTES:
            if guest.enters:
                answer = client.request(route.method, address(route, sent))
                assert answer.status_code == 403, (name_of(route), answer.text)
                if route.method != "HEAD":
                    check_problem(answer, 403, guest.code)
            else:
                with pytest.raises((httpx2.ReadError, httpx2.ConnectError, httpx2.RemoteProtocolError)):
                    client.request(route.method, address(route, sent))


def test_nothing_below_tls_1_3(hub: TestHub) -> None:
    for url in (hub.units_url, hub.public_url):
        context = tls_context([hub.anchor])
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            httpx2.Client(verify=context, trust_env=False) as client,
            pytest.raises(httpx2.ConnectError),
        ):
            client.get(f"{url}/healthz")


def test_plain_http_is_not_answered(hub: TestHub) -> None:
    for url in (hub.units_url, hub.public_url):
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(httpx2.Client(trust_env=False))
            stack.enter_context(pytest.raises(httpx2.HTTPError))
            client.get(url.replace("https://", "http://") + "/healthz")
