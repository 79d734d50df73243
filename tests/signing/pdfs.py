"""Sealed PDFs for the tests: a small document, a world to seal it in, and how to judge it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

from clients.official_paper import OfficialDocument, draw_official_document, seal_centre
from pki.keys import Algorithm
from pki.path import UNIT_SEAL, Purpose, TrustStore
from signing.pdf_check import judge_pdf
from signing.pdf_seal import seal_pdf
from signing.report import FileReport, Result
from signing.stamp import Stamp
from tests.worlds.pki import NOW, Credential, Member, PkiWorld

DOCUMENT = OfficialDocument(
    issuer="临江市教育局文件",
    number="临教发〔2026〕12号",
    title="关于做好冬季校园安全工作的通知",
    recipients=("各县（区）教育局", "市直各学校"),
    body=(
        "为做好2026年冬季校园安全工作，现将有关事项通知如下。",
        "一、提高思想认识",
        "各单位要充分认识做好冬季校园安全工作的重要性，坚持“安全第一、预防为主”的方针。",
    ),
    signature="临江市教育局",
    issued_on=date(2026, 11, 21),
    note="此件公开发布",
    copies=("市政府办公室",),
    printer="临江市教育局办公室",
    printed_on=date(2026, 11, 21),
)
CREATED = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)


@cache
def plain_pdf() -> bytes:
    """The document without a seal."""
    return draw_official_document(DOCUMENT, created=CREATED)


@cache
def world() -> PkiWorld:
    """One PKI for all tests that do not revoke."""
    return PkiWorld()


@cache
def unit(algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256) -> Member:
    """The unit that seals."""
    return world().unit("临江市教育局", algorithm=algorithm)


@cache
def trust() -> TrustStore:
    """What is trusted, with current revocation lists."""
    return world().trust()


def seal(
    pdf: bytes | None = None,
    credential: Credential | None = None,
    *,
    at: datetime = NOW,
    visible: bool = True,
    further_seals: bool = False,
) -> bytes:
    """The document with a seal on it."""
    credential = credential or unit().seal
    return seal_pdf(
        plain_pdf() if pdf is None else pdf,
        signer=credential.signer,
        certificates=credential.chain,
        at=at,
        stamp=Stamp("临江市教育局") if visible else None,
        place=seal_centre(DOCUMENT) if visible and pdf is None else None,
        reason="发文",
        further_seals=further_seals,
    )


@cache
def sealed_pdf() -> bytes:
    """The document with the unit's seal."""
    return seal()


def judged(
    pdf: bytes,
    by: TrustStore | None = None,
    *,
    at: datetime | None = NOW,
    now: datetime = NOW,
    purpose: Purpose = UNIT_SEAL,
) -> FileReport:
    """The report on a PDF."""
    return judge_pdf(pdf, trust=by or trust(), purpose=purpose, now=now, at=at, file="a.pdf")


def failed_steps(report: FileReport) -> set[str]:
    """Names of the steps that did not pass, of all seals."""
    return {step.step for one in report.seals for step in one.steps if step.result is not Result.PASSED}


def codes(report: FileReport) -> set[str]:
    """Codes of the findings."""
    return {finding.code for finding in report.findings}
