"""Judging the seals on a PDF (PAdES and its older kin), and what else is in the file.

A verdict rests on three legs, and all must stand: our own checks of bytes, signature
and path; pyHanko's, set up so that it can be relied on (``pdf_hanko``); and the hub's
policy on what may be appended to a sealed file. Nothing is fetched. Every
exception is a refusal: a file that breaks us is not thereby valid.

The steps of one seal, by their names in the report:

(1) ``format``                the field holds a seal of a kind that we can read
(2) ``byte-range``            it covers everything from the first byte but itself
(3) ``message-digest``        the bytes it covers are those that were sealed
(4) ``signature-value``       the certificate's key signed them
(5) ``signing-certificate``   the signed attributes bind that certificate
(6) ``certification-path``, ``revocation``, ``purpose``: pki.path, at the instant of judging
(7) ``signing-time``          whose word the time of sealing is
(8) ``embedded-certificates`` no certificate in it was changed or slipped in
(9) ``later-changes``         nothing was changed after it; what was appended is sealed too
(10) ``certification-docmdp`` nothing was appended that the seal itself forbids
(11) ``second-opinion``       pyHanko says the same

A changed byte is never valid: what no digest covers (the gap of each seal, and in it
whatever the signature does not cover) is held to one spelling here.

ETSI EN 319 142-1, EN 319 102-1; ISO 32000-2, 12.8. SM2 seals are named and not judged.
"""

# mypy: allow-untyped-calls
# (pyHanko is typed in part only.)
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields

from pki.errors import SignatureInvalid
from pki.names import display_name
from pki.path import Purpose, TrustStore, ValidatedPath
from pki.text import N_, Text, text
from signing.cms import CadesSignerInfo
from signing.detached import ProvenTime, judge_signer, seal_time
from signing.errors import (
    AlgorithmForbidden,
    CmsMalformed,
    DigestMismatch,
    DocumentEncrypted,
    DocumentMalformed,
    SignerUnknown,
    SigningError,
)
from signing.pdf_bytes import SignedBytes, byte_range_marks, read_byte_range, read_gap
from signing.pdf_cms import PdfCms, read_pdf_cms
from signing.pdf_content import scan_content
from signing.pdf_hanko import HankoSeal
from signing.pdf_reader import guarded, open_pdf
from signing.report import (
    FileReport,
    Finding,
    Indication,
    SealReport,
    Severity,
    StepRecord,
    TimeSource,
    Verdict,
    file_report,
)
from signing.timestamp import judge_time_stamp, unprotected

MAX_SIZE: Final = 64 * 1024 * 1024
MAX_SEALS: Final = 16
MAX_REVISIONS: Final = 32
MAX_CERTIFICATES: Final = 8
MAX_SAME_SUBJECT: Final = 2

_PADES = "/ETSI.CAdES.detached"
_PKCS7 = "/adbe.pkcs7.detached"
_DOCUMENT_STAMP = "/ETSI.RFC3161"
_SM2_ARC = bytes.fromhex("2a811ccf55")
"""1.2.156.10197, the arc of the ShangMi algorithms; also 1.2.156.10197.6, GB/T 35275's own content types."""

# --- what steps and findings say

_FORMAT = N_("a seal of the form {form}")
_UNKNOWN_FORM = N_("signed in a form that we cannot check: {form}")
_SHANGMI = N_("signed with SM2, which is not judged in PDF files yet")
_BROKEN_FIELD = N_("the signature field cannot be read: {detail}")
_UNCHECKED = N_("the seal holds something that nothing protects: {detail}")
_COVERS = N_("it covers the whole file but its own {gap} bytes")
_COVERS_REVISION = N_("it covers the first {end} bytes of the file but its own {gap}")
_CERTIFICATES = N_("it carries more certificates, or more of one name, than are looked at")
_EMBEDDED = N_("every certificate in the seal is vouched for")
_SLIPPED_IN = N_("the certificate of {name} in the seal is vouched for by nobody")
_NOTHING_LATER = N_("nothing was appended after it")
_LATER_SEALED = N_("what was appended later is sealed itself, and changes nothing that was sealed here")
_LATER_OPEN = N_("{count} bytes were appended that no seal covers")
_GARBAGE = N_("{count} bytes stand behind the end of the document that was sealed")
_CHANGED = N_("the document was changed after it was sealed: {detail}")
_DOCMDP = N_("nothing was done that the seal forbids")
_DOCMDP_BROKEN = N_("the seal forbids what was appended after it")
_SECOND = N_("pyHanko finds the same")
_SECOND_NOT = N_("pyHanko does not find it good: {detail}")
_STAMPED = N_("time stamp: {detail}")
_STAMP_LATER = N_("the time stamp is later than {at} and does not count")
_STAMP_BROKEN = N_("the time stamp on the seal is broken: {detail}")
_STAMP_UNREAD = N_("the time stamp on the seal cannot be judged: {detail}")

_F_MALFORMED = N_("the document cannot be read: {detail}")
_F_ENCRYPTED = N_("the document is encrypted and cannot be judged")
_F_TOO_LARGE = N_("the document has {size} bytes; {limit} are judged at most")
_F_TOO_MANY = N_("the document has more seals or revisions than are judged")
_F_UNLISTED = N_(
    "the file holds {count} signatures that no field of the form names: they were unhooked or hidden"
)
_F_SHARED = N_("two signature fields share one signature")
_F_MODIFIED = N_("the document was changed after it was sealed")
_F_REVISIONS = N_("the document had {count} revisions before it was sealed")
_F_STAMP = N_("the file is covered by a document time stamp of {at}")
_F_STAMP_UNTRUSTED = N_("the file bears a document time stamp that is not taken into account: {detail}")
_F_STAMP_BROKEN = N_("the file bears a document time stamp that does not fit it: {detail}")
_F_BROKE = N_("judging the document failed in a way that was not foreseen ({kind}); nothing is known of it")


def judge_pdf(
    pdf: bytes,
    *,
    trust: TrustStore,
    purpose: Purpose,
    now: datetime,
    at: datetime | None = None,
    file: str = "",
    max_size: int = MAX_SIZE,
) -> FileReport:
    """What is to be thought of a PDF and the seals on it. Never raises, whatever the bytes.

    With ``at`` everything is judged at that instant; else at the time that a time
    stamp proves, else now, and then a merely claimed time is a remark.

    Runs for as long as the file is large: for untrusted files use ``sandbox``.
    """
    try:
        if len(pdf) > max_size:
            return _undecided(file, "too-large", text(_F_TOO_LARGE, size=len(pdf), limit=max_size))
        return _Judge(pdf, trust, purpose, now, at, file).judge()
    except DocumentEncrypted:
        return _undecided(file, "encrypted", text(_F_ENCRYPTED))
    except DocumentMalformed as error:
        return file_report(
            file,
            (),
            (Finding("document-malformed", Severity.ERROR, text(_F_MALFORMED, detail=error.detail)),),
        )
    except Exception as error:
        # Fail closed (decision 7): whatever escaped the narrower nets is no verdict of validity.
        return _undecided(file, "judging-failed", text(_F_BROKE, kind=type(error).__name__))


def _undecided(file: str, code: str, why: Text) -> FileReport:
    return FileReport(
        file,
        Verdict.UNDECIDED,
        Indication.INDETERMINATE,
        None,
        (),
        (Finding(code, Severity.WARNING, why),),
    )


@dataclass(slots=True)
class _Field:
    """A filled signature field, before anything about it is believed."""

    name: str
    field: generic.DictionaryObject
    form: str
    kind: str
    signed: SignedBytes | None
    contents: bytes
    claimed: datetime | None
    trouble: SigningError | None = None


class _Judge:
    """One file on its way to a report."""

    def __init__(
        self,
        pdf: bytes,
        trust: TrustStore,
        purpose: Purpose,
        now: datetime,
        at: datetime | None,
        file: str,
    ) -> None:
        self.pdf, self.trust, self.purpose, self.now, self.at, self.file = pdf, trust, purpose, now, at, file
        self.findings: dict[str, Finding] = {}
        self.reader: PdfFileReader = open_pdf(pdf)
        self.end_covered = False

    def judge(self) -> FileReport:
        fields = sorted(self._fields(), key=lambda f: f.signed.end if f.signed else 0)
        revisions = guarded(lambda: self.reader.xrefs.total_revisions)
        if len(fields) > MAX_SEALS or revisions > MAX_REVISIONS:
            return _undecided(self.file, "too-many-seals", text(_F_TOO_MANY))
        self._check_marks(fields)
        self.end_covered = any(f.signed is not None and f.signed.end == len(self.pdf) for f in fields)
        seals = []
        for one in fields:
            if one.form == _DOCUMENT_STAMP or one.kind == "/DocTimeStamp":
                self._judge_document_stamp(one)
            else:
                seals.append(self._judge_seal(one))
        before = self._revisions_before(fields[0]) if seals else 0
        if before > 1:
            # More went before than the one revision that was to be sealed: seen in prepared
            # (shadow) files. Harmless ones are frequent, so it decides nothing.
            self._find("several-revisions", Severity.WARNING, text(_F_REVISIONS, count=before))
        for finding in scan_content(self.reader):
            self.findings.setdefault(finding.code, finding)
        return file_report(self.file, seals, tuple(self.findings.values()))

    # --- the form

    def _fields(self) -> Iterator[_Field]:
        """Every filled signature field. Not ``reader.embedded_signatures``, which leaves some out.

        Not more than are judged, plus one: each costs.
        """
        listed = guarded(lambda: list(enumerate_sig_fields(self.reader, filled_status=True)))
        for name, value, reference in listed[: MAX_SEALS + 1]:
            yield self._read_field(str(name), value, guarded(reference.get_object))

    def _read_field(self, name: str, value: object, found: generic.DictionaryObject) -> _Field:
        read = _Field(name, found, "", "/Sig", None, b"", None)
        try:
            guarded(lambda: self._fill(read, value))
        except DocumentMalformed as error:
            read.trouble = error
        return read

    def _fill(self, read: _Field, value: object) -> None:
        if isinstance(value, generic.IndirectObject):
            value = value.get_object()
        if not isinstance(value, generic.DictionaryObject):
            raise DocumentMalformed("its value is not a dictionary")
        read.form = str(value.get("/SubFilter", ""))
        read.kind = str(value.get("/Type", "/Sig"))
        if "/M" in value:
            try:
                read.claimed = generic.parse_pdf_date(value["/M"], strict=True).astimezone(UTC)
            except Exception:
                # T12. A claim that cannot be read is no claim; it decides nothing.
                read.claimed = None
        numbers = [int(n) for n in value["/ByteRange"]]
        read.signed = read_byte_range(self.pdf, numbers)
        contents = value.raw_get("/Contents", decrypt=generic.EncryptedObjAccess.RAW)
        if not isinstance(contents, generic.ByteStringObject | generic.TextStringObject):
            raise DocumentMalformed("its contents are not a string")
        read.contents = read_gap(self.pdf, read.signed, contents.original_bytes)

    def _check_marks(self, fields: list[_Field]) -> None:
        """Signatures in the file and signatures in the form are the same ones (traps T14, weakness 1)."""
        marks = len(byte_range_marks(self.pdf))
        if marks > len(fields):
            self._find("unlisted-signature", Severity.ERROR, text(_F_UNLISTED, count=marks - len(fields)))
        gaps = Counter(f.signed.gap_start for f in fields if f.signed is not None)
        if marks < len(fields) or any(count > 1 for count in gaps.values()):
            self._find("shared-signature", Severity.ERROR, text(_F_SHARED))

    def _revisions_before(self, first: _Field) -> int:
        """How many revisions the file had before the first seal was put on it."""
        try:
            return guarded(
                lambda: int(self.reader.xrefs.get_last_change(first.field.raw_get("/V").reference))
            )
        except DocumentMalformed:
            # The seal itself tells that it cannot be read.
            return 0

    # --- one seal

    def _judge_seal(self, one: _Field) -> SealReport:
        steps = StepRecord()
        form = one.form.removeprefix("/") or "?"
        # (1), (2)
        if one.form not in (_PADES, _PKCS7):
            steps.undecided("format", "FORMAT_FAILURE", text(_UNKNOWN_FORM, form=form[:60]))
            return self._unread(one, steps)
        if one.trouble is not None or one.signed is None:
            why = one.trouble.text if one.trouble is not None else text(_BROKEN_FIELD, detail="?")
            steps.failed("byte-range", "FORMAT_FAILURE", why)
            return self._unread(one, steps)
        try:
            cms = read_pdf_cms(one.contents)
        except (AlgorithmForbidden, SignerUnknown, CmsMalformed) as error:
            return self._unread(one, self._unreadable(steps, one.contents, error))
        for part in cms.unchecked:
            steps.undecided("format", "SIG_CONSTRAINTS_FAILURE", text(_UNCHECKED, detail=part))
        steps.passed("format", text(_FORMAT, form=form))
        info = replace(cms.signer, signing_time=cms.signer.signing_time or one.claimed)
        gap = one.signed.gap_end - one.signed.gap_start
        covers = _COVERS if one.signed.end == len(self.pdf) else _COVERS_REVISION
        steps.passed("byte-range", text(covers, gap=gap, end=one.signed.end))
        if not self._bounded(cms):
            steps.undecided("format", "CERTIFICATE_CHAIN_GENERAL_FAILURE", text(_CERTIFICATES))
            return self._unread(one, steps)
        # (3) to (7)
        proven = self._judge_signature_stamp(steps, info, cms.time_stamp)
        time = seal_time(now=self.now, at=self.at, proven=proven)
        judged = judge_signer(
            info,
            one.signed.digest(self.pdf, info.digest_algorithm),
            others=cms.certificates,
            trust=self.trust,
            purpose=self.purpose,
            time=time,
        )
        self._adopt(steps, judged.report)
        # (8)
        self._judge_embedded(steps, info, cms, judged.path)
        # (9) to (11) cost most, and say nothing more about a seal that is broken already.
        if steps.failure is None:
            self._judge_later(steps, one, judged.path)
        if "HASH_FAILURE" in (steps.failure, judged.report.sub_indication):
            self._find("modified-after-sealing", Severity.ERROR, text(_F_MODIFIED))
        level = "T" if proven is not None and time.proven is not None else "B"
        named = f"PAdES-B-{level}" if one.form == _PADES and info.bound else "PKCS7"
        return self._report(steps, judged.report, named)

    def _unreadable(self, steps: StepRecord, contents: bytes, error: SigningError) -> StepRecord:
        if _SM2_ARC in contents:
            steps.undecided("format", "CRYPTO_CONSTRAINTS_FAILURE", text(_SHANGMI))
        elif isinstance(error, AlgorithmForbidden):
            steps.undecided("format", "CRYPTO_CONSTRAINTS_FAILURE", error.text)
        elif isinstance(error, SignerUnknown):
            steps.undecided("format", "NO_SIGNING_CERTIFICATE_FOUND", error.text)
        else:
            steps.failed("format", "FORMAT_FAILURE", error.text)
        return steps

    def _bounded(self, cms: PdfCms) -> bool:
        certificates = cms.certificates
        subjects = Counter(one.subject.public_bytes() for one in certificates)
        return len(certificates) <= MAX_CERTIFICATES and max(subjects.values()) <= MAX_SAME_SUBJECT

    def _judge_signature_stamp(
        self, steps: StepRecord, info: CadesSignerInfo, token: bytes | None
    ) -> ProvenTime | None:
        """(7) The time that a signature time stamp proves, if there is one that counts."""
        if token is None:
            return None
        at = self.at or self.now
        try:
            stamp = judge_time_stamp(
                token, lambda name: _digest(name, info.signature), trust=self.trust, at=at
            )
        except (DigestMismatch, SignatureInvalid) as error:
            steps.failed("time-stamp", "HASH_FAILURE", text(_STAMP_BROKEN, detail=error.text))
            return None
        except CmsMalformed as error:
            steps.failed("time-stamp", "FORMAT_FAILURE", text(_STAMP_BROKEN, detail=error.text))
            return None
        except SigningError as error:
            steps.undecided(
                "time-stamp", "CRYPTO_CONSTRAINTS_FAILURE", text(_STAMP_UNREAD, detail=error.text)
            )
            return None
        if not stamp.intact:
            steps.undecided("time-stamp", "SIG_CONSTRAINTS_FAILURE", text(_STAMP_UNREAD, detail=stamp.detail))
            return None
        if stamp.path is None:
            steps.remark = True
        steps.passed("time-stamp", text(_STAMPED, detail=stamp.detail))
        if stamp.path is None:
            return None
        if stamp.at > at:
            steps.passed("time-stamp", text(_STAMP_LATER, at=at.isoformat()))
            return None
        return ProvenTime(stamp.at, TimeSource.TIMESTAMP)

    def _adopt(self, steps: StepRecord, report: SealReport) -> None:
        """Take over the steps of signature, path and time."""
        steps.steps.extend(report.steps)
        if report.verdict is Verdict.NOT_VALID:
            steps.failure = steps.failure or report.sub_indication or "SIG_CRYPTO_FAILURE"
        elif report.verdict is Verdict.UNDECIDED:
            steps.doubt = steps.doubt or report.sub_indication or "CERTIFICATE_CHAIN_GENERAL_FAILURE"
        elif report.verdict is not Verdict.VALID:
            steps.remark = True

    def _judge_embedded(
        self, steps: StepRecord, info: CadesSignerInfo, cms: PdfCms, path: ValidatedPath | None
    ) -> None:
        """(8) The signature covers the signer's certificate by its hash, and not always the others."""
        known = (*self.trust.intermediates, *self.trust.anchors_for(self.purpose.anchors).certificates)
        loose = unprotected(info, cms.certificates, path, known=known)
        for one in loose:
            steps.undecided(
                "embedded-certificates",
                "CERTIFICATE_CHAIN_GENERAL_FAILURE",
                text(_SLIPPED_IN, name=display_name(one)),
            )
        if not loose:
            steps.passed("embedded-certificates", text(_EMBEDDED))

    def _judge_later(self, steps: StepRecord, one: _Field, path: ValidatedPath | None) -> None:
        """(9) to (11)."""
        assert one.signed is not None

        def look() -> None:
            seal = HankoSeal(self.reader, one.field, one.name)
            later = seal.later_changes()
            whole = one.signed is not None and one.signed.end == len(self.pdf)
            # (9)
            if not later.accepted or later.covers_file is not whole:
                steps.failed("later-changes", "FORMAT_FAILURE", text(_CHANGED, detail=later.detail))
                self._find("modified-after-sealing", Severity.ERROR, text(_F_MODIFIED))
            elif whole:
                steps.passed("later-changes", text(_NOTHING_LATER))
            elif later.revisions == 0:
                count = len(self.pdf) - (one.signed.end if one.signed is not None else 0)
                steps.failed("later-changes", "FORMAT_FAILURE", text(_GARBAGE, count=count))
                self._find("modified-after-sealing", Severity.ERROR, text(_F_MODIFIED))
            elif self.end_covered:
                steps.passed("later-changes", text(_LATER_SEALED))
            else:
                # Harmless as it may look, a byte of it could be changed unnoticed.
                count = len(self.pdf) - (one.signed.end if one.signed is not None else 0)
                steps.undecided("later-changes", "SIG_CONSTRAINTS_FAILURE", text(_LATER_OPEN, count=count))
            # (10)
            if later.certification_kept:
                steps.passed("certification-docmdp", text(_DOCMDP))
            else:
                steps.failed("certification-docmdp", "FORMAT_FAILURE", text(_DOCMDP_BROKEN))
            # (11) Without a path of ours it is not asked: building one is what exhausts it (T9).
            # Where something is undecided its yes would change nothing.
            if path is None or steps.doubt is not None:
                return
            opinion = seal.opinion(path)
            if opinion.passed:
                steps.passed("second-opinion", text(_SECOND))
            else:
                words = opinion.sub_indication or "GENERIC"
                told = text(_SECOND_NOT, detail=f"{words} {opinion.detail}".strip())
                if opinion.failed:
                    steps.failed("second-opinion", words, told)
                else:
                    steps.undecided("second-opinion", words, told)

        try:
            guarded(look)
        except DocumentMalformed as error:
            steps.failed("later-changes", "FORMAT_FAILURE", text(_CHANGED, detail=error.detail))

    # --- document time stamps

    def _judge_document_stamp(self, one: _Field) -> None:
        """A document time stamp is no seal; one that does not fit tells that the file was changed."""
        signed = one.signed
        if one.trouble is not None or signed is None:
            detail = one.trouble.text if one.trouble is not None else "?"
            self._find("document-time-stamp", Severity.ERROR, text(_F_STAMP_BROKEN, detail=detail))
            return
        try:
            stamp = judge_time_stamp(
                one.contents,
                lambda name: signed.digest(self.pdf, name),
                trust=self.trust,
                at=self.at or self.now,
            )
        except (SigningError, SignatureInvalid) as error:
            self._find("document-time-stamp", Severity.ERROR, text(_F_STAMP_BROKEN, detail=error.text))
            return
        if not stamp.intact:
            # Part of it is protected by nothing, so the file is not what it says byte for byte.
            self._find("document-time-stamp", Severity.ERROR, text(_F_STAMP_BROKEN, detail=stamp.detail))
        elif stamp.path is None:
            self._find("document-time-stamp", Severity.WARNING, text(_F_STAMP_UNTRUSTED, detail=stamp.detail))
        else:
            shown = stamp.at.strftime("%Y-%m-%dT%H:%M:%SZ")
            self._find("document-time-stamp", Severity.INFO, text(_F_STAMP, at=shown))

    # --- reports

    def _find(self, code: str, severity: Severity, words: Text) -> None:
        known = self.findings.get(code)
        if known is None or known.severity is not Severity.ERROR:
            self.findings[code] = Finding(code, severity, words)

    def _report(self, steps: StepRecord, signer: SealReport, named: str) -> SealReport:
        verdict, indication, sub_indication = steps.outcome()
        return replace(
            signer,
            format=named,
            verdict=verdict,
            indication=indication,
            sub_indication=sub_indication,
            steps=tuple(steps.steps),
        )

    def _unread(self, one: _Field, steps: StepRecord) -> SealReport:
        """The report on a seal that cannot be read far enough to tell who made it."""
        verdict, indication, sub_indication = steps.outcome()
        return SealReport(
            format=one.form.removeprefix("/")[:60] or "?",
            verdict=verdict,
            indication=indication,
            sub_indication=sub_indication,
            signer="",
            time=one.claimed,
            time_source=None if one.claimed is None else TimeSource.CLAIMED,
            steps=tuple(steps.steps),
        )


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.new(name, content).digest()
