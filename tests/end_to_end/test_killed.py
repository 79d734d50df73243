"""The hub is killed in the middle of its work, again and again, and started on the same folder.

Promises 1 to 3 of DESIGN §2, from outside: what was answered stays, what was not answered is either whole
or not there at all, and the same bytes get one receipt whatever happened in between.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import signal
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from clients import auditor
from exchange.ledger.audit import Outcome
from exchange.ledger.policy import parse_policy
from exchange.protocol.identifiers import digest_of
from exchange.protocol.judge import judge_receipt
from signing.report import Verdict
from tests.end_to_end.hubs import TestHub, TestUnit, make_hub

ROUNDS = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL]
SEED = 20261121
UPLOAD = 1_200_000


@dataclass
class Attempt:
    """A signed dispatch, and what the hub said to it."""

    dispatch_id: str
    body: bytes
    answers: list[bytes] = field(default_factory=list)


@dataclass
class Sender:
    """Threads that send as long as they are let."""

    office: TestUnit
    finance: TestUnit
    pdf: bytes
    attempts: list[Attempt] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    checked: int = 0
    unexpected: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def dispatches(self) -> None:
        with contextlib.suppress(httpx2.TransportError), self.office.http() as client:
            while not self.stop.is_set():
                envelope = self.office.envelope([self.pdf], [self.finance.unit])
                body = {
                    "envelope": b64encode(envelope).decode(),
                    "signature": b64encode(self.office.sign(envelope)).decode(),
                }
                attempt = Attempt(json.loads(envelope)["dispatch_id"], json.dumps(body).encode())
                self.attempts.append(attempt)
                answer = post(client, attempt)
                if answer.status_code == 201:
                    attempt.answers.append(answer.content)
                elif answer.status_code != 503:
                    self.unexpected.append(answer.text)

    def contents(self) -> None:
        with contextlib.suppress(httpx2.TransportError), self.office.http() as client:
            while not self.stop.is_set():
                data = secrets.token_bytes(UPLOAD)
                digest = digest_of(data)
                self.uploads[digest] = data
                answer = client.put(f"/v1/contents/{digest}", content=data)
                self.stop.wait(0.1)
                if answer.status_code not in (201, 503):
                    self.unexpected.append(answer.text)


def post(client: httpx2.Client, attempt: Attempt) -> httpx2.Response:
    return client.post("/v1/dispatches", content=attempt.body, headers={"Content-Type": "application/json"})


@contextlib.contextmanager
def sending(sender: Sender) -> Iterator[None]:
    sender.stop.clear()
    jobs = [sender.dispatches, sender.dispatches, sender.dispatches, sender.contents]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        sender.stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TestHub]:
    made = make_hub(tmp_path / "hub")
    yield made
    made.kill()


def test_hub_killed_in_the_middle_of_submissions(hub: TestHub) -> None:
    hub.start()
    chance = random.Random(SEED)
    with (
        contextlib.closing(hub.enrol("11310000MB0000002", "市政府办公室")) as office,
        contextlib.closing(hub.enrol("11310000MB0000003", "市财政局")) as finance,
    ):
        sender = Sender(office, finance, office.sealed())
        put = office.door.put(f"/v1/contents/{digest_of(sender.pdf)}", content=sender.pdf)
        assert put.status_code == 201
        for number in ROUNDS:
            office.close()
            with sending(sender):
                time.sleep(chance.uniform(0.2, 0.6))
                if number == signal.SIGTERM:
                    assert hub.stop() == 0
                else:
                    hub.kill()
            assert not sender.unexpected
            hub.start()
            check_after_restart(office, sender)
        finance.close()
        assert len(sender.attempts) >= 2 * len(ROUNDS)
        check_everything(hub, office, finance, sender)
    assert hub.stop() == 0


def check_after_restart(office: TestUnit, sender: Sender) -> None:
    """Every dispatch has no trace or is whole; every repeat gets the one answer; uploads go on."""
    for attempt in sender.attempts[sender.checked :]:
        view = office.door.get(f"/v1/dispatches/{attempt.dispatch_id}")
        if view.status_code == 404:
            assert not attempt.answers, "an answered dispatch is gone"
        else:
            assert view.status_code == 200
            (e01,) = view.json()["evidence"]
            check_receipt(office, office.door.get(f"/v1/receipts/{e01['evidence_id']}").content)
        if not attempt.answers:
            answer = post(office.door, attempt)
            assert answer.status_code == (201 if view.status_code == 404 else 200), answer.text
            attempt.answers.append(answer.content)
        check_same_answer(office, attempt)
    for digest, data in sender.uploads.items():
        head = office.door.head(f"/v1/contents/{digest}")
        assert head.status_code in (200, 204, 404)
        if head.status_code == 204:
            offset = int(head.headers["Upload-Offset"])
            headers = {
                "Content-Type": "application/partial-upload",
                "Upload-Offset": str(offset),
                "Upload-Length": str(len(data)),
            }
            rest = office.door.patch(f"/v1/contents/{digest}", content=data[offset:], headers=headers)
            assert rest.status_code == 201, rest.text
        elif head.status_code == 404:
            assert office.door.put(f"/v1/contents/{digest}", content=data).status_code == 201
        assert digest_of(office.door.get(f"/v1/contents/{digest}").content) == digest
    sender.uploads.clear()
    sender.checked = len(sender.attempts)


def check_same_answer(office: TestUnit, attempt: Attempt) -> None:
    again = post(office.door, attempt)
    assert again.status_code == 200
    assert {again.content} == set(attempt.answers)


def check_receipt(unit: TestUnit, receipt: bytes) -> None:
    trust = unit.home.trust
    judged = judge_receipt(
        receipt, name="receipt", trust=trust.store, policy=trust.ledger_policy, now=datetime.now(UTC)
    )
    assert judged.report.verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS), judged.report


def check_everything(hub: TestHub, office: TestUnit, finance: TestUnit, sender: Sender) -> None:
    ids = {one.dispatch_id for one in sender.attempts}
    until = time.monotonic() + 10
    with office.client() as client:
        while any(one.state == "ACCEPTED" for v in client.whole_outbox() for one in v.consignments):
            assert time.monotonic() < until, "a consignment stays ACCEPTED"
            time.sleep(0.05)
        views = client.whole_outbox()
    assert Counter(view.dispatch_id for view in views) == Counter(ids)
    with finance.client() as client:
        items = client.whole_inbox()
    assert Counter(view.dispatch_id for view in items) == Counter(ids)
    evidence: dict[str, str] = {}
    for view in views:
        events = {one.evidence_id: one.event for one in (*view.evidence, *view.consignments[0].evidence)}
        assert Counter(events.values())["SubmissionAcceptance"] == 1
        assert Counter(events.values())["ContentConsignment"] == 1
        evidence |= events
    for attempt in sender.attempts[::5]:
        check_same_answer(office, attempt)
    policy = parse_policy((hub.folder / "ledger.policy").read_bytes())
    from clients.transport import tls_context

    source = auditor.HttpSource(
        f"{hub.public_url}/ledger", policy, tls=tls_context([hub.anchor]), jitter=lambda: 0.0
    )
    try:
        report = auditor.audit(source, policy)
    finally:
        source.close()
    assert report.outcome is Outcome.PROVEN, report.findings
    assert report.entries == len(evidence)


def test_sigterm_answers_those_who_wait_and_ends_soon(hub: TestHub) -> None:
    hub.start()
    with contextlib.closing(hub.enrol("11310000MB0000002", "市政府办公室")) as office:
        answers: list[httpx2.Response] = []

        def wait() -> None:
            with office.http() as client:
                answers.append(client.get("/v1/inbox?wait=30"))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        started = time.monotonic()
        assert hub.stop() == 0
        assert time.monotonic() - started < 8
        for thread in threads:
            thread.join(10)
        assert [one.status_code for one in answers] == [200, 200, 200]
        assert {one.json()["cursor"] for one in answers} == {-1}
