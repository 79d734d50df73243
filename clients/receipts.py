"""Receipts as the unit takes them: verified under its own trust folder, and about what it did.

A receipt that verifies proves some statement; that it is *this* statement is a
question of its own, and a hub that answers with another receipt must not be
believed either. So every check here asks both. Nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clients.errors import ReceiptUntrusted
from exchange.protocol.errors import EvidenceMalformed, ReceiptMalformed
from exchange.protocol.events import Event
from exchange.protocol.evidence import Evidence, decode_evidence
from exchange.protocol.judge import judge_receipt
from exchange.protocol.receipt import decode_receipt
from pki.errors import Fault
from pki.storage.trust import TrustFolder
from signing.report import FileReport, Verdict

GOOD = frozenset({Verdict.VALID, Verdict.VALID_WITH_REMARKS})


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """A receipt whose signatures and ledger proof hold; only :func:`check_receipt` makes one."""

    raw: bytes
    """The container, exactly as it came."""
    statement: bytes
    """``evidence.json``."""
    evidence: Evidence
    report: FileReport
    path: Path | None = None
    """Where the unit keeps it."""


Expectation = Callable[[CheckedReceipt], str | None]
"""What is wrong with a receipt that verifies: a sentence, or nothing."""


def check_receipt(
    raw: bytes, *, trust: TrustFolder, now: datetime, name: str, expected: Expectation
) -> CheckedReceipt:
    """The receipt, verified: (1) its signatures and proof, (2) that it speaks of what we asked.

    Raises:
        ReceiptUntrusted: it is not shown to be good, or it is about something else.
    """
    # (1)
    try:
        report = judge_receipt(raw, name=name, trust=trust.store, policy=trust.ledger_policy, now=now).report
    except Fault as error:
        raise ReceiptUntrusted(detail=str(error), receipt=raw, proven_wrong=True) from error
    if report.verdict not in GOOD:
        raise ReceiptUntrusted(
            detail=_reason(report), receipt=raw, proven_wrong=report.verdict is not Verdict.UNDECIDED
        )
    try:
        statement = decode_receipt(raw).evidence
        evidence = decode_evidence(statement)
    except (ReceiptMalformed, EvidenceMalformed) as error:
        raise ReceiptUntrusted(detail=str(error), receipt=raw, proven_wrong=True) from error
    # (2)
    checked = CheckedReceipt(raw, statement, evidence, report)
    complaint = expected(checked)
    if complaint is not None:
        raise ReceiptUntrusted(detail=complaint, receipt=raw, proven_wrong=True)
    return checked


def of_statement(statement: bytes) -> Expectation:
    """The receipt of exactly these signed bytes."""

    def expected(receipt: CheckedReceipt) -> str | None:
        return None if receipt.statement == statement else "it is the receipt of another statement"

    return expected


def of_dispatch(event: Event, *, dispatch: str, dispatch_id: str | None) -> Expectation:
    """The receipt of what became of exactly this envelope."""

    def expected(receipt: CheckedReceipt) -> str | None:
        evidence = receipt.evidence
        if evidence.event is not event:
            return f"it says {evidence.event.wire}, not {event.wire}"
        if evidence.dispatch != dispatch:
            return "it is the receipt of another envelope"
        if dispatch_id is not None and evidence.dispatch_id not in (dispatch_id, None):
            return "it names another dispatch"
        return None

    return expected


def of_evidence(evidence_id: str) -> Expectation:
    """The receipt of this evidence."""

    def expected(receipt: CheckedReceipt) -> str | None:
        found = receipt.evidence.evidence_id
        return None if found == evidence_id else f"it is the receipt of {found}"

    return expected


def of_consignment(consignment_id: str) -> Expectation:
    """A receipt of something that happened to this consignment."""

    def expected(receipt: CheckedReceipt) -> str | None:
        found = receipt.evidence.consignment_id
        return None if found == consignment_id else "it is about another consignment"

    return expected


def _reason(report: FileReport) -> str:
    """The first step or finding that did not pass, for the sentence."""
    for seal in report.seals:
        for step in seal.steps:
            if step.result.value != "passed":
                return f"{step.step}: {step.detail}"
    for finding in report.findings:
        return str(finding.text)
    return report.verdict.value
