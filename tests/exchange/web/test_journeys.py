"""Journeys through the client library whose ends are unusual and right."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients.pdf import PdfJudge
from clients.verify import Court, verify_path
from exchange.protocol.identifiers import digest_of
from pki.storage.trust import read_trust_folder
from signing.report import Verdict
from tests.end_to_end.hubs import TestHub, TestUnit, submit
from tests.exchange.web.looking import check_problem, settled_outbox

GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


@pytest.fixture(scope="module")
def verdict(office: TestUnit) -> Iterator[Callable[[Path], Verdict]]:
    """What ``gongwen verify`` says now, under the trust folder of a unit."""
    trust = read_trust_folder(office.home.path / "trust")
    with PdfJudge() as pdfs:
        yield lambda file: verify_path(file, Court(trust, datetime.now(UTC), None, pdfs)).verdict


def send(unit: TestUnit, documents: list[bytes], to: list[str], **how: Any) -> dict[str, Any]:
    envelope = unit.envelope(documents, to, **how)
    answer = submit(unit.door, envelope, unit.sign(envelope), *documents)
    assert answer.status_code == 201, answer.text
    settled_outbox(unit)
    value: dict[str, Any] = answer.json()
    return value


NAMES = [
    "附件 1 & 100%.pdf",
    "a+b=c?.pdf",
    "'\"<>#;.pdf",
    "%2e%2e%2f.pdf",
    "ä\u0308é🐉.pdf",
    "-rf.pdf",
    ".hidden.pdf",
]


def test_package_with_odd_names_verifies(
    office: TestUnit, finance: TestUnit, verdict: Callable[[Path], Verdict], tmp_path: Path
) -> None:
    documents = [office.sealed(f"名称测试{number}") for number in range(len(NAMES))]

    def rename(value: dict[str, Any]) -> None:
        for place, one in zip([value["contents"], *value["attachments"]], NAMES, strict=True):
            place["name"] = one

    answer = send(office, documents, [finance.unit], change=rename)
    file = tmp_path / "odd.asice"
    file.write_bytes(office.door.get(f"/v1/dispatches/{answer['dispatch_id']}/package").content)
    assert verdict(file) in GOOD
    with zipfile.ZipFile(file) as opened:
        assert {f"documents/{one}" for one in NAMES} <= set(opened.namelist())
    # The recipient's client writes them to its disk, inside its folder and nowhere else.
    with finance.client() as client:
        client.fetch(answer["consignments"][0]["consignment_id"], tmp_path / "in")
        client.sign_for(answer["consignments"][0]["consignment_id"])
    written = list(tmp_path.rglob("*.pdf"))
    assert all(one.is_relative_to(tmp_path / "in") for one in written)
    assert {digest_of(one.read_bytes()) for one in written} == {digest_of(one) for one in documents}


def test_document_that_was_received_may_be_passed_on_without_an_upload(
    office: TestUnit, finance: TestUnit, stranger: TestUnit
) -> None:
    """FORMATS §2: a dispatch may name what its sender uploaded or lawfully received."""
    passed = office.sealed("要转发的通知")
    send(office, [passed], [finance.unit])
    cover = finance.sealed("转发通知")
    envelope = finance.envelope([cover, passed], [stranger.unit])
    assert submit(finance.door, envelope, finance.sign(envelope), cover).status_code == 201
    settled_outbox(finance)
    # Whoever did not receive it may not name it.
    secret = office.sealed("没有发给县教育局的通知")
    send(office, [secret], [finance.unit])
    cover = stranger.sealed("打听")
    envelope = stranger.envelope([cover, secret], [finance.unit])
    problem = check_problem(
        submit(stranger.door, envelope, stranger.sign(envelope), cover), 409, "content-missing"
    )
    assert problem.digests == (digest_of(secret),)


@pytest.mark.parametrize("how", ["recall", "return"])
def test_content_is_gone_for_the_recipient_afterwards(office: TestUnit, finance: TestUnit, how: str) -> None:
    pdf = office.sealed(f"不再可读 {how}")
    answer = send(office, [pdf], [finance.unit])
    consignment = answer["consignments"][0]["consignment_id"]
    url = f"/v1/contents/{digest_of(pdf)}"
    assert finance.door.get(url).status_code == 200
    if how == "recall":
        with office.client() as client:
            client.recall(consignment, code="sent-in-error", text="误发")
    else:
        with finance.client() as client:
            client.return_(consignment, code="wrong-recipient", text="不属我局职责")
    check_problem(finance.door.get(url), 404, "not-found")
    # Nor can it be named in a dispatch of the recipient's own.
    cover = finance.sealed("转发已失效")
    envelope = finance.envelope([cover, pdf], [office.unit])
    check_problem(submit(finance.door, envelope, finance.sign(envelope), cover), 409, "content-missing")
    assert office.door.get(url).status_code == 200


def test_sub_unit_is_a_unit_of_its_own(
    hub: TestHub, office: TestUnit, verdict: Callable[[Path], Verdict], tmp_path: Path
) -> None:
    """``CODE/name``: its own seal, its own inbox; the unit above it sees nothing of it."""
    with (
        contextlib.closing(hub.enrol("11310000MB0000033", "市卫生健康委")) as above,
        contextlib.closing(hub.enrol("11310000MB0000033", "市卫生健康委疾控处", sub_unit="疾控处")) as below,
    ):
        assert below.unit == f"{above.unit}/疾控处"
        answer = send(office, [office.sealed("给处室的通知")], [below.unit])
        consignment = answer["consignments"][0]["consignment_id"]
        check_problem(above.door.get(f"/v1/consignments/{consignment}"), 404, "not-found")
        with below.client() as client:
            client.fetch(consignment, tmp_path / "in")
            client.sign_for(consignment)
        back = send(below, [below.sealed("处室的回复")], [office.unit])
        file = tmp_path / "back.asice"
        file.write_bytes(below.door.get(f"/v1/dispatches/{back['dispatch_id']}/package").content)
        assert verdict(file) in GOOD
        # The seal of the unit above does not serve the one below, nor the other way round.
        for sender, sealer in ((below, above), (above, below)):
            pdf = sealer.sealed("上下级互用印章")
            envelope = sender.envelope([pdf], [office.unit])
            answer_ = submit(sender.door, envelope, sender.sign(envelope), pdf)
            check_problem(answer_, 422, "seal-foreign")


def test_unit_may_send_to_itself(office: TestUnit) -> None:
    answer = send(office, [office.sealed("给自己的通知")], [office.unit])
    with office.client() as client:
        acted = client.sign_for(answer["consignments"][0]["consignment_id"])
    assert acted.answer.state == "SIGNED_FOR"


def test_two_hundred_recipients_are_too_many_or_all_served(hub: TestHub, office: TestUnit) -> None:
    """The most recipients that the format allows, all unknown but one: refused by the first unknown one."""
    from exchange.protocol.dispatch import MAX_RECIPIENTS
    from tests.end_to_end.hubs import code

    nobody = [code(f"11310000MC{number:07}") for number in range(MAX_RECIPIENTS)]
    pdf = office.sealed()
    envelope = office.envelope([pdf], nobody)
    check_problem(submit(office.door, envelope, office.sign(envelope), pdf), 422, "recipient-unknown")
    envelope = office.envelope([pdf], [*nobody, code("11310000MD0000001")])
    check_problem(submit(office.door, envelope, office.sign(envelope), pdf), 422, "envelope-malformed")


def test_large_upload_by_the_client_library_is_sent_once(office: TestUnit, tmp_path: Path) -> None:
    """From 4 MiB on it asks with HEAD whether the hub has it already."""
    file = tmp_path / "content"
    file.write_bytes(b"content of an upload" * 250_000)
    with office.client() as client:
        first = client.upload(file)
        sent: list[int] = []
        assert client.upload(file, progress=lambda done, _of: sent.append(done)) == first
    assert sent == []
