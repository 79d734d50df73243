"""What every refusal must look like, and how to see that it left nothing behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2

from exchange.protocol.api import Problem
from exchange.protocol.evidence import Evidence
from exchange.protocol.identifiers import digest_of
from exchange.protocol.judge import judge_receipt
from signing.report import Verdict
from tests.end_to_end.hubs import TestHub, TestUnit


def check_problem(response: httpx2.Response, status: int, code: str) -> Problem:
    """The response is this problem, in the form of RFC 9457, and says nothing of the inside."""
    assert response.status_code == status, response.text[:600]
    assert response.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    value = response.json()
    assert {"type", "title", "status", "detail", "code", "mender", "request_id"} <= set(value), value
    problem = Problem.model_validate(value)
    assert problem.code == code, response.text[:600]
    assert problem.type == f"urn:x-gongwen:problem:{code}"
    assert problem.status == status
    assert problem.title
    assert problem.detail
    assert problem.request_id == response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    for word in ("Traceback", "/exchange/", "sqlite", ".py"):
        assert word not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)
    return problem


def check_refused_with_receipt(
    response: httpx2.Response, status: int, code: str, *, by: TestUnit, envelope: bytes
) -> Evidence:
    """The problem carries the receipt of E02 for exactly this envelope, and it verifies offline."""
    problem = check_problem(response, status, code)
    assert problem.receipt is not None, response.text
    trust = by.home.trust
    judged = judge_receipt(
        problem.receipt, name="refusal", trust=trust.store, policy=trust.ledger_policy, now=datetime.now(UTC)
    )
    assert judged.report.verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS), judged.report
    evidence = judged.evidence
    assert evidence is not None
    assert evidence.event.wire == "SubmissionRejection"
    assert evidence.dispatch == digest_of(envelope)
    assert evidence.sender == by.unit
    assert [one.code for one in evidence.reasons] == [code]
    return evidence


@dataclass(frozen=True)
class Kept:
    """What the hub keeps, as its parties see it and as it lies on the disk."""

    directory: str
    outboxes: tuple[tuple[str, ...], ...]
    inboxes: tuple[tuple[tuple[str, str], ...], ...]
    contents: tuple[tuple[str, int], ...]
    entries: int


def settled_outbox(unit: TestUnit) -> dict[str, Any]:
    """The newest of the outbox, once the courier has consigned what was accepted; till then it is moving."""
    until = time.monotonic() + 10
    while True:
        sent: dict[str, Any] = unit.door.get("/v1/dispatches?limit=10").json()
        states = {one["state"] for item in sent["items"] for one in item["consignments"]}
        if "ACCEPTED" not in states:
            return sent
        assert time.monotonic() < until, "a consignment stays ACCEPTED"
        time.sleep(0.02)


def kept_before(hub: TestHub, *units: TestUnit) -> Kept:
    """What is kept now; :func:`kept` afterwards tells what came since."""
    for unit in units:
        settled_outbox(unit)
        while items := inbox(unit):
            unit.cursor = items[-1]["cursor"]
    return kept(hub, *units)


def kept(hub: TestHub, *units: TestUnit) -> Kept:
    outboxes, inboxes = [], []
    directory = ""
    for unit in units:
        directory = unit.door.get("/v1/directory").text
        sent = settled_outbox(unit)["items"]
        outboxes.append(tuple(one["dispatch_id"] for one in sent))
        inboxes.append(tuple((one["consignment_id"], one["state"]) for one in inbox(unit)))
    return Kept(
        directory, tuple(outboxes), tuple(inboxes), tuple(sorted(hub.contents().items())), hub.ledger_size()
    )


def inbox(unit: TestUnit) -> list[dict[str, Any]]:
    """What changed since the unit's cursor."""
    items: list[dict[str, Any]] = unit.door.get(f"/v1/inbox?limit=200&after={unit.cursor}").json()["items"]
    return items
