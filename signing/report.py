"""The verdict on a sealed file, as values and as the JSON of ``gongwen verify --json``.

Indications and sub-indications are spelt as in EN 319 102-1; the five lay
verdicts stand beside them (FORMATS §7). Of one file the worst seal counts, of
several files the worst file.

    {"file": "a.pdf", "verdict": "valid", "indication": "TOTAL-PASSED", "sub_indication": null,
     "seals": [{"format": "PAdES-B-B", "verdict": "valid", "signer": "...", "time": "...", "time_source": "claimed",
                "steps": [{"step": "signature-value", "result": "passed", "detail": "..."}]}],
     "findings": []}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pki.names import UnitId
from pki.text import Text

JsonObject = dict[str, object]


class Verdict(StrEnum):
    """The five lay verdicts, the worst last."""

    VALID = "valid"
    VALID_WITH_REMARKS = "valid_with_remarks"
    UNDECIDED = "undecided"
    NO_SEAL = "no_seal"
    NOT_VALID = "not_valid"


_SEVERITY_ORDER = tuple(Verdict)


class Indication(StrEnum):
    """EN 319 102-1 clause 5.1.3, spelt as FORMATS §7 has it."""

    TOTAL_PASSED = "TOTAL-PASSED"
    TOTAL_FAILED = "TOTAL-FAILED"
    INDETERMINATE = "INDETERMINATE"
    NO_SIGNATURE_FOUND = "NO-SIGNATURE-FOUND"


class Result(StrEnum):
    """The outcome of one numbered step."""

    PASSED = "passed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


class Severity(StrEnum):
    """How much a finding weighs: an error decides, a warning turns *valid* into *with remarks*."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class TimeSource(StrEnum):
    """Whose word the sealing time is."""

    TIMESTAMP = "timestamp"
    COSIGNATURE = "cosignature"
    LEDGER = "ledger"
    CLAIMED = "claimed"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Step:
    """One check of a verification, by its stable name, and what came of it."""

    step: str
    result: Result
    detail: Text


@dataclass(slots=True)
class StepRecord:
    """The steps of a verification while they are taken, and what they come to.

    All are reported; of several failures the first decides, a failure outweighs
    what cannot be decided, and that outweighs a remark.
    """

    steps: list[Step] = field(default_factory=list)
    failure: str | None = None
    """Sub-indication of the first failure."""
    doubt: str | None = None
    """Sub-indication of the first step that could not be decided."""
    remark: bool = False

    def passed(self, step: str, detail: Text) -> None:
        """The check holds."""
        self.steps.append(Step(step, Result.PASSED, detail))

    def failed(self, step: str, sub_indication: str, detail: Text) -> None:
        """The check does not hold."""
        self.steps.append(Step(step, Result.FAILED, detail))
        self.failure = self.failure or sub_indication

    def undecided(self, step: str, sub_indication: str, detail: Text) -> None:
        """Whether the check holds is not known."""
        self.steps.append(Step(step, Result.INDETERMINATE, detail))
        self.doubt = self.doubt or sub_indication

    def outcome(self) -> tuple[Verdict, Indication, str | None]:
        """Verdict, indication and sub-indication of what was found so far."""
        if self.failure is not None:
            return Verdict.NOT_VALID, Indication.TOTAL_FAILED, self.failure
        if self.doubt is not None:
            return Verdict.UNDECIDED, Indication.INDETERMINATE, self.doubt
        return Verdict.VALID_WITH_REMARKS if self.remark else Verdict.VALID, Indication.TOTAL_PASSED, None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something beside the seals that a reader must know."""

    code: str
    severity: Severity
    text: Text


@dataclass(frozen=True, slots=True)
class SealReport:
    """What was found out about one seal."""

    format: str
    verdict: Verdict
    indication: Indication
    sub_indication: str | None
    signer: str
    time: datetime | None
    time_source: TimeSource | None
    steps: tuple[Step, ...]
    unit: UnitId | None = None
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found out about one file."""

    file: str
    verdict: Verdict
    indication: Indication
    sub_indication: str | None
    seals: tuple[SealReport, ...] = ()
    findings: tuple[Finding, ...] = field(default=())


def worst(verdicts: Iterable[Verdict], *, default: Verdict) -> Verdict:
    """The verdict that counts when several are joined; ``default`` when there are none.

    FORMATS §7: not_valid > no_seal > undecided > valid_with_remarks > valid.
    """
    return max(verdicts, key=_SEVERITY_ORDER.index, default=default)


def file_report(file: str, seals: Sequence[SealReport], findings: Sequence[Finding] = ()) -> FileReport:
    """Join the seals and findings of one file into its report.

    The worst seal decides; a finding of severity ERROR makes the file not
    valid, a WARNING keeps a valid file from being valid without remarks.
    """
    if not seals:
        verdict = Verdict.NO_SEAL
        indication, sub = Indication.NO_SIGNATURE_FOUND, None
    else:
        verdict = worst((seal.verdict for seal in seals), default=Verdict.NO_SEAL)
        deciding = next(seal for seal in seals if seal.verdict is verdict)
        indication, sub = deciding.indication, deciding.sub_indication
    if any(finding.severity is Severity.ERROR for finding in findings):
        if verdict is not Verdict.NOT_VALID:
            verdict, indication, sub = Verdict.NOT_VALID, Indication.TOTAL_FAILED, "FORMAT_FAILURE"
    elif verdict is Verdict.VALID and any(finding.severity is Severity.WARNING for finding in findings):
        verdict = Verdict.VALID_WITH_REMARKS
    return FileReport(file, verdict, indication, sub, tuple(seals), tuple(findings))


def report_json(report: FileReport, *, say: Callable[[Text], str] = str) -> JsonObject:
    """The JSON object of DESIGN §6; ``say`` puts sentences into the reader's language."""
    return {
        "file": report.file,
        "verdict": report.verdict.value,
        "indication": report.indication.value,
        "sub_indication": report.sub_indication,
        "seals": [_seal_json(seal, say) for seal in report.seals],
        "findings": [
            {"code": f.code, "severity": f.severity.value, "text": say(f.text)} for f in report.findings
        ],
    }


def _seal_json(seal: SealReport, say: Callable[[Text], str]) -> JsonObject:
    return {
        "format": seal.format,
        "verdict": seal.verdict.value,
        "indication": seal.indication.value,
        "sub_indication": seal.sub_indication,
        "signer": seal.signer,
        "unit": seal.unit,
        "certificate": seal.certificate,
        "time": None if seal.time is None else seal.time.isoformat().replace("+00:00", "Z"),
        "time_source": None if seal.time_source is None else seal.time_source.value,
        "steps": [
            {"step": step.step, "result": step.result.value, "detail": say(step.detail)}
            for step in seal.steps
        ],
    }
