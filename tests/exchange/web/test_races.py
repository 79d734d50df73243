"""The same thing asked at once from several connections, and lists read page by page while they grow."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx2
import pytest

from exchange.operator import invite, revoke
from exchange.protocol.api import ConsignmentView
from exchange.protocol.events import Event
from exchange.protocol.identifiers import digest_of
from pki.revocation import RevocationReason
from tests.end_to_end.hubs import TestHub, TestUnit, code, submit
from tests.exchange.web.looking import check_problem, settled_outbox
from tests.exchange.web.test_acts import RETURN, look, post, signed, statement

T = TypeVar("T")
CROWD = 8


def at_once(jobs: list[Callable[[], T]]) -> list[T]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [one.result(60) for one in [pool.submit(job) for job in jobs]]


def patiently(send: Callable[[], httpx2.Response]) -> httpx2.Response:
    """Once more after 503: who asks between a commit and its checkpoint is told to come again."""
    while True:
        answer = send()
        if answer.status_code != 503:
            return answer
        check_problem(answer, 503, "unavailable")
        time.sleep(0.05)


def consigned(office: TestUnit, finance: TestUnit) -> ConsignmentView:
    pdf = office.sealed()
    envelope = office.envelope([pdf], [finance.unit])
    answer = submit(office.door, envelope, office.sign(envelope), pdf).json()
    settled_outbox(office)
    return look(finance, answer["consignments"][0]["consignment_id"])


def test_same_submission_at_once_is_one_dispatch(hub: TestHub, office: TestUnit, finance: TestUnit) -> None:
    pdf = office.sealed()
    assert office.door.put(f"/v1/contents/{digest_of(pdf)}", content=pdf).status_code in (200, 201)
    envelope = office.envelope([pdf], [finance.unit])
    signature = office.sign(envelope)

    def send() -> httpx2.Response:
        with office.http() as client:
            return patiently(lambda: submit(client, envelope, signature))

    answers = at_once([send] * CROWD)
    assert Counter(one.status_code for one in answers) == {201: 1, 200: CROWD - 1}
    assert len({one.content for one in answers}) == 1
    settled_outbox(office)
    view = office.door.get(f"/v1/dispatches/{answers[0].json()['dispatch_id']}").json()
    assert len(view["evidence"]) == 1
    assert len(view["consignments"]) == 1


def test_same_refusal_at_once_has_one_receipt(hub: TestHub, office: TestUnit, finance: TestUnit) -> None:
    envelope = office.envelope([b"x"], [finance.unit]).replace(b'"version":1', b'"version":9')
    signature = office.sign(envelope)
    size = hub.ledger_size()

    def send() -> httpx2.Response:
        with office.http() as client:
            return patiently(lambda: submit(client, envelope, signature))

    answers = at_once([send] * CROWD)
    assert {one.status_code for one in answers} == {422}
    assert len({one.json()["receipt"] for one in answers}) == 1
    assert hub.ledger_size() == size + 1


def test_two_dispatches_under_one_id_at_once(hub: TestHub, office: TestUnit, finance: TestUnit) -> None:
    """One is accepted, the other is a signed refusal; which, is chance."""
    pdf = office.sealed()
    assert office.door.put(f"/v1/contents/{digest_of(pdf)}", content=pdf).status_code in (200, 201)
    first = office.envelope([pdf], [finance.unit])
    used = json.loads(first)["dispatch_id"]
    second = office.envelope(
        [pdf], [finance.unit], change=lambda v: v.update(dispatch_id=used, metadata={"title": "另一份"})
    )

    def send(envelope: bytes) -> httpx2.Response:
        with office.http() as client:
            signature = office.sign(envelope)
            return patiently(lambda: submit(client, envelope, signature))

    answers = at_once([lambda: send(first), lambda: send(second)])
    assert sorted(one.status_code for one in answers) == [201, 409]
    (loser,) = [one for one in answers if one.status_code == 409]
    assert check_problem(loser, 409, "duplicate-id-conflict").receipt is not None


@pytest.mark.parametrize("round_", range(3))
def test_signing_returning_and_recalling_at_once_has_one_winner(
    hub: TestHub, office: TestUnit, finance: TestUnit, round_: int
) -> None:
    view = consigned(office, finance)
    mine = look(office, view.consignment_id)
    bodies = [
        (finance, signed(finance, statement(finance, view, Event.CONSIGNMENT_ACCEPTANCE))),
        (finance, signed(finance, statement(finance, view, Event.CONSIGNMENT_REJECTION, RETURN))),
        (office, signed(office, statement(office, mine, Event.RECALL))),
    ]

    def act(unit: TestUnit, body: bytes) -> httpx2.Response:
        with unit.http() as client:
            url = f"/v1/consignments/{view.consignment_id}/acts"
            return patiently(
                lambda: client.post(url, content=body, headers={"Content-Type": "application/json"})
            )

    answers = at_once([lambda one=one: act(*one) for one in bodies * 2])
    done = [one for one in answers if one.status_code in (200, 201)]
    assert len(done) == 2
    assert len({one.content for one in done}) == 1
    state = done[0].json()["state"]
    assert look(office, view.consignment_id).state == look(finance, view.consignment_id).state == state
    settled = {"ConsignmentAcceptance", "ConsignmentRejection", "Recall"}
    after = look(office, view.consignment_id)
    assert len([one for one in after.evidence if one.event in settled]) == 1
    for one in answers:
        if one.status_code not in (200, 201):
            problem = check_problem(one, 409, "wrong-state")
            assert problem.current == state
            assert problem.receipt is not None
    # A late recall is refused with evidence, once, however many asked.
    refusals = [one for one in after.evidence if one.event == "RecallRefused"]
    assert len(refusals) == (1 if state == "SIGNED_FOR" else 0)


def test_same_content_uploaded_at_once(office: TestUnit) -> None:
    data = b"the same content from two places" * 20_000
    url = f"/v1/contents/{digest_of(data)}"

    def put() -> httpx2.Response:
        with office.http() as client:
            return client.put(url, content=data)

    answers = at_once([put] * 4)
    for one in answers:
        if one.status_code not in (200, 201):
            check_problem(one, 503, "overloaded")
    assert 201 in {one.status_code for one in answers}
    assert office.door.get(url).content == data
    assert office.door.put(url, content=data).status_code == 200


def test_pages_hold_everything_once(office: TestUnit, finance: TestUnit) -> None:
    for _ in range(3):
        consigned(office, finance)
    whole = [one["dispatch_id"] for one in office.door.get("/v1/dispatches?limit=200").json()["items"]]
    paged: list[str] = []
    cursor = ""
    while True:
        page = office.door.get(f"/v1/dispatches?limit=7{cursor}").json()
        paged += [one["dispatch_id"] for one in page["items"]]
        if page.get("next") is None:
            break
        cursor = f"&cursor={page['next']}"
    assert paged[: len(whole)] == whole
    assert len(set(paged)) == len(paged)
    received = [one["consignment_id"] for one in finance.door.get("/v1/inbox?limit=200").json()["items"]]
    after, paged = -1, []
    while items := finance.door.get(f"/v1/inbox?limit=7&after={after}").json()["items"]:
        paged += [one["consignment_id"] for one in items]
        after = items[-1]["cursor"]
    assert paged[: len(received)] == received
    assert len(set(paged)) == len(paged)


@pytest.mark.parametrize("state", ["IN_PROGRESS", "COMPLETED", "WITHDRAWN", "CLOSED_WITH_EXCEPTIONS"])
def test_outbox_by_state_is_complete(office: TestUnit, state: str) -> None:
    everything: list[dict[str, str]] = []
    cursor = ""
    while True:
        page = office.door.get(f"/v1/dispatches?limit=100{cursor}").json()
        everything += page["items"]
        if page.get("next") is None:
            break
        cursor = f"&cursor={page['next']}"
    expected = [one["dispatch_id"] for one in everything if one["state"] == state]
    found: list[str] = []
    cursor = ""
    while True:
        page = office.door.get(f"/v1/dispatches?limit=3&state={state}{cursor}").json()
        found += [one["dispatch_id"] for one in page["items"]]
        if page.get("next") is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == expected


def test_revoked_unit_can_be_invited_again(hub: TestHub, office: TestUnit) -> None:
    """A unit whose keys were stolen comes back with new ones."""
    unit = hub.enrol("11310000MB0000066", "失而复得的单位")
    revoke(hub.config, unit.unit, RevocationReason.KEY_COMPROMISE)
    unit.home.path.rename(unit.home.path.with_name("stolen"))
    back = hub.enrol("11310000MB0000066", "失而复得的单位")
    try:
        assert back.unit == unit.unit == code("11310000MB0000066")
        assert back.door.get("/v1/whoami").json()["unit"] == back.unit
        view = consigned(office, back)
        body = signed(back, statement(back, view, Event.CONSIGNMENT_ACCEPTANCE))
        answer = post(back, view.consignment_id, body)
        assert answer.status_code == 201, answer.text
        assert b64decode(answer.json()["receipt"])
    finally:
        back.close()


def test_second_invitation_ends_the_first(hub: TestHub, public: httpx2.Client) -> None:
    first = invite(hub.config, code("11310000MB0000055"), "请了两次的单位")
    invite(hub.config, code("11310000MB0000055"), "请了两次的单位")
    body = {"token": first["token"], "seal_request": "x", "tls_request": "y"}
    assert public.post("/v1/enrolments", json=body).status_code == 422
