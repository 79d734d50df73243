"""Submissions that do not hold: each is refused by its name, with evidence, and leaves nothing else."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from exchange.operator import open_authority, revoke
from exchange.protocol.identifiers import digest_of, format_time
from pki.names import UnitId
from pki.profile import HUB_EVIDENCE, TLS_CLIENT, UNIT_SEAL
from pki.revocation import RevocationReason
from signing.cms import CadesSigner
from tests.end_to_end.hubs import TestHub, TestUnit, code, now, plain_pdf, seal, submit
from tests.exchange.web.looking import check_problem, check_refused_with_receipt, kept, kept_before
from tests.worlds.pki import PkiWorld

NOBODY = code("11310000MB0000099")


@dataclass(frozen=True)
class Submission:
    """What is posted: any bytes."""

    envelope: bytes
    signature: bytes
    contents: tuple[bytes, ...]


Change = Callable[[dict[str, Any]], None]
Make = Callable[["Case"], Submission]


@dataclass(frozen=True)
class Case:
    """The parties of a defect."""

    hub: TestHub
    office: TestUnit
    finance: TestUnit

    def whole(self, *documents: bytes, change: Change = lambda _value: None) -> Submission:
        """An honest submission of these documents but for one change of its envelope."""
        envelope = self.office.envelope(documents, [self.finance.unit], change=change)
        return Submission(envelope, self.office.sign(envelope), documents)

    def bytes_of(self, edit: Callable[[bytes], bytes]) -> Submission:
        """An honest envelope whose bytes were edited before it was signed."""
        pdf = self.office.sealed()
        envelope = edit(self.office.envelope([pdf], [self.finance.unit]))
        return Submission(envelope, self.office.sign(envelope), (pdf,))

    def signed_by(self, signer: CadesSigner) -> Submission:
        honest = self.whole(self.office.sealed())
        return replace(honest, signature=signer.sign(honest.envelope, at=now()))

    def odd(self, profile: Any, authority: str, **dates: Any) -> tuple[Any, tuple[Any, ...]]:
        """Key and path of a certificate that this unit's register never saw."""
        key, certificate, issuer = self.hub.certify(
            profile, authority, self.office.unit, self.office.name, **dates
        )
        return key, (certificate, issuer)


def set_at(*path: str | int, value: Any) -> Change:
    def change(envelope: dict[str, Any]) -> None:
        place: Any = envelope
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def changed_after_sealing(case: Case) -> Submission:
    pdf = bytearray(case.office.sealed())
    pdf[len(pdf) // 3] ^= 1
    return case.whole(bytes(pdf))


def appended_after_sealing(case: Case) -> Submission:
    return case.whole(case.office.sealed() + b"\n%%EOF\n")


def sealed_with(case: Case, profile: Any, authority: str, **dates: Any) -> Submission:
    key, path = case.odd(profile, authority, **dates)
    return case.whole(seal(plain_pdf(), key, path, case.office.name))


def sealed_by_foreign_authority(case: Case) -> Submission:
    foreign = PkiWorld(now=now()).unit(case.office.name, unit=UnitId(case.office.unit))
    return case.whole(seal(plain_pdf(), foreign.seal.signer, foreign.seal.chain, case.office.name))


def signed_by_foreign_authority(case: Case) -> Submission:
    foreign = PkiWorld(now=now()).unit(case.office.name, unit=UnitId(case.office.unit))
    return case.signed_by(CadesSigner(foreign.seal.signer, foreign.seal.chain))


def signed_with(case: Case, profile: Any, authority: str, **dates: Any) -> Submission:
    key, path = case.odd(profile, authority, **dates)
    return case.signed_by(CadesSigner(key, path))


ENDED = {"begins": now() - timedelta(days=15), "ends": now() - timedelta(days=2)}
COMING = {"begins": now() + timedelta(days=2), "ends": now() + timedelta(days=20)}


def a_float(data: bytes) -> bytes:
    return data.replace(b'"version":1', b'"version":1.0')


def a_null(data: bytes) -> bytes:
    return data.replace('"urgency":"平件"'.encode(), b'"urgency":null')


def a_duplicate(data: bytes) -> bytes:
    return data.replace(b'"version":1', b'"version":1,"version":1')


SEALS: dict[str, tuple[str, Make]] = {
    "no-seal": ("seal-missing", lambda c: c.whole(plain_pdf())),
    "pdf-changed-after-sealing": ("seal-invalid", changed_after_sealing),
    "pdf-longer-after-sealing": ("document-refused", appended_after_sealing),
    "seal-of-another-unit": ("seal-foreign", lambda c: c.whole(c.finance.sealed())),
    "seal-by-expired-certificate": (
        "seal-undecided",
        lambda c: sealed_with(c, UNIT_SEAL, "seals", **ENDED),
    ),
    "seal-by-certificate-not-yet-valid": (
        "seal-invalid",
        lambda c: sealed_with(c, UNIT_SEAL, "seals", **COMING),
    ),
    "seal-by-foreign-authority": ("seal-undecided", sealed_by_foreign_authority),
    "seal-by-tls-certificate": ("seal-undecided", lambda c: sealed_with(c, TLS_CLIENT, "tls")),
    "seal-by-hub-evidence-certificate": (
        "seal-undecided",
        lambda c: sealed_with(c, HUB_EVIDENCE, "evidence"),
    ),
    "not-a-pdf": ("document-refused", lambda c: c.whole(b"no pdf at all" * 100)),
    "main-document-of-another-kind": (
        "document-refused",
        lambda c: c.whole(
            c.office.sealed(), change=set_at("contents", "media_type", value="application/zip")
        ),
    ),
    "attachment-changed-after-sealing": (
        "seal-invalid",
        lambda c: c.whole(c.office.sealed(), changed_after_sealing(c).contents[0]),
    ),
}

MARKS: dict[str, tuple[str, Make]] = {
    "classification-secret": (
        "classified",
        lambda c: c.whole(c.office.sealed(), change=set_at("metadata", "classification", value="秘密")),
    ),
    "classification-with-term": (
        "classified",
        lambda c: c.whole(c.office.sealed(), change=set_at("metadata", "classification", value="机密★1年")),
    ),
    "mark-on-first-page": ("classified", lambda c: c.whole(c.office.sealed(secrecy="机密★1年"))),
    "mark-on-first-page-of-attachment": (
        "classified",
        lambda c: c.whole(c.office.sealed(), c.office.sealed("附件", secrecy="绝密")),
    ),
}

ENVELOPES: dict[str, tuple[str, Make]] = {
    "envelope-signed-by-another-unit": (
        "envelope-seal-invalid",
        lambda c: c.signed_by(c.finance.home.seal),
    ),
    "envelope-changed-after-signing": (
        "envelope-seal-invalid",
        lambda c: replace(c.whole(c.office.sealed()), envelope=c.whole(c.office.sealed()).envelope),
    ),
    "envelope-signature-is-nothing": (
        "envelope-seal-invalid",
        lambda c: replace(c.whole(c.office.sealed()), signature=b"nothing"),
    ),
    "envelope-signature-empty": (
        "envelope-seal-invalid",
        lambda c: replace(c.whole(c.office.sealed()), signature=b""),
    ),
    "envelope-signed-by-expired-certificate": (
        "envelope-seal-invalid",
        lambda c: signed_with(c, UNIT_SEAL, "seals", **ENDED),
    ),
    "envelope-signed-by-foreign-authority": ("envelope-seal-invalid", signed_by_foreign_authority),
    "envelope-signed-by-tls-certificate": (
        "envelope-seal-invalid",
        lambda c: signed_with(c, TLS_CLIENT, "tls"),
    ),
    "envelope-signed-by-hub-evidence-certificate": (
        "envelope-seal-invalid",
        lambda c: signed_with(c, HUB_EVIDENCE, "evidence"),
    ),
    "envelope-signed-in-an-hour": (
        "envelope-seal-invalid",
        lambda c: replace(
            (whole := c.whole(c.office.sealed())),
            signature=c.office.sign(whole.envelope, at=now() + timedelta(hours=1)),
        ),
    ),
    "sender-is-another-unit": (
        "sender-mismatch",
        lambda c: c.whole(c.office.sealed(), change=set_at("sender", value=str(c.finance.unit))),
    ),
    "origin-is-another-hub": (
        "origin-mismatch",
        lambda c: c.whole(c.office.sealed(), change=set_at("origin", value="hub.elsewhere.example")),
    ),
    "recipient-unknown": (
        "recipient-unknown",
        lambda c: c.whole(c.office.sealed(), change=set_at("recipients", "main", value=[NOBODY])),
    ),
    "one-of-two-recipients-unknown": (
        "recipient-unknown",
        lambda c: c.whole(c.office.sealed(), change=set_at("recipients", "copy", value=[NOBODY])),
    ),
    "size-wrong": (
        "content-mismatch",
        lambda c: c.whole(c.office.sealed(), change=set_at("contents", "size", value=7)),
    ),
    "due-at-in-the-past": (
        "deadline-unfit",
        lambda c: c.whole(
            c.office.sealed(),
            change=lambda v: v.update(
                sent_at=format_time(now() - timedelta(minutes=2)),
                due_at=format_time(now() - timedelta(minutes=1)),
            ),
        ),
    ),
    "expires-too-late": (
        "deadline-unfit",
        lambda c: c.whole(
            c.office.sealed(),
            change=lambda v: v.update(expires_at=format_time(now() + timedelta(days=91))),
        ),
    ),
    "sent-at-in-an-hour": (
        "deadline-unfit",
        lambda c: c.whole(
            c.office.sealed(), change=lambda v: v.update(sent_at=format_time(now() + timedelta(hours=1)))
        ),
    ),
    "deadlines-reversed": (
        "envelope-malformed",
        lambda c: c.whole(
            c.office.sealed(), change=lambda v: v.update(due_at=v["expires_at"], expires_at=v["due_at"])
        ),
    ),
    "unknown-field": (
        "envelope-malformed",
        lambda c: c.whole(c.office.sealed(), change=set_at("priority", value="high")),
    ),
    "unknown-field-in-metadata": (
        "envelope-malformed",
        lambda c: c.whole(c.office.sealed(), change=set_at("metadata", "colour", value="red")),
    ),
    "unknown-version": (
        "envelope-malformed",
        lambda c: c.whole(c.office.sealed(), change=set_at("version", value=2)),
    ),
    "no-recipient": (
        "envelope-malformed",
        lambda c: c.whole(c.office.sealed(), change=set_at("recipients", "main", value=[])),
    ),
    "recipient-twice": (
        "envelope-malformed",
        lambda c: c.whole(
            c.office.sealed(), change=set_at("recipients", "copy", value=[str(c.finance.unit)])
        ),
    ),
    "recipient-with-wrong-check-character": (
        "envelope-malformed",
        lambda c: c.whole(c.office.sealed(), change=set_at("recipients", "main", value=[NOBODY[:-1] + "0"])),
    ),
    "name-with-a-way-out": (
        "envelope-malformed",
        lambda c: c.whole(c.office.sealed(), change=set_at("contents", "name", value="../正文.pdf")),
    ),
    "not-json": ("envelope-malformed", lambda c: c.bytes_of(lambda _data: b"dispatch")),
    "empty": ("envelope-malformed", lambda c: c.bytes_of(lambda _data: b"")),
    "not-canonical": ("envelope-malformed", lambda c: c.bytes_of(lambda d: d.replace(b":", b": ", 1))),
    "trailing-newline": ("envelope-malformed", lambda c: c.bytes_of(lambda d: d + b"\n")),
    "byte-order-mark": ("envelope-malformed", lambda c: c.bytes_of(lambda d: b"\xef\xbb\xbf" + d)),
    "float": ("envelope-malformed", lambda c: c.bytes_of(a_float)),
    "null": ("envelope-malformed", lambda c: c.bytes_of(a_null)),
    "duplicate-key": ("envelope-malformed", lambda c: c.bytes_of(a_duplicate)),
    "not-utf-8": ("envelope-malformed", lambda c: c.bytes_of(lambda d: d.replace("关".encode(), b"\xff"))),
    "deeply-nested": ("envelope-malformed", lambda c: c.bytes_of(lambda _d: b"[" * 5000 + b"]" * 5000)),
    "an-array": ("envelope-malformed", lambda c: c.bytes_of(lambda _d: b"[]")),
}
"""By defect: the code it is refused with, and how it is made."""

TABLE = {**SEALS, **MARKS, **ENVELOPES}


@pytest.fixture(scope="module")
def case(hub: TestHub, office: TestUnit, finance: TestUnit) -> Case:
    return Case(hub, office, finance)


@pytest.mark.parametrize("defect", TABLE)
def test_defect_is_refused_with_evidence(case: Case, http: httpx2.Client, defect: str) -> None:
    expected, make = TABLE[defect]
    made = make(case)
    before = kept_before(case.hub, case.office, case.finance)
    answer = submit(http, made.envelope, made.signature, *made.contents)
    evidence = check_refused_with_receipt(answer, 422, expected, by=case.office, envelope=made.envelope)
    after = kept(case.hub, case.office, case.finance)
    assert after.entries == before.entries + 1
    assert replace(after, entries=0, contents=()) == replace(before, entries=0, contents=())
    # The same bytes again: the same receipt, and no second entry.
    again = submit(http, made.envelope, made.signature, *made.contents)
    assert again.status_code == 422
    assert again.json()["receipt"] == answer.json()["receipt"]
    assert again.json()["code"] == expected
    assert case.hub.ledger_size() == after.entries
    # The refusal is there for its unit, and for no other.
    assert http.get(f"/v1/receipts/{evidence.evidence_id}").status_code == 200
    other = case.finance.door.get(f"/v1/receipts/{evidence.evidence_id}")
    check_problem(other, 404, "not-found")


def test_honest_submission_is_accepted(case: Case, http: httpx2.Client) -> None:
    """What the table changes one thing of."""
    made = case.whole(case.office.sealed(), case.office.sealed("附件"))
    answer = submit(http, made.envelope, made.signature, *made.contents)
    assert answer.status_code == 201, answer.text
    again = submit(http, made.envelope, made.signature, *made.contents)
    assert again.status_code == 200
    assert again.content == answer.content


def test_envelope_that_was_kept_for_a_while_is_accepted(case: Case, http: httpx2.Client) -> None:
    """Signed yesterday, when the line was down; the unit sends the same bytes today."""
    yesterday = now() - timedelta(days=1)
    pdf = case.office.sealed()
    made = case.whole(pdf, change=lambda v: v.update(sent_at=format_time(yesterday)))
    signature = case.office.sign(made.envelope, at=yesterday)
    assert submit(http, made.envelope, signature, pdf).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        "加强商业秘密保护工作，保守国家秘密。",
        "秘密文件的管理另行通知。",
        "绝密、机密、秘密三级的划分从其规定。",
    ],
)
def test_running_text_about_secrets_is_no_mark(case: Case, http: httpx2.Client, body: str) -> None:
    made = case.whole(case.office.sealed(body=body))
    answer = submit(http, made.envelope, made.signature, *made.contents)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("way", ["multipart", "upload"])
def test_classified_content_is_not_kept(case: Case, http: httpx2.Client, way: str) -> None:
    """DESIGN §2.8: refused with evidence, and without keeping the content."""
    pdf = case.office.sealed(f"密件 {way}", secrecy="秘密★1年")
    made = case.whole(pdf)
    before = case.hub.contents()
    if way == "upload":
        assert http.put(f"/v1/contents/{digest_of(pdf)}", content=pdf).status_code == 201
    contents = made.contents if way == "multipart" else ()
    check_problem(submit(http, made.envelope, made.signature, *contents), 422, "classified")
    assert case.hub.contents() == before
    assert http.head(f"/v1/contents/{digest_of(pdf)}").status_code == 404


def test_missing_content_is_no_refusal_and_the_same_bytes_succeed_after_the_upload(
    case: Case, http: httpx2.Client
) -> None:
    main, annex = case.office.sealed("要上传的通知"), case.office.sealed("要上传的附件")
    made = case.whole(main, annex)
    before = kept_before(case.hub, case.office, case.finance)
    problem = check_problem(submit(http, made.envelope, made.signature), 409, "content-missing")
    assert set(problem.digests) == {digest_of(main), digest_of(annex)}
    assert problem.receipt is None
    assert kept(case.hub, case.office, case.finance) == before
    assert http.put(f"/v1/contents/{digest_of(main)}", content=main).status_code == 201
    problem = check_problem(submit(http, made.envelope, made.signature), 409, "content-missing")
    assert problem.digests == (digest_of(annex),)
    assert http.put(f"/v1/contents/{digest_of(annex)}", content=annex).status_code == 201
    assert submit(http, made.envelope, made.signature).status_code == 201


def test_content_that_only_another_unit_has_is_missing(case: Case, http: httpx2.Client) -> None:
    pdf = case.finance.sealed("只有财政局上传过")
    assert case.finance.door.put(f"/v1/contents/{digest_of(pdf)}", content=pdf).status_code == 201
    made = case.whole(pdf)
    problem = check_problem(submit(http, made.envelope, made.signature), 409, "content-missing")
    assert problem.digests == (digest_of(pdf),)


def test_same_id_with_other_content_is_a_signed_refusal(case: Case, http: httpx2.Client) -> None:
    pdf = case.office.sealed()
    first = case.whole(pdf)
    assert submit(http, first.envelope, first.signature, pdf).status_code == 201
    used = json.loads(first.envelope)["dispatch_id"]
    second = case.whole(pdf, change=lambda v: v.update(dispatch_id=used, metadata={"title": "另一份"}))
    before = kept_before(case.hub, case.office, case.finance)
    answer = submit(http, second.envelope, second.signature, pdf)
    check_refused_with_receipt(answer, 409, "duplicate-id-conflict", by=case.office, envelope=second.envelope)
    after = kept(case.hub, case.office, case.finance)
    assert replace(after, entries=before.entries) == before
    again = submit(http, second.envelope, second.signature, pdf)
    assert (again.status_code, again.json()["receipt"]) == (409, answer.json()["receipt"])
    # The first one still has its first answer.
    assert submit(http, first.envelope, first.signature, pdf).status_code == 200


def test_id_of_one_unit_means_nothing_to_another(case: Case, http: httpx2.Client) -> None:
    pdf = case.office.sealed()
    first = case.whole(pdf)
    assert submit(http, first.envelope, first.signature, pdf).status_code == 201
    used = json.loads(first.envelope)["dispatch_id"]
    other = case.finance.sealed()
    envelope = case.finance.envelope([other], [case.office.unit], change=lambda v: v.update(dispatch_id=used))
    answer = submit(case.finance.door, envelope, case.finance.sign(envelope), other)
    assert answer.status_code == 201, answer.text


def test_same_envelope_under_another_signature_gets_the_first_answer(case: Case, http: httpx2.Client) -> None:
    """ECDSA signs the same bytes differently each time; the dispatch is its envelope."""
    made = case.whole(case.office.sealed())
    first = submit(http, made.envelope, made.signature, *made.contents)
    again = submit(http, made.envelope, case.office.sign(made.envelope), *made.contents)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["receipt"] == first.json()["receipt"]


def wait_for(look: Callable[[], bool], seconds: float = 4.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if look():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def doomed(hub: TestHub, request: pytest.FixtureRequest) -> Iterator[TestUnit]:
    """A unit for this test alone."""
    number = sum(map(ord, request.node.name)) % 1000
    with contextlib.closing(hub.enrol(f"11310000MB0001{number:03}", "将被吊销的单位")) as unit:
        yield unit


def test_revoked_unit_is_out_at_once_even_on_an_open_connection(case: Case, doomed: TestUnit) -> None:
    pdf = doomed.sealed()
    envelope = doomed.envelope([pdf], [case.finance.unit])
    assert submit(doomed.door, envelope, doomed.sign(envelope), pdf).status_code == 201
    assert revoke(case.hub.config, doomed.unit, RevocationReason.KEY_COMPROMISE) == 2
    assert wait_for(lambda: doomed.door.get("/v1/whoami").status_code == 403)
    check_problem(doomed.door.get("/v1/whoami"), 403, "certificate-revoked")
    with doomed.http() as fresh:
        check_problem(fresh.get("/v1/inbox"), 403, "certificate-revoked")
        check_problem(submit(fresh, envelope, doomed.sign(envelope), pdf), 403, "certificate-revoked")
    # And nobody can send to it any more.
    made = case.whole(case.office.sealed(), change=set_at("recipients", "main", value=[str(doomed.unit)]))
    answer = submit(case.office.door, made.envelope, made.signature, *made.contents)
    check_refused_with_receipt(answer, 422, "recipient-unknown", by=case.office, envelope=made.envelope)


def test_revoked_seal_seals_nothing_any_more(case: Case, doomed: TestUnit) -> None:
    """Only the seal is revoked; the unit may still connect."""
    pdf = doomed.sealed()
    with open_authority(case.hub.settings) as authority:
        authority.revoke(doomed.home.seal.certificate, RevocationReason.KEY_COMPROMISE, now=now())

    def refused() -> bool:
        envelope = doomed.envelope([pdf], [case.finance.unit])
        answer = submit(doomed.door, envelope, doomed.sign(envelope), pdf)
        if answer.status_code != 422:
            return False
        check_refused_with_receipt(answer, 422, "envelope-seal-invalid", by=doomed, envelope=envelope)
        return True

    assert wait_for(refused)
    # The same seal on a document that another unit sends along.
    made = case.whole(case.office.sealed(), pdf)
    answer = submit(case.office.door, made.envelope, made.signature, *made.contents)
    check_refused_with_receipt(answer, 422, "seal-invalid", by=case.office, envelope=made.envelope)
