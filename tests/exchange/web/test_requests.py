"""Requests that are none: wrong bodies, wrong media types, unknown parameters, unknown resources."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable

import httpx2
import pytest

from exchange.protocol.dispatch import MAX_ENVELOPE
from tests.end_to_end.hubs import TestHub, TestUnit, multipart, submit
from tests.exchange.web.conftest import MAX_SMALL
from tests.exchange.web.looking import check_problem, kept, kept_before

B = "boundary-of-this-test"
KIND = f"multipart/form-data; boundary={B}"
PART = f'--{B}\r\nContent-Disposition: form-data; name="{{}}"\r\n\r\n'


def good(name: str) -> bytes:
    return multipart(B, [("envelope", b"{}"), ("signature", b"0")]).replace(
        f"--{B}--".encode(), name.encode()
    )


MULTIPART: dict[str, tuple[str, bytes]] = {
    "no-boundary-parameter": ("multipart/form-data", multipart(B, [("envelope", b"{}")])),
    "another-boundary": ("multipart/form-data; boundary=x", multipart(B, [("envelope", b"{}")])),
    "empty-body": (KIND, b""),
    "not-multipart-at-all": (KIND, b"hello"),
    "no-signature": (KIND, multipart(B, [("envelope", b"{}")])),
    "no-envelope": (KIND, multipart(B, [("signature", b"0")])),
    "envelope-twice": (
        KIND,
        multipart(B, [("envelope", b"{}"), ("envelope", b"{}"), ("signature", b"0")]),
    ),
    "unknown-part": (
        KIND,
        multipart(B, [("envelope", b"{}"), ("signature", b"0"), ("colour", b"red")]),
    ),
    "part-without-name": (KIND, f"--{B}\r\nContent-Type: text/plain\r\n\r\nx\r\n--{B}--\r\n".encode()),
    "part-without-end-of-headers": (KIND, f"--{B}\r\nContent-Disposition: form-data".encode()),
    "transfer-encoding-in-a-part": (
        KIND,
        f'--{B}\r\nContent-Disposition: form-data; name="envelope"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\ne30=\r\n--{B}--\r\n".encode(),
    ),
    "content-encoding-in-a-part": (
        KIND,
        f'--{B}\r\nContent-Disposition: form-data; name="envelope"\r\n'
        f"Content-Encoding: gzip\r\n\r\ne30=\r\n--{B}--\r\n".encode(),
    ),
    "parts-within-parts": (
        KIND,
        f'--{B}\r\nContent-Disposition: form-data; name="envelope"\r\n'
        f"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\nx\r\n--inner--\r\n"
        f"--{B}--\r\n".encode(),
    ),
    "too-many-parts": (
        KIND,
        multipart(B, [("envelope", b"{}"), ("signature", b"0"), *[("content", b"x")] * 300]),
    ),
    "cut-in-the-last-part": (KIND, multipart(B, [("envelope", b"{}"), ("signature", b"0")])[:-12]),
}


@pytest.mark.parametrize("defect", MULTIPART)
def test_broken_multipart_is_malformed(
    hub: TestHub, office: TestUnit, finance: TestUnit, http: httpx2.Client, defect: str
) -> None:
    kind, body = MULTIPART[defect]
    before = kept_before(hub, office, finance)
    answer = http.post("/v1/dispatches", content=body, headers={"Content-Type": kind})
    check_problem(answer, 400, "request-malformed")
    assert kept(hub, office, finance) == before


def test_truncated_multipart_does_not_pass_for_a_whole_one(
    hub: TestHub, office: TestUnit, finance: TestUnit, http: httpx2.Client
) -> None:
    """Without the closing boundary the last document may be cut: nobody may take it for the whole."""
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    parts = [("envelope", envelope), ("signature", office.sign(envelope)), ("content", pdf)]
    body = multipart(B, parts)
    before = kept_before(hub, office, finance)
    for cut in (len(f"\r\n--{B}--\r\n"), 500):
        answer = http.post("/v1/dispatches", content=body[:-cut], headers={"Content-Type": KIND})
        check_problem(answer, 400, "request-malformed")
    assert kept(hub, office, finance) == before


def test_multipart_over_the_cap_is_too_large(
    hub: TestHub, office: TestUnit, finance: TestUnit, http: httpx2.Client
) -> None:
    before = kept_before(hub, office, finance)
    answer = submit(http, b"{}", b"0", bytes(MAX_SMALL))
    check_problem(answer, 413, "content-too-large")
    assert kept(hub, office, finance) == before


def test_chunked_multipart_over_the_cap_is_too_large(
    hub: TestHub, office: TestUnit, finance: TestUnit, http: httpx2.Client
) -> None:
    body = multipart(B, [("envelope", b"{}"), ("signature", b"0"), ("content", bytes(MAX_SMALL + 10))])
    before = kept_before(hub, office, finance)
    answer = http.post(
        "/v1/dispatches", content=iter([body[:5000], body[5000:]]), headers={"Content-Type": KIND}
    )
    check_problem(answer, 413, "content-too-large")
    assert kept(hub, office, finance) == before


def test_json_body_over_the_cap_is_too_large(http: httpx2.Client) -> None:
    body = b'{"envelope":"' + b"A" * (3 << 20) + b'","signature":""}'
    answer = http.post("/v1/dispatches", content=body, headers={"Content-Type": "application/json"})
    check_problem(answer, 413, "content-too-large")


def test_envelope_over_its_cap_is_refused_by_name(
    hub: TestHub, office: TestUnit, finance: TestUnit, http: httpx2.Client
) -> None:
    """Too long to be kept as evidence: no receipt."""
    envelope = b"x" * (MAX_ENVELOPE + 1)
    before = kept_before(hub, office, finance)
    answer = submit(http, envelope, office.sign(envelope))
    problem = check_problem(answer, 422, "envelope-malformed")
    assert problem.receipt is None
    assert kept(hub, office, finance) == before


def test_json_submission_is_the_same_as_multipart(
    office: TestUnit, finance: TestUnit, http: httpx2.Client
) -> None:
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    signature = office.sign(envelope)
    assert submit(http, envelope, signature, pdf).status_code == 201
    body = {"envelope": b64encode(envelope).decode(), "signature": b64encode(signature).decode()}
    answer = http.post("/v1/dispatches", json=body)
    assert answer.status_code == 200


def b64(data: bytes) -> str:
    return b64encode(data).decode()


JSON: dict[str, tuple[int, bytes]] = {
    "not-json": (400, b"{"),
    "empty": (400, b""),
    "an-array": (422, b"[]"),
    "a-number": (422, b"1"),
    "nothing-in-it": (422, b"{}"),
    "unknown-field": (
        422,
        json.dumps({"envelope": "", "signature": "", "colour": "red"}).encode(),
    ),
    "not-base64": (422, json.dumps({"envelope": "*", "signature": "MA=="}).encode()),
    "base64-without-padding": (422, json.dumps({"envelope": "MA", "signature": "MA=="}).encode()),
    "base64-not-canonical": (422, json.dumps({"envelope": "MB==", "signature": "MA=="}).encode()),
    "base64-with-line-break": (422, json.dumps({"envelope": "MDAw\nMDAw", "signature": "MA=="}).encode()),
    "not-a-text": (422, json.dumps({"envelope": 1, "signature": "MA=="}).encode()),
    "null": (422, json.dumps({"envelope": None, "signature": "MA=="}).encode()),
    "deeply-nested": (400, b'{"envelope":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "not-utf-8": (400, b'{"envelope":"\xff"}'),
    "lone-surrogate": (400, b'{"envelope":"\\ud800","signature":"MA=="}'),
}


@pytest.fixture(scope="module")
def consignment_id(office: TestUnit, finance: TestUnit) -> str:
    """Something to act on."""
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    answer = submit(office.door, envelope, office.sign(envelope), pdf)
    identifier: str = answer.json()["consignments"][0]["consignment_id"]
    return identifier


@pytest.mark.parametrize("defect", JSON)
@pytest.mark.parametrize("path", ["/v1/dispatches", "acts", "enrolments"])
def test_broken_json_is_refused_by_its_form(
    hub: TestHub,
    office: TestUnit,
    finance: TestUnit,
    http: httpx2.Client,
    public: httpx2.Client,
    consignment_id: str,
    path: str,
    defect: str,
) -> None:
    status, body = JSON[defect]
    client = http
    if path == "acts":
        path = f"/v1/consignments/{consignment_id}/acts"
    if path == "enrolments":
        client, path = public, "/v1/enrolments"
    before = kept_before(hub, office, finance)
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in ((400, 422) if status == 400 else (422,)), answer.text
    problem = check_problem(answer, answer.status_code, "request-malformed")
    assert answer.status_code == 400 or problem.errors
    assert kept(hub, office, finance) == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "", "application/x-www-form-urlencoded", "multipart/mixed"]
)
def test_wrong_media_type(http: httpx2.Client, public: httpx2.Client, kind: str) -> None:
    for client, path in ((http, "/v1/dispatches"), (public, "/v1/enrolments")):
        answer = client.post(path, content=b"{}", headers={"Content-Type": kind})
        check_problem(answer, 415, "media-type-unsupported")


QUERIES = [
    "/v1/directory?colour=red",
    "/v1/directory?q=",
    "/v1/directory?q=" + "x" * 65,
    "/v1/dispatches?limit=0",
    "/v1/dispatches?limit=201",
    "/v1/dispatches?limit=x",
    "/v1/dispatches?state=NOWHERE",
    "/v1/dispatches?unknown=1",
    "/v1/inbox?wait=31",
    "/v1/inbox?wait=-1",
    "/v1/inbox?wait=nan",
    "/v1/inbox?wait=inf",
    "/v1/inbox?after=-2",
    "/v1/inbox?after=1.5",
    "/v1/inbox?state=nowhere",
    "/v1/inbox?before=1",
]


@pytest.mark.parametrize("path", QUERIES)
def test_unknown_and_malformed_parameters_are_refused(http: httpx2.Client, path: str) -> None:
    problem = check_problem(http.get(path), 422, "request-malformed")
    assert problem.errors


@pytest.mark.parametrize("path", ["/v1/inbox?limit=1&limit=2", "/v1/dispatches?cursor=nonsense"])
def test_repeated_parameter_and_foreign_cursor_are_refused(http: httpx2.Client, path: str) -> None:
    check_problem(http.get(path), 400, "request-malformed")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/inbox?after=99999999999999999999999999",
        "/v1/directory?q=%00",
        "/v1/directory?q=%25_%27%22",
        "/v1/directory?q=%ED%A0%80",
    ],
)
def test_odd_values_break_nothing(http: httpx2.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code in (200, 400, 422), answer.text


NOTHING = ["/", "/v1", "/v1/", "/v2/inbox", "/v1/inbox/", "/v1//inbox", "/favicon.ico", "/v1/receipts/"]


@pytest.mark.parametrize("path", NOTHING)
def test_unknown_resource(http: httpx2.Client, public: httpx2.Client, path: str) -> None:
    check_problem(http.get(path), 404, "not-found")
    check_problem(public.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/dispatches"), ("POST", "/v1/inbox"), ("PUT", "/v1/hub"), ("POST", "/healthz")],
)
def test_method_that_a_resource_does_not_have(http: httpx2.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    check_problem(answer, 405, "method-not-allowed")
    # RFC 9110 §15.5.6: the answer lists those it has.
    assert answer.headers["Allow"]


REQUEST_IDS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "kept": ("abcd-1234.X_y", lambda given: given == "abcd-1234.X_y"),
    "too-short": ("abc", lambda given: given != "abc"),
    "too-long": ("a" * 65, lambda given: given != "a" * 65),
    "with-markup": ("<script>alert(1)</script>", lambda given: "<" not in given),
}


@pytest.mark.parametrize("which", REQUEST_IDS)
def test_request_id_is_kept_where_it_is_one(http: httpx2.Client, which: str) -> None:
    claimed, holds = REQUEST_IDS[which]
    for path in ("/v1/whoami", "/v1/nothing"):
        answer = http.get(path, headers={"X-Request-Id": claimed})
        assert holds(answer.headers["X-Request-Id"])


def test_every_answer_has_a_request_id(http: httpx2.Client, public: httpx2.Client) -> None:
    pages = [(http, "/v1/whoami"), (http, "/v1/nothing"), (public, "/metrics"), (public, "/ledger/policy")]
    for client, path in pages:
        assert client.get(path).headers["X-Request-Id"]


@pytest.mark.parametrize(("language", "expected"), [("en", "Not found"), ("de, en;q=0.5", "Not found")])
def test_problems_are_told_in_the_language_asked_for(
    http: httpx2.Client, language: str, expected: str
) -> None:
    answer = http.get("/v1/nothing", headers={"Accept-Language": language})
    assert check_problem(answer, 404, "not-found").title == expected
