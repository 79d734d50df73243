"""What can go wrong with keys, certificates and paths.

Fault                         every error of ours outside the ledger
└── PkiError
    ├── NameMalformed         not a unit code, or a certificate that names no unit
    ├── KeyRefused            a key of a kind or strength that we do not accept
    ├── SignatureInvalid      a signature that does not fit key and content
    ├── KeyFileError          keys at rest
    │   ├── KeyFileMalformed
    │   ├── KeySecretWrong    wrong secret, or the file was changed: the seal of AES-GCM does not tell which
    │   ├── KeyNotFound
    │   └── KeyExists
    ├── CertificateMalformed  not one certificate in strict DER
    ├── RevocationListMalformed
    ├── RequestRefused        a request for a certificate
    │   ├── RequestMalformed
    │   └── PossessionNotProven
    ├── IssueRefused
    │   ├── LintFailed        what we were about to sign breaks a rule; the key was not touched
    │   └── IntentSpent       an intent signs once
    ├── PathError             carries the indication and sub-indication of EN 319 102-1
    │   ├── PathNotFound          NO_CERTIFICATE_CHAIN_FOUND
    │   ├── PathMalformed         CERTIFICATE_CHAIN_GENERAL_FAILURE
    │   ├── CertificateExpired    OUT_OF_BOUNDS_NO_POE
    │   ├── CertificateNotYetValid NOT_YET_VALID
    │   ├── CertificateRevoked    REVOKED
    │   ├── RevocationUnknown     TRY_LATER
    │   ├── PurposeWrong          CHAIN_CONSTRAINTS_FAILURE
    │   └── AlgorithmRefused      CRYPTO_CONSTRAINTS_FAILURE
    ├── TrustFolderMalformed  names the file
    └── AuthorityError        the service that certifies
        ├── AuthorityFolderUnusable
        ├── RegistrationRefused
        ├── InvitationRefused
        ├── KeyAlreadyCertified
        ├── SerialTaken
        ├── CertificateUnknown
        └── RevocationRefused
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pki.text import N_, Text, text


class Mender(StrEnum):
    """Who can put it right; shown with every refusal."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    UNIT = "unit"
    OPERATOR = "operator"
    AUTHORITY = "authority"
    NOBODY = "nobody"


class Fault(Exception):
    """Base of every error of ours: a stable code, a sentence, and who can mend it.

    A subclass sets ``code`` and ``template`` (marked with ``N_`` so that it enters the
    catalogue) and passes the template's values by keyword. Values that a report needs
    are attributes of their own besides.
    """

    code: ClassVar[str] = "fault"
    template: ClassVar[str] = N_("something went wrong: {detail}")
    mender: ClassVar[Mender] = Mender.OPERATOR

    def __init__(self, **fields: object) -> None:
        self.text: Text = text(self.template, **fields)
        super().__init__(str(self.text))


class PkiError(Fault):
    """Something about keys, certificates, revocation or paths."""

    code = "pki"


class NameMalformed(PkiError):
    """Not a unit code (GB 32100-2015), or a certificate that names no unit."""

    code = "name-malformed"
    template = N_("not a unit name: {detail}")
    mender = Mender.UNIT


class KeyRefused(PkiError):
    """A key of a kind or strength that we do not accept."""

    code = "key-refused"
    template = N_("the key is refused: {detail}")
    mender = Mender.UNIT


class SignatureInvalid(PkiError):
    """A signature that does not fit the key and the content."""

    code = "signature-invalid"
    template = N_("the signature is invalid: {detail}")
    mender = Mender.SENDER


# --- keys at rest -----------------------------------------------------------------------------


class KeyFileError(PkiError):
    """Something about keys at rest."""

    code = "key-file"
    template = N_("key file {name}: {detail}")
    mender = Mender.OPERATOR

    def __init__(self, *, name: str, detail: str = "") -> None:
        super().__init__(name=name, detail=detail)
        self.name = name


class KeyFileMalformed(KeyFileError):
    """Not a key file, or not a key folder, of ours."""

    code = "key-file-malformed"


class KeySecretWrong(KeyFileError):
    """The secret does not open it, or its bytes were changed; AES-GCM does not tell which."""

    code = "key-secret-wrong"
    template = N_("key file {name} does not open: the secret is wrong, or the file was changed")


class KeyNotFound(KeyFileError):
    """No key of that name in the folder."""

    code = "key-not-found"
    template = N_("there is no key named {name} in the key folder")


class KeyExists(KeyFileError):
    """A key of that name is there already; keys are never overwritten."""

    code = "key-exists"
    template = N_("there is a key named {name} in the key folder already; nothing was changed")


# --- certificates, lists and requests ---------------------------------------------------------


class CertificateMalformed(PkiError):
    """Not exactly one X.509 version 3 certificate in strict DER."""

    code = "certificate-malformed"
    template = N_("the certificate is malformed: {detail}")
    mender = Mender.AUTHORITY


class RevocationListMalformed(PkiError):
    """Not exactly one certificate revocation list of the profile in strict DER."""

    code = "revocation-list-malformed"
    template = N_("the revocation list is malformed: {detail}")
    mender = Mender.AUTHORITY


class RequestRefused(PkiError):
    """A request for a certificate that we do not follow."""

    code = "request-refused"
    template = N_("the certificate request is refused: {detail}")
    mender = Mender.UNIT


class RequestMalformed(RequestRefused):
    """Not exactly one PKCS #10 request in strict DER."""

    code = "csr-malformed"
    template = N_("the certificate request is malformed: {detail}")


class PossessionNotProven(RequestRefused):
    """The request is not signed by the key it asks a certificate for."""

    code = "possession-not-proven"
    template = N_("the certificate request is not signed by the key it names")


class IssueRefused(PkiError):
    """We do not sign this."""

    code = "issue-refused"
    template = N_("the certificate is not issued: {detail}")
    mender = Mender.AUTHORITY


class LintFailed(IssueRefused):
    """What we were about to sign breaks a rule; the key was not touched.

    ``errors`` are the broken rules, one sentence each.
    """

    code = "lint-failed"
    template = N_("the certificate is not issued, it would break its profile: {detail}")

    def __init__(self, *, errors: tuple[str, ...]) -> None:
        super().__init__(detail="; ".join(errors))
        self.errors = errors


class IntentSpent(IssueRefused):
    """An intent signs once; this one has."""

    code = "intent-spent"
    template = N_("the intent with serial {serial} has been spent already")

    def __init__(self, *, serial: int) -> None:
        super().__init__(serial=f"{serial:x}")
        self.serial = serial


# --- paths ------------------------------------------------------------------------------------


class PathError(PkiError):
    """No valid certification path; says what EN 319 102-1 would."""

    code = "path"
    template = N_("no valid certification path: {detail}")
    mender = Mender.AUTHORITY
    indication: ClassVar[str] = "INDETERMINATE"
    sub_indication: ClassVar[str] = "CERTIFICATE_CHAIN_GENERAL_FAILURE"


class PathNotFound(PathError):
    """No path from the certificate to a trust anchor that serves the purpose."""

    code = "path-not-found"
    template = N_("no certification path leads from {subject} to a trust anchor: {detail}")
    mender = Mender.OPERATOR
    sub_indication = "NO_CERTIFICATE_CHAIN_FOUND"

    def __init__(self, *, subject: str, detail: str) -> None:
        super().__init__(subject=subject, detail=detail)


class PathMalformed(PathError):
    """Certificates that we do not build a path with: too many, or broken ones."""

    code = "path-malformed"
    template = N_("the certificates given for the path are refused: {detail}")
    mender = Mender.SENDER


class _OutOfPeriod(PathError):
    def __init__(self, *, subject: str, bound: datetime, at: datetime) -> None:
        super().__init__(subject=subject, bound=bound.isoformat(), at=at.isoformat())
        self.subject = subject
        self.bound = bound
        self.at = at


class CertificateExpired(_OutOfPeriod):
    """A certificate of the path had expired at the instant of judging.

    ``bound`` is its notAfter. A proof that the signature existed before makes
    it valid again: judge at that earlier instant.
    """

    code = "certificate-expired"
    template = N_("the certificate of {subject} expired at {bound}, judged at {at}")
    mender = Mender.UNIT
    sub_indication = "OUT_OF_BOUNDS_NO_POE"


class CertificateNotYetValid(_OutOfPeriod):
    """A certificate of the path was not valid yet; ``bound`` is its notBefore."""

    code = "certificate-not-yet-valid"
    template = N_("the certificate of {subject} is not valid before {bound}, judged at {at}")
    mender = Mender.UNIT
    indication = "TOTAL-FAILED"
    sub_indication = "NOT_YET_VALID"


class CertificateRevoked(PathError):
    """A certificate of the path was revoked at or before the instant of judging."""

    code = "certificate-revoked"
    template = N_("the certificate of {subject} was revoked at {revoked_at} ({reason})")
    mender = Mender.UNIT
    indication = "TOTAL-FAILED"
    sub_indication = "REVOKED"

    def __init__(self, *, subject: str, revoked_at: datetime, reason: str) -> None:
        super().__init__(subject=subject, revoked_at=revoked_at.isoformat(), reason=reason)
        self.subject = subject
        self.revoked_at = revoked_at
        self.reason = reason


class RevocationUnknown(PathError):
    """No usable revocation list answers for a certificate of the path: we do not know, so not yes."""

    code = "revocation-unknown"
    template = N_("no usable revocation list answers for the certificate of {subject}: {detail}")
    mender = Mender.OPERATOR
    sub_indication = "TRY_LATER"

    def __init__(self, *, subject: str, detail: str) -> None:
        super().__init__(subject=subject, detail=detail)
        self.subject = subject


class PurposeWrong(PathError):
    """The path is not made for this purpose: key usage, policy, a CA that is none, a forbidden extension."""

    code = "purpose-wrong"
    template = N_("the certificate of {subject} does not serve for {purpose}: {detail}")
    sub_indication = "CHAIN_CONSTRAINTS_FAILURE"

    def __init__(self, *, subject: str, purpose: str, detail: str) -> None:
        super().__init__(subject=subject, purpose=purpose, detail=detail)
        self.subject = subject


class AlgorithmRefused(PathError):
    """A key or a signature algorithm in the path that we do not accept."""

    code = "algorithm-refused"
    template = N_("the certificate of {subject} uses an algorithm that is refused: {detail}")
    sub_indication = "CRYPTO_CONSTRAINTS_FAILURE"

    def __init__(self, *, subject: str, detail: str) -> None:
        super().__init__(subject=subject, detail=detail)
        self.subject = subject


class TrustFolderMalformed(PkiError):
    """A trust folder with something in it that we cannot read; ``file`` names it.

    Read whole or not at all: an anchor or a revocation list skipped in silence
    would change verdicts.
    """

    code = "trust-folder-malformed"
    template = N_("trust folder: {file}: {detail}")

    def __init__(self, *, file: str, detail: str) -> None:
        super().__init__(file=file, detail=detail)
        self.file = file


# --- the authority ----------------------------------------------------------------------------


class AuthorityError(PkiError):
    """Something about the service that certifies."""

    code = "authority"
    template = N_("certification authority: {detail}")


class AuthorityFolderUnusable(AuthorityError):
    """The folder holds no authority, or already one, or one of a newer program."""

    code = "authority-folder-unusable"


class RegistrationRefused(AuthorityError):
    """The unit cannot be registered, or is not."""

    code = "registration-refused"


class InvitationRefused(AuthorityError):
    """The invitation is unknown, used or expired.

    Outsiders are not told which: ``reason`` is for the operator's log.
    """

    code = "invitation-refused"
    template = N_("the invitation is not valid; ask the authority for a new one")
    mender = Mender.AUTHORITY

    def __init__(self, *, reason: str) -> None:
        super().__init__()
        self.reason = reason


class KeyAlreadyCertified(AuthorityError):
    """The key stands in a certificate of another unit or of another purpose."""

    code = "key-already-certified"
    template = N_("the key is certified already; make a new one")
    mender = Mender.UNIT


class SerialTaken(AuthorityError):
    """The serial number was given out before; it is never given twice."""

    code = "serial-taken"
    template = N_("serial number {serial} is taken")

    def __init__(self, *, serial: int) -> None:
        super().__init__(serial=f"{serial:x}")
        self.serial = serial


class CertificateUnknown(AuthorityError):
    """This authority issued no such certificate."""

    code = "certificate-unknown"
    template = N_("this authority issued no such certificate")


class RevocationRefused(AuthorityError):
    """The certificate is revoked already, or cannot be revoked so."""

    code = "revocation-refused"
    template = N_("the certificate is not revoked: {detail}")
