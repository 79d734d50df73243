"""Judging PDFs in a process of their own, which is started when the first one comes.

What parses a document from outside shall not be the process that holds a unit's keys.
A document that breaks its judge is undecided, and so is one for which no judge can be
started: not knowing is not yes.
"""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pki.purpose import SEAL_ANY
from pki.trust import TrustStore
from signing.errors import SandboxBroken
from signing.report import FileReport, Finding, Indication, Severity, Verdict

if TYPE_CHECKING:
    from signing.sandbox.pool import JudgeRunner


class PdfJudge:
    """One judging process for as many documents as come. Close it, or use it as a context manager."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._runner: JudgeRunner | None = None

    def judge(
        self, pdf: bytes, *, name: str, trust: TrustStore, now: datetime, at: datetime | None
    ) -> FileReport:
        """The report on a PDF's seals, whoever made them; nothing is raised for what is in it."""
        try:
            if self._runner is None:
                from signing.sandbox.pool import JudgeRunner

                runner = JudgeRunner()
                runner.__enter__()
                self._runner = runner
            judged = self._runner.judge(pdf, trust=trust, purpose=SEAL_ANY, now=now, at=at, file=name)
        except SandboxBroken as error:
            finding = Finding(error.code, Severity.WARNING, error.text)
            return FileReport(name, Verdict.UNDECIDED, Indication.INDETERMINATE, None, (), (finding,))
        return judged.report

    def close(self) -> None:
        """End the process, if one was started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
