"""Second step: everything about the submission is shown to hold, or it is refused.

    (1) the envelope has its form                    envelope-malformed
    (2) it is signed under the unit-seal policy      envelope-seal-invalid
    (3) by the unit that it names and that submits   sender-mismatch
    (4) it is for this hub                           origin-mismatch
    (5) 密级 is none                                 classified
    (6) every recipient can receive                  recipient-unknown
    (7) the deadlines fit                            deadline-unfit
    (8) every document is here, of the named size    content-missing, content-mismatch
    (9) every seal holds, the main one the sender's  seal-...
   (10) no secrecy mark at the head of a first page  classified

Cheap checks come first; documents are opened only for a sender who is known by
then. Missing contents are no refusal: the submission is not complete yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from exchange.journey.ports import Contents, Directory, Grants, Judge, Trust
from exchange.journey.stages import Received, Verified
from exchange.protocol.dispatch import Dispatch, Document, decode_dispatch, is_unclassified
from exchange.protocol.errors import (
    Classified,
    ContentMismatch,
    ContentMissing,
    DeadlineUnfit,
    DocumentRefused,
    EnvelopeSealInvalid,
    OriginMismatch,
    RecipientUnknown,
    RevocationStale,
    SealForeign,
    SealInvalid,
    SealMissing,
    SealUndecided,
    SenderMismatch,
)
from pki.errors import Fault, PkiError, RevocationUnknown
from pki.names import UnitId, unit_of
from pki.path import ValidatedPath
from pki.purpose import UNIT_SEAL
from pki.text import Text, text
from signing.cms import CadesSignerInfo, check_signer, decode_cades
from signing.errors import SigningError
from signing.report import FileReport, Result, SealReport, Severity, Verdict

PDF: Final = "application/pdf"
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far a signed time may lie from the hub's clock (FORMATS §2)."""


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What this hub asks of a submission."""

    origin: str
    max_expiry: timedelta


@dataclass(frozen=True, slots=True)
class Intake:
    """What verifying needs of the world."""

    rules: IntakeRules
    trust: Trust
    grants: Grants
    contents: Contents
    directory: Directory
    judge: Judge


async def verify(received: Received, *, intake: Intake) -> Verified:
    """Check the submission, numbered as above.

    Raises:
        Rejected: it does not hold; the error is the reason that goes into E02.
        ContentMissing: not complete; nothing is decided yet.
        RevocationStale: the hub lacks current revocation data; nothing is decided.
    """
    now = received.received_at
    dispatch = decode_dispatch(received.envelope)  # (1)
    path = check_envelope(received, trust=intake.trust)  # (2)
    _check_sender(received, dispatch, path)  # (3)
    if dispatch.origin != intake.rules.origin:  # (4)
        raise OriginMismatch(named=dispatch.origin, actual=intake.rules.origin)
    if not is_unclassified(dispatch.metadata):  # (5)
        raise Classified(place="metadata.classification")
    await _check_recipients(dispatch, intake.directory)  # (6)
    _check_deadlines(dispatch, now=now, max_expiry=intake.rules.max_expiry)  # (7)
    await _check_contents(dispatch, intake)  # (8)
    reports = []
    for document in dispatch.documents:  # (9) (10)
        report = await _check_document(document, dispatch, intake=intake, now=now)
        if report is not None:
            reports.append(report)
    return Verified(received, dispatch, tuple(reports), tuple(used.der for used in path.revocation))


def check_envelope(received: Received, *, trust: Trust) -> ValidatedPath:
    """The envelope bears one good signature of a unit; which unit is the caller's question.

    Raises:
        EnvelopeSealInvalid: it does not.
        RevocationStale: whether the certificate is revoked cannot be said now.
    """
    return check_unit_signature(
        received.envelope,
        received.signature,
        trust=trust,
        now=received.received_at,
        refuse=lambda detail: EnvelopeSealInvalid(detail=detail),
    )


def check_unit_signature(
    content: bytes, signature: bytes, *, trust: Trust, now: datetime, refuse: Callable[[str | Text], Fault]
) -> ValidatedPath:
    """One signer, of the strict profile, under the unit-seal policy, valid now.

    Raises:
        RevocationStale: whether the certificate is revoked cannot be said now.
        Fault: whatever ``refuse`` makes of the reason.
    """
    try:
        cades = decode_cades(signature)
        if len(cades.signers) != 1:
            raise refuse("it must bear exactly one signature")
        info: CadesSignerInfo = cades.signers[0]
        check_signer(info, hashlib.new(info.digest_algorithm, content).digest())
        path = trust.check(info.certificate, others=cades.certificates, purpose=UNIT_SEAL, at=now)
    except RevocationUnknown as error:
        raise RevocationStale(detail=error.text) from error
    except (SigningError, PkiError) as error:
        raise refuse(error.text) from error
    # An extra certificate would be a part of the file that no signature protects.
    if not set(cades.certificates) <= set(path.certificates):
        raise refuse("it holds certificates that are not on the signer's path")
    # A claim from the past is no harm: the certificate is judged now, whatever the claim, and an
    # envelope may have waited in the sender's outbox. One from the future is a wrong clock or a lie.
    if info.signing_time is None or info.signing_time - now > CLOCK_TOLERANCE:
        raise refuse("its signing time lies in the future by the hub's clock")
    return path


def _check_sender(received: Received, dispatch: Dispatch, path: ValidatedPath) -> None:
    signer = unit_of(path.certificates[0])
    if dispatch.sender != received.unit:
        raise SenderMismatch(named=dispatch.sender, actual=received.unit)
    if signer != dispatch.sender:
        raise EnvelopeSealInvalid(detail=f"it is the signature of {signer}, not of the sender")


async def _check_recipients(dispatch: Dispatch, directory: Directory) -> None:
    able = await directory.can_receive(dispatch.recipients)
    for unit in dispatch.recipients:
        if unit not in able:
            raise RecipientUnknown(unit=unit)


def _check_deadlines(dispatch: Dispatch, *, now: datetime, max_expiry: timedelta) -> None:
    if dispatch.sent_at - now > CLOCK_TOLERANCE:
        raise DeadlineUnfit(detail="sent_at lies in the future by the hub's clock")
    if dispatch.due_at <= now:
        raise DeadlineUnfit(detail="due_at has passed")
    if dispatch.expires_at > now + max_expiry:
        raise DeadlineUnfit(detail=f"expires_at is more than {max_expiry.days} days away")


async def _check_contents(dispatch: Dispatch, intake: Intake) -> None:
    digests = [document.digest for document in dispatch.documents]
    here = await intake.grants.granted(dispatch.sender, digests)
    missing = [digest for digest in digests if digest not in here]
    if missing:
        raise ContentMissing(digests=missing)
    for document in dispatch.documents:
        if here[document.digest] != document.size:
            raise ContentMismatch(
                detail=f"{document.name} has {here[document.digest]} bytes, not {document.size}"
            )


async def _check_document(
    document: Document, dispatch: Dispatch, *, intake: Intake, now: datetime
) -> FileReport | None:
    is_main = document is dispatch.contents
    if document.media_type != PDF:
        if is_main:
            raise DocumentRefused(name=document.name, detail="the main document must be a PDF")
        return None
    path = intake.contents.path(document.digest)
    judged = await intake.judge.judge(path, name=document.name, trust=intake.trust.store, at=now)
    if judged.mark is not None:
        raise Classified(place=document.name)
    check_seals(judged.report, sender=dispatch.sender if is_main else None, name=document.name)
    if not judged.page_read:
        raise DocumentRefused(name=document.name, detail="its first page cannot be read")
    return judged.report


def check_seals(report: FileReport, *, sender: UnitId | None, name: str) -> None:
    """Every seal on the document holds; on the main document one of them is the sender's.

    A finding that makes the file not valid by itself (active content, say) refuses
    it as a document, whatever its seals.

    Raises:
        SealMissing SealForeign SealUndecided SealInvalid DocumentRefused RevocationStale
    """
    # A broken seal says more than what else was found, which often follows from the same change.
    for seal in report.seals:
        if seal.verdict is Verdict.NOT_VALID:
            raise SealInvalid(name=name, detail=_why(seal))
    for finding in report.findings:
        if finding.severity is Severity.ERROR:
            raise DocumentRefused(name=name, detail=finding.text)
    if report.verdict is Verdict.NO_SEAL:
        if sender is None:
            return
        raise SealMissing(name=name)
    for seal in report.seals:
        if seal.verdict is Verdict.UNDECIDED and seal.sub_indication == "TRY_LATER":
            raise RevocationStale(detail=_why(seal))
        if seal.verdict is Verdict.UNDECIDED:
            raise SealUndecided(name=name, detail=_why(seal))
    if report.verdict not in (Verdict.VALID, Verdict.VALID_WITH_REMARKS):
        # The file as a whole is worse than each of its seals: not knowing is not yes.
        why = report.findings[0].text if report.findings else report.sub_indication
        raise SealUndecided(name=name, detail=why or report.indication.value)
    if sender is not None and all(seal.unit != sender for seal in report.seals):
        raise SealForeign(name=name, signer=", ".join(sorted({seal.signer for seal in report.seals})))


def _why(seal: SealReport) -> Text:
    """The first step that did not pass: those after it often fail of the same cause."""
    for step in seal.steps:
        if step.result is not Result.PASSED:
            return text("{step}: {detail}", step=step.step, detail=step.detail)
    return text("{detail}", detail=seal.sub_indication or seal.indication.value)
