"""The OpenAPI document: valid by somebody else's validator, complete, and true of what is answered."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from exchange.web.routes import ROUTES, Listener, Route
from tests.end_to_end.hubs import TestUnit, submit
from tests.exchange.web.looking import settled_outbox


@pytest.fixture(scope="module")
def document(public: httpx2.Client) -> dict[str, Any]:
    answer = public.get("/openapi.json")
    assert answer.headers["Content-Type"].startswith("application/json")
    value: dict[str, Any] = answer.json()
    return value


def plain(path: str) -> str:
    return re.sub(r"\{(\w+)(:[^}]*)?\}", r"{\1}", path)


def test_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_both_listeners_serve_the_same_document(document: dict[str, Any], office: TestUnit) -> None:
    assert office.door.get("/openapi.json").json() == document


def test_every_route_is_in_it_and_nothing_else(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert described - {("GET", "/openapi.json")} == {(route.method, plain(route.path)) for route in ROUTES}


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [one["operationId"] for operations in document["paths"].values() for one in operations.values()]
    assert len(ids) == len(set(ids))


def test_units_operations_ask_for_a_certificate(document: dict[str, Any]) -> None:
    for route in ROUTES:
        operation = document["paths"][plain(route.path)][route.method.lower()]
        assert ("security" in operation) == (route.listener is Listener.UNITS)


def schema_of(document: dict[str, Any], route: Route, status: int, kind: str) -> Draft202012Validator:
    operation = document["paths"][plain(route.path)][route.method.lower()]
    content = operation["responses"][str(status)]["content"]
    return Draft202012Validator({**content[kind]["schema"], "components": document["components"]})


class Checker:
    """Sends a request and holds its answer against the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: set[tuple[str, str, int]] = set()

    def check(self, answer: httpx2.Response, route: Route) -> None:
        status = answer.status_code
        operation = self.document["paths"][plain(route.path)][route.method.lower()]
        assert str(status) in operation["responses"], (route.method, route.path, status, answer.text[:300])
        described = operation["responses"][str(status)]
        self.seen.add((route.method, route.path, status))
        if "content" not in described:
            assert not answer.content or route.method == "HEAD"
            return
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind in described["content"], (route.path, kind)
        if kind.endswith("json") and route.method != "HEAD":
            schema_of(self.document, route, status, kind).validate(answer.json())


def test_answers_are_what_the_document_says(
    document: dict[str, Any],
    office: TestUnit,
    finance: TestUnit,
    stranger: TestUnit,
    public: httpx2.Client,
) -> None:
    """Every operation, asked well and asked badly; each answer is a documented status in its documented form."""
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    signature = office.sign(envelope)
    accepted = submit(office.door, envelope, signature, pdf)
    settled_outbox(office)
    consignment = accepted.json()["consignments"][0]["consignment_id"]
    from exchange.protocol.identifiers import digest_of

    values = {
        "digest": digest_of(pdf),
        "dispatch_id": accepted.json()["dispatch_id"],
        "consignment_id": consignment,
        "evidence_id": accepted.json()["evidence_id"],
        "name": "root",
        "path": "0/000.p/1",
    }
    checker = Checker(document)
    by_handler = {(route.method, plain(route.path)): route for route in ROUTES}
    submitting = by_handler["POST", "/v1/dispatches"]
    checker.check(accepted, submitting)
    checker.check(submit(office.door, envelope, signature, pdf), submitting)
    checker.check(submit(office.door, b"", b"", pdf), submitting)
    for route in ROUTES:
        path = plain(route.path)
        good = path.format(**values)
        bad = path.format(**dict.fromkeys(values, "nonsense"))
        clients = (
            [public] if route.listener is Listener.PUBLIC else [office.door, finance.door, stranger.door]
        )
        for client in clients:
            for address in (good, bad, good + "?unknown=1"):
                checker.check(client.request(route.method, address), route)
                checker.check(client.request(route.method, address, headers={"Range": "bytes=0-1"}), route)
                checker.check(
                    client.request(route.method, address, headers={"Range": "bytes=999999999-"}), route
                )
                if route.method in ("POST", "PUT", "PATCH"):
                    for kind in ("application/json", "text/plain", "application/partial-upload"):
                        answer = client.request(
                            route.method, address, content=b"{}", headers={"Content-Type": kind}
                        )
                        checker.check(answer, route)
    # Every operation was seen to succeed but those that need more than a walk.
    succeeded = {(method, path) for method, path, status in checker.seen if status < 300}
    missing = {(route.method, route.path) for route in ROUTES} - succeeded
    assert missing <= {
        ("POST", "/v1/enrolments"),
        ("PUT", "/v1/contents/{digest}"),
        ("PATCH", "/v1/contents/{digest}"),
        ("POST", "/v1/consignments/{consignment_id}/acts"),
    }
