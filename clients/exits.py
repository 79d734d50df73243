"""The exit codes of ``gongwen`` (DESIGN §6), in one table; they are never reused."""

from __future__ import annotations

from enum import IntEnum

from clients import errors
from signing.report import Verdict


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILURE = 1
    USAGE = 2
    NOT_VALID = 3
    NOT_ALLOWED = 4
    UNDECIDED = 5
    CONFLICT = 6
    NETWORK = 7
    PENDING = 8
    INTERRUPTED = 130


OF_VERDICT = {
    Verdict.VALID: Exit.DONE,
    Verdict.VALID_WITH_REMARKS: Exit.DONE,
    Verdict.UNDECIDED: Exit.UNDECIDED,
    Verdict.NO_SEAL: Exit.NOT_VALID,
    Verdict.NOT_VALID: Exit.NOT_VALID,
}
"""FORMATS §7."""

_OF_CODE = {
    "duplicate-id-conflict": Exit.CONFLICT,
    "key-exists": Exit.CONFLICT,
    "already-running": Exit.CONFLICT,
    "key-secret-wrong": Exit.NOT_ALLOWED,
    "secret-missing": Exit.NOT_ALLOWED,
    "invitation-refused": Exit.NOT_ALLOWED,
    "trust-refused": Exit.NOT_VALID,
    "envelope-untrusted": Exit.NOT_VALID,
    "envelope-seal-invalid": Exit.NOT_VALID,
    "seal-invalid": Exit.NOT_VALID,
    "seal-missing": Exit.NOT_VALID,
    "seal-foreign": Exit.NOT_VALID,
    "document-refused": Exit.NOT_VALID,
    "content-mismatch": Exit.NOT_VALID,
    "seal-undecided": Exit.UNDECIDED,
    "classified": Exit.NOT_ALLOWED,
    "content-differs": Exit.NOT_VALID,
    "proof-of-another": Exit.NOT_VALID,
    "proof-invalid": Exit.NOT_VALID,
    "note-signature-invalid": Exit.NOT_VALID,
    "foreign-signature": Exit.NOT_VALID,
    "ledger-rollback": Exit.NOT_VALID,
    "ledger-fork": Exit.NOT_VALID,
    "log-unknown": Exit.NOT_VALID,
    "note-unsigned": Exit.UNDECIDED,
    "quorum-unmet": Exit.UNDECIDED,
    "leaves-missing": Exit.UNDECIDED,
    "ledger-unreachable": Exit.NETWORK,
    "hub-untrusted": Exit.NOT_VALID,
    "option-unfit": Exit.USAGE,
    "name-ambiguous": Exit.USAGE,
}
"""Codes that say more than their class."""

_OF_CLASS: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.AuthenticationError, Exit.NOT_ALLOWED),
    (errors.PermissionDenied, Exit.NOT_ALLOWED),
    (errors.Conflict, Exit.CONFLICT),
    (errors.RateLimited, Exit.NETWORK),
    (errors.ServerError, Exit.NETWORK),
    (errors.AnswerMalformed, Exit.NETWORK),
    (errors.TransportError, Exit.NETWORK),
    (KeyboardInterrupt, Exit.INTERRUPTED),
)


def exit_of(error: BaseException) -> Exit:
    """The exit code that a command ends with when this error stops it."""
    if isinstance(error, errors.ReceiptUntrusted):
        return Exit.NOT_VALID if error.proven_wrong else Exit.UNDECIDED
    code = getattr(error, "code", None)
    if isinstance(code, str) and code in _OF_CODE:
        return _OF_CODE[code]
    return next((exit_ for kind, exit_ in _OF_CLASS if isinstance(error, kind)), Exit.FAILURE)
