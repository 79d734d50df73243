"""Verdicts before people: five words, three questions, one next step.

A reader asks whether the file was changed, who sealed it and whether that can be
trusted, and when; each check of a report answers one of the three. Never a bare
"invalid" for what is merely unknown, never a green word for "unchanged, by somebody".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from clients.speech import _, local_time, plain, say
from pki.text import N_, Text, text
from signing.report import FileReport, Result, SealReport, Step, TimeSource, Verdict

WORDS = {
    Verdict.VALID: N_("Valid"),
    Verdict.VALID_WITH_REMARKS: N_("Valid with remarks"),
    Verdict.UNDECIDED: N_("Cannot be decided"),
    Verdict.NOT_VALID: N_("Not valid"),
    Verdict.NO_SEAL: N_("No seal"),
}

_SENTENCES = {
    Verdict.VALID: N_("The file has not been changed since it was sealed; the seal and its time are proven."),
    Verdict.VALID_WITH_REMARKS: N_("Valid. Please note: {reason}"),
    Verdict.UNDECIDED: N_("It can be shown neither to be valid nor to be invalid. Reason: {reason}"),
    Verdict.NOT_VALID: N_("Do not rely on it. Reason: {reason}"),
    Verdict.NO_SEAL: N_("This file bears no electronic seal. Perhaps it is a scan or a printout."),
}

_CLAIMED_ONLY = N_("the sealing time comes from the sealer's own clock; nobody else proves it")
_LEDGER_ONLY = N_("only the ledger itself proves the time, no outsider")
_NO_REASON = N_("see the checks below")


class Question(StrEnum):
    """What a reader asks."""

    CHANGED = N_("Has the file been changed?")
    WHO = N_("Who sealed it, and can that be trusted?")
    WHEN = N_("When was it sealed, and was the certificate good then?")


_QUESTION_OF = {
    "signing-certificate": Question.WHO,
    "certification-path": Question.WHO,
    "purpose": Question.WHO,
    "signers": Question.WHO,
    "embedded-certificates": Question.WHO,
    "revocation": Question.WHEN,
    "revocation-data": Question.WHEN,
    "signing-time": Question.WHEN,
    "time-stamp": Question.WHEN,
    "time-proof": Question.WHEN,
    "entry-time": Question.WHEN,
    "ledger-proof": Question.WHEN,
    "anchor": Question.WHEN,
}
"""Every other check is about the bytes."""

_ANSWERS = {
    (Question.CHANGED, Result.PASSED): N_("No."),
    (Question.CHANGED, Result.FAILED): N_("Yes, or it cannot be read as it was sealed."),
    (Question.CHANGED, Result.INDETERMINATE): N_("That cannot be told."),
    (Question.WHO, Result.PASSED): N_("{signer}; the certificate leads to an anchor that you trust."),
    (Question.WHO, Result.FAILED): N_("It names {signer}; the certificate does not hold."),
    (Question.WHO, Result.INDETERMINATE): N_("It names {signer}; whether that is true cannot be told."),
    (Question.WHEN, Result.PASSED): N_("{time}; the certificate was good."),
    (Question.WHEN, Result.FAILED): N_("{time}; the certificate was not good, or the time is wrong."),
    (Question.WHEN, Result.INDETERMINATE): N_("{time}; whether the certificate was good cannot be told."),
}

_NEXT = {
    "NO_CERTIFICATE_CHAIN_FOUND": N_("Put the anchor of the sealer's authority into your trust folder."),
    "TRY_LATER": N_("Get the current revocation lists (gongwen unit refresh), then verify again."),
    "OUT_OF_BOUNDS_NO_POE": N_("Ask the sender for a receipt or a time-stamp from before the expiry."),
    "NO_POE": N_("Verify with the ledger's policy in the trust folder, or when the anchors have been added."),
    "REVOKED": N_("Ask the sealing unit to seal the document anew with its current certificate."),
    "NOT_YET_VALID": N_("Check the clocks, then ask the sealing unit."),
    "HASH_FAILURE": N_("Get the file again from its sender; keep this copy for those who investigate."),
    "SIG_CRYPTO_FAILURE": N_("Get the file again from its sender; keep this copy for those who investigate."),
    "FORMAT_FAILURE": N_("Get the file again from its sender; it is damaged, or badly made."),
    "CHAIN_CONSTRAINTS_FAILURE": N_("Ask the sealer's authority: the certificate is not made for sealing."),
    "CRYPTO_CONSTRAINTS_FAILURE": N_(
        "Ask for a seal with an accepted algorithm, or a program that knows it."
    ),
    "SIG_CONSTRAINTS_FAILURE": N_("Ask the sender; the seal is not of the kind that is needed here."),
    "SIGNED_DATA_NOT_FOUND": N_("Put the signed file beside its signature, or name it with --content."),
}

_NEXT_OF_VERDICT = {
    Verdict.VALID: None,
    Verdict.VALID_WITH_REMARKS: None,
    Verdict.UNDECIDED: N_("Try again later, or ask the sealing unit."),
    Verdict.NOT_VALID: N_("Ask the sender for the original."),
    Verdict.NO_SEAL: N_("Ask the sender for the sealed original."),
}


def lines(report: FileReport, *, steps: bool = False) -> Iterator[str]:
    """The report as a person reads it; with ``steps`` every check as well."""
    yield f"{plain(report.file)}: {_(WORDS[report.verdict])}"
    yield "  " + say(_sentence(report))
    several = len(report.seals) > 1
    for place, seal in enumerate(report.seals, 1):
        if several:
            head = text(N_("Seal {place} of {count}"), place=place, count=len(report.seals))
            signed = f"{plain(seal.signer)}, {_time(seal)}"
            yield f"  {say(head)}: {_(WORDS[seal.verdict])} ({signed})"
        # Of many seals the good ones need no more than their line.
        if several and not steps and seal.verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS):
            continue
        for question in Question:
            yield f"  {_(question.value)} {say(_answer(seal, question))}"
            for step in seal.steps:
                if _question(step) is question and (steps or step.result is not Result.PASSED):
                    yield f"    [{_(_RESULTS[step.result])}] {step.step}: {say(step.detail)}"
    for finding in report.findings:
        yield f"  ({_(_SEVERITIES[finding.severity.value])}) {say(finding.text)}"
    following = next_step(report)
    if following is not None:
        yield f"  {_('Next step:')} {say(following)}"


_RESULTS = {
    Result.PASSED: N_("passed"),
    Result.FAILED: N_("failed"),
    Result.INDETERMINATE: N_("undecided"),
}
_SEVERITIES = {"error": N_("error"), "warning": N_("warning"), "info": N_("note")}


def next_step(report: FileReport) -> Text | None:
    """What the reader can do now; nothing where the verdict is good."""
    if report.verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS):
        return None
    known = _NEXT.get(report.sub_indication or "") or _NEXT_OF_VERDICT[report.verdict]
    return None if known is None else Text(known)


def _sentence(report: FileReport) -> Text:
    template = _SENTENCES[report.verdict]
    if "{reason}" not in template:
        return Text(template)
    return Text(template, (("reason", say(_reason(report))),))


def _reason(report: FileReport) -> Text:
    """The check or the finding that made the verdict what it is."""
    wanted = {
        Verdict.NOT_VALID: (Result.FAILED,),
        Verdict.UNDECIDED: (Result.INDETERMINATE,),
    }.get(report.verdict, ())
    for seal in report.seals:
        if seal.verdict is report.verdict:
            for step in seal.steps:
                if step.result in wanted:
                    return step.detail
    for finding in report.findings:
        if finding.severity.value != "info":
            return finding.text
    sources = {seal.time_source for seal in report.seals}
    if TimeSource.CLAIMED in sources:
        return Text(_CLAIMED_ONLY)
    if TimeSource.LEDGER in sources:
        return Text(_LEDGER_ONLY)
    return Text(_NO_REASON)


def _question(step: Step) -> Question:
    return _QUESTION_OF.get(step.step, Question.CHANGED)


def _answer(seal: SealReport, question: Question) -> Text:
    # Whether the certificate was good then is a matter of its path as well as of revocation.
    asked = [
        step.result
        for step in seal.steps
        if _question(step) is question or (question is Question.WHEN and step.step == "certification-path")
    ]
    result = _worst(asked)
    return text(_ANSWERS[question, result], signer=seal.signer or "?", time=_time(seal))


def _time(seal: SealReport) -> str:
    if seal.time is None:
        return _("the time is not known")
    clock = _(" by the sealer's own clock") if seal.time_source is TimeSource.CLAIMED else ""
    return local_time(seal.time) + clock


_ORDER = (Result.PASSED, Result.INDETERMINATE, Result.FAILED)


def _worst(results: Sequence[Result]) -> Result:
    # A question that no check has answered is not answered with yes.
    return max(results, key=_ORDER.index, default=Result.INDETERMINATE)
