"""Acts over HTTP: twice, too late, by the wrong unit, about the wrong thing; and the long poll that tells."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from clients.operations import _statement
from exchange.protocol.api import ActRequest, ConsignmentView
from exchange.protocol.events import Event
from exchange.protocol.evidence import Evidence, Reason, encode_evidence
from exchange.protocol.identifiers import Digest, EvidenceId, uuid7
from exchange.protocol.judge import judge_receipt
from signing.report import Verdict
from tests.end_to_end.hubs import TestHub, TestUnit, submit
from tests.exchange.web.looking import check_problem, settled_outbox

RETURN = (Reason(code="wrong-recipient", text="此件不属我局职责。"),)


@pytest.fixture
def consignment(office: TestUnit, finance: TestUnit) -> ConsignmentView:
    """A fresh one from the office to finance, consigned."""
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    answer = submit(office.door, envelope, office.sign(envelope), pdf).json()
    settled_outbox(office)
    return look(finance, answer["consignments"][0]["consignment_id"])


def look(unit: TestUnit, consignment_id: str) -> ConsignmentView:
    return ConsignmentView.model_validate(unit.door.get(f"/v1/consignments/{consignment_id}").json())


def statement(
    unit: TestUnit, view: ConsignmentView, event: Event, reasons: tuple[Reason, ...] = ()
) -> Evidence:
    with unit.client() as client:
        return _statement(client.session, view, event, reasons)


def signed(unit: TestUnit, value: Evidence) -> bytes:
    data = encode_evidence(value)
    return ActRequest(evidence=data, signature=unit.sign(data)).model_dump_json().encode()


def post(unit: TestUnit, consignment_id: str, body: bytes) -> httpx2.Response:
    return unit.door.post(
        f"/v1/consignments/{consignment_id}/acts", content=body, headers={"Content-Type": "application/json"}
    )


def judged(unit: TestUnit, receipt: bytes) -> Evidence:
    trust = unit.home.trust
    result = judge_receipt(
        receipt, name="act", trust=trust.store, policy=trust.ledger_policy, now=datetime.now(UTC)
    )
    assert result.report.verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS), result.report
    assert result.evidence is not None
    return result.evidence


ACTS = {
    Event.CONTENT_HANDOVER: ("HANDED_OVER", ()),
    Event.CONSIGNMENT_ACCEPTANCE: ("SIGNED_FOR", ()),
    Event.CONSIGNMENT_REJECTION: ("RETURNED", RETURN),
    Event.RECALL: ("RECALLED", ()),
}


@pytest.mark.parametrize("event", ACTS, ids=lambda event: event.wire)
def test_act_twice_gets_one_receipt(
    hub: TestHub, office: TestUnit, finance: TestUnit, consignment: ConsignmentView, event: Event
) -> None:
    state, reasons = ACTS[event]
    unit = office if event is Event.RECALL else finance
    body = signed(unit, statement(unit, consignment, event, reasons))
    first = post(unit, consignment.consignment_id, body)
    assert first.status_code == 201, first.text
    assert first.json()["state"] == state
    assert judged(unit, b64decode(first.json()["receipt"])).event is event
    size = hub.ledger_size()
    again = post(unit, consignment.consignment_id, body)
    assert again.status_code == 200
    assert again.content == first.content
    assert hub.ledger_size() == size
    for party in (office, finance):
        assert look(party, consignment.consignment_id).state == state
        receipt = party.door.get(first.headers["Location"])
        assert receipt.content == b64decode(first.json()["receipt"])
        assert receipt.headers["Content-Type"] == "application/vnd.etsi.asic-s+zip"


def test_act_repeated_later_gets_its_first_answer(finance: TestUnit, consignment: ConsignmentView) -> None:
    """Also when the consignment has gone on since."""
    handover = signed(finance, statement(finance, consignment, Event.CONTENT_HANDOVER))
    first = post(finance, consignment.consignment_id, handover)
    assert first.status_code == 201
    view = look(finance, consignment.consignment_id)
    body = signed(finance, statement(finance, view, Event.CONSIGNMENT_ACCEPTANCE))
    assert post(finance, consignment.consignment_id, body).status_code == 201
    again = post(finance, consignment.consignment_id, handover)
    assert (again.status_code, again.content) == (200, first.content)


WRONG_STATES = [
    (Event.CONSIGNMENT_ACCEPTANCE, Event.CONSIGNMENT_REJECTION, "SIGNED_FOR"),
    (Event.CONSIGNMENT_REJECTION, Event.CONSIGNMENT_ACCEPTANCE, "RETURNED"),
    (Event.CONSIGNMENT_ACCEPTANCE, Event.CONTENT_HANDOVER, "SIGNED_FOR"),
    (Event.CONTENT_HANDOVER, Event.CONTENT_HANDOVER, "HANDED_OVER"),
    (Event.RECALL, Event.CONSIGNMENT_ACCEPTANCE, "RECALLED"),
    (Event.CONSIGNMENT_REJECTION, Event.RECALL, "RETURNED"),
]


@pytest.mark.parametrize(
    ("first", "second", "state"), WRONG_STATES, ids=[f"{b.wire}-after-{a.wire}" for a, b, _ in WRONG_STATES]
)
def test_wrong_state_names_state_choices_and_winner(
    hub: TestHub,
    office: TestUnit,
    finance: TestUnit,
    consignment: ConsignmentView,
    first: Event,
    second: Event,
    state: str,
) -> None:
    def actor(event: Event) -> TestUnit:
        return office if event is Event.RECALL else finance

    done = post(
        actor(first),
        consignment.consignment_id,
        signed(actor(first), statement(actor(first), consignment, first, ACTS[first][1])),
    )
    assert done.status_code == 201, done.text
    size = hub.ledger_size()
    view = look(actor(second), consignment.consignment_id)
    body = signed(actor(second), statement(actor(second), view, second, ACTS[second][1]))
    problem = check_problem(post(actor(second), consignment.consignment_id, body), 409, "wrong-state")
    assert problem.current == state
    assert problem.allowed == view.allowed
    assert second.wire not in problem.allowed
    assert problem.receipt == b64decode(done.json()["receipt"])
    assert hub.ledger_size() == size
    assert look(actor(second), consignment.consignment_id).state == state


def test_recall_after_signing_is_refused_with_evidence(
    hub: TestHub, office: TestUnit, finance: TestUnit, consignment: ConsignmentView
) -> None:
    body = signed(finance, statement(finance, consignment, Event.CONSIGNMENT_ACCEPTANCE))
    assert post(finance, consignment.consignment_id, body).status_code == 201
    view = look(office, consignment.consignment_id)
    recall = signed(office, statement(office, view, Event.RECALL))
    problem = check_problem(post(office, consignment.consignment_id, recall), 409, "wrong-state")
    assert problem.receipt is not None
    refused = judged(office, problem.receipt)
    assert refused.event is Event.RECALL_REFUSED
    assert [one.code for one in refused.reasons] == ["already-signed-for"]
    assert look(office, consignment.consignment_id).state == "SIGNED_FOR"


def test_the_same_late_recall_is_refused_with_one_receipt(
    hub: TestHub, office: TestUnit, finance: TestUnit, consignment: ConsignmentView
) -> None:
    """Promise 2: the same bytes get the same answer, and one entry."""
    body = signed(finance, statement(finance, consignment, Event.CONSIGNMENT_ACCEPTANCE))
    assert post(finance, consignment.consignment_id, body).status_code == 201
    recall = signed(office, statement(office, look(office, consignment.consignment_id), Event.RECALL))
    first = post(office, consignment.consignment_id, recall)
    size = hub.ledger_size()
    again = post(office, consignment.consignment_id, recall)
    assert again.json()["receipt"] == first.json()["receipt"]
    assert hub.ledger_size() == size


Edit = Callable[[Evidence, TestUnit, TestUnit], Evidence]
WRONG: dict[str, tuple[str, Edit]] = {
    "other-event-of-the-hub": (
        "act-refused",
        lambda e, _o, _f: replace(e, event=Event.CONTENT_CONSIGNMENT),
    ),
    "recall-by-the-recipient": ("act-refused", lambda e, _o, _f: replace(e, event=Event.RECALL)),
    "another-dispatch": (
        "act-refused",
        lambda e, _o, _f: replace(e, dispatch=Digest("sha256:" + "1" * 64)),
    ),
    "another-hub": ("act-refused", lambda e, _o, _f: replace(e, origin="hub.elsewhere.example")),
    "another-recipient": ("act-refused", lambda e, o, _f: replace(e, recipient=o.unit)),
    "other-contents": ("act-refused", lambda e, _o, _f: replace(e, contents=(Digest("sha256:" + "2" * 64),))),
    "other-actor": ("act-refused", lambda e, o, _f: replace(e, actor=replace(e.actor, unit=o.unit))),
    "other-certificate": (
        "act-refused",
        lambda e, o, _f: replace(e, actor=replace(e.actor, certificate=o.home.seal_certificate)),
    ),
    "other-policy": ("act-refused", lambda e, _o, _f: replace(e, policy="1.2.3")),
    "stale-previous": (
        "act-refused",
        lambda e, _o, _f: replace(e, previous=EvidenceId(uuid7(e.event_time, bytes(10)))),
    ),
    "an-hour-ago": (
        "act-time-unfit",
        lambda e, _o, _f: replace(e, event_time=e.event_time - timedelta(hours=1)),
    ),
    "in-an-hour": (
        "act-time-unfit",
        lambda e, _o, _f: replace(e, event_time=e.event_time + timedelta(hours=1)),
    ),
}


@pytest.mark.parametrize("defect", WRONG)
def test_statement_that_does_not_fit_is_refused(
    hub: TestHub, office: TestUnit, finance: TestUnit, consignment: ConsignmentView, defect: str
) -> None:
    code, edit = WRONG[defect]
    value = edit(statement(finance, consignment, Event.CONSIGNMENT_ACCEPTANCE), office, finance)
    size = hub.ledger_size()
    check_problem(post(finance, consignment.consignment_id, signed(finance, value)), 422, code)
    assert hub.ledger_size() == size
    assert look(finance, consignment.consignment_id) == consignment


def test_statement_signed_by_another_is_refused(
    office: TestUnit, finance: TestUnit, consignment: ConsignmentView
) -> None:
    value = statement(finance, consignment, Event.CONSIGNMENT_ACCEPTANCE)
    answer = post(finance, consignment.consignment_id, signed(office, value))
    check_problem(answer, 422, "act-refused")
    # And the sender cannot sign for it, with its own key and name or not.
    check_problem(post(office, consignment.consignment_id, signed(office, value)), 422, "act-refused")
    check_problem(post(office, consignment.consignment_id, signed(finance, value)), 422, "act-refused")
    assert look(finance, consignment.consignment_id) == consignment


def test_return_without_a_reason_is_refused(finance: TestUnit, consignment: ConsignmentView) -> None:
    data = json.loads(encode_evidence(statement(finance, consignment, Event.CONSIGNMENT_REJECTION, RETURN)))
    del data["reasons"]
    raw = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    body: dict[str, Any] = {
        "evidence": b64encode(raw).decode(),
        "signature": b64encode(finance.sign(raw)).decode(),
    }
    answer = post(finance, consignment.consignment_id, json.dumps(body).encode())
    check_problem(answer, 422, "evidence-malformed")
    assert look(finance, consignment.consignment_id) == consignment


def test_recalled_content_is_gone_for_the_recipient(
    office: TestUnit, finance: TestUnit, consignment: ConsignmentView
) -> None:
    digest = consignment.documents[0].digest
    view = look(office, consignment.consignment_id)
    body = signed(office, statement(office, view, Event.RECALL))
    assert post(office, consignment.consignment_id, body).status_code == 201
    for part in ("envelope", "package"):
        check_problem(
            finance.door.get(f"/v1/consignments/{consignment.consignment_id}/{part}"), 404, "not-found"
        )
    assert look(finance, consignment.consignment_id).documents[0].digest == digest


# --- the long poll


def test_long_poll_wakes_when_something_comes(office: TestUnit, finance: TestUnit) -> None:
    settled_outbox(office)
    cursor = finance.door.get("/v1/inbox?limit=200").json()["cursor"]
    while items := finance.door.get(f"/v1/inbox?limit=200&after={cursor}").json()["items"]:
        cursor = items[-1]["cursor"]
    woken: list[tuple[float, httpx2.Response]] = []

    def wait() -> None:
        with finance.http() as client:
            answer = client.get(f"/v1/inbox?after={cursor}&wait=30")
            woken.append((time.monotonic(), answer))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    assert not woken
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    answer = submit(office.door, envelope, office.sign(envelope), pdf)
    sent_at = time.monotonic()
    thread.join(20)
    ((at, page),) = woken
    assert at - sent_at < 1.0
    (item,) = page.json()["items"]
    assert item["dispatch_id"] == answer.json()["dispatch_id"]
    assert page.json()["cursor"] == item["cursor"] > cursor


def test_long_poll_ends_in_time_with_nothing(finance: TestUnit, office: TestUnit) -> None:
    cursor = 1 << 50
    started = time.monotonic()
    page = finance.door.get(f"/v1/inbox?after={cursor}&wait=1").json()
    assert 0.9 <= time.monotonic() - started < 3
    assert page == {"items": [], "cursor": cursor}


def test_news_for_others_wakes_nobody(office: TestUnit, finance: TestUnit, stranger: TestUnit) -> None:
    done: list[float] = []
    started = time.monotonic()

    def wait() -> None:
        with stranger.http() as client:
            assert client.get(f"/v1/inbox?after={1 << 50}&wait=1.5").json()["items"] == []
            done.append(time.monotonic() - started)

    thread = threading.Thread(target=wait)
    thread.start()
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    submit(office.door, envelope, office.sign(envelope), pdf)
    thread.join(10)
    assert done[0] >= 1.4
