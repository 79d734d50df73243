"""Judging a signature file over its content, step by step.

Holds the steps, the instant at which they are judged, and how their outcomes
become a verdict (EN 319 102-1 words, FORMATS §7). Reads files of our profile
with ``cms.py`` and everybody else's with ``foreign.py``; certification paths
are ``pki``'s. It fetches nothing, and knows nothing of receipts: a receipt's
checker calls :func:`judge_cades` and says for each signer what it must be.

    judge_detached(signature, digest_of, trust=trust, purpose=UNIT_SEAL, now=now)

The steps of one seal, by their names in the report:

(1) ``format``                the file can be read, and nothing in it can be changed unnoticed
(2) ``message-digest``        the content is the one that was signed
(3) ``signature-value``       the certificate's key signed it
(4) ``signing-certificate``   the signed attributes bind that certificate
(5) ``certification-path``    it leads to a trust anchor, at the instant of judging;
    ``revocation``            no certificate of the path was revoked, as far as lists say
    ``purpose``               it was issued for this
(6) ``embedded-certificates`` whatever else is in the file was not slipped in
(7) ``signing-time``          whose word the time of sealing is

Of several failures the first decides; all are reported. A failure outweighs
what cannot be decided, and that outweighs a remark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509

from pki.errors import (
    CertificateRevoked,
    NameMalformed,
    PathError,
    PurposeWrong,
    RevocationUnknown,
    SignatureInvalid,
)
from pki.facts import facts_of, fingerprint
from pki.names import UnitId, display_name, unit_of
from pki.path import PathCache, ValidatedPath, check_path
from pki.purpose import Purpose
from pki.text import N_, text
from pki.trust import TrustStore
from signing.cms import Cades, CadesSignerInfo, check_digest, check_signature_value, decode_cades
from signing.errors import (
    AlgorithmForbidden,
    CertificateUnprotected,
    CmsMalformed,
    DigestMismatch,
    SignerUnknown,
    SigningError,
)
from signing.foreign import ForeignCms, decode_foreign
from signing.report import Indication, Result, SealReport, Step, StepRecord, TimeSource, Verdict

DigestOf: TypeAlias = Callable[[str], bytes]
"""The content's digest by the hash of this name: sha256, sha384 or sha512."""

PurposeOf: TypeAlias = Callable[[CadesSignerInfo], Purpose]
"""What this signer's certificate must have been issued for."""

CLOCK_SKEW: Final = timedelta(minutes=5)
"""So much may a signer's clock be ahead before it is remarked upon."""


# --- when


@dataclass(frozen=True, slots=True)
class ProvenTime:
    """A seal existed at ``at``, by the word of somebody other than its signer; checked by the caller."""

    at: datetime
    source: TimeSource


@dataclass(frozen=True, slots=True)
class SealTime:
    """The instant at which a seal is judged, and what makes it so."""

    judged_at: datetime
    proven: ProvenTime | None = None
    given: bool = False


def seal_time(*, now: datetime, at: datetime | None = None, proven: ProvenTime | None = None) -> SealTime:
    """The instant to judge at: ``at`` where the reader asks for one, else the proven time, else now.

    A proof from after ``at`` does not count; the reader wants to know how things
    stood at ``at`` (DESIGN §6, FORMATS §7). A proof that lies in the future
    proves that a clock is wrong, and does not count either.
    """
    judged_at = at if at is not None else now
    if proven is not None and proven.at > judged_at:
        proven = None
    if at is None and proven is not None:
        judged_at = proven.at
    return SealTime(judged_at.astimezone(UTC), proven, at is not None)


# --- what the steps say

_FORMAT_STRICT = N_("a CAdES-B-B signature file in strict DER")
_FORMAT_FOREIGN = N_("a CMS signature file of another maker")
_FORMAT_REMARK = N_("a CMS signature file of another maker; {detail}")
_FORMAT_UNCHECKED = N_("the file holds something that nothing protects: {detail}")
_DIGEST_FITS = N_("the content is the one that was signed ({algorithm})")
_DIGEST_ABSENT = N_("the content that was signed is not here")
_VALUE_FITS = N_("the signature fits the content and the key of {signer}")
_BOUND = N_("the signed attributes bind the certificate of {signer}")
_UNBOUND = N_("the signed attributes do not say which certificate signed")
_PATH_PINNED = N_("the certificate of {signer} is itself a trust anchor")
_PATH_HOLDS = N_("the certificate of {signer} leads to the trust anchor {anchor}, judged at {at}")
_REVOCATION_PINNED = N_("not asked of a trust anchor")
_REVOCATION_HOLDS = N_("no certificate of the path was revoked, by {count} revocation lists")
_PURPOSE_PINNED = N_("trusted as it is for {purpose}")
_PURPOSE_HOLDS = N_("the certificate was issued for {purpose}")
_EMBEDDED_HOLDS = N_("every certificate in the file is vouched for")
_TIME_PROVEN = N_("it was made by {at}; {source} proves it")
_TIME_GIVEN = N_("judged at {at}, as asked; the signer says {claimed}")
_TIME_CLAIMED = N_("the signer says {claimed}; nobody else proves it, so it is judged now")
_TIME_AHEAD = N_("the signer says {claimed}, which is later than {at}: its clock or its claim is wrong")
_NO_CLAIM = N_("nothing")


@dataclass(frozen=True, slots=True)
class JudgedSigner:
    """What came of one signer, and the path it rests on; the path is None where none holds."""

    report: SealReport
    path: ValidatedPath | None


# --- judging


def judge_detached(
    signature: bytes,
    content_digest: DigestOf | None,
    *,
    trust: TrustStore,
    purpose: Purpose | PurposeOf,
    now: datetime,
    at: datetime | None = None,
    proven: ProvenTime | None = None,
    paths: PathCache | None = None,
) -> tuple[SealReport, ...]:
    """Judge a signature file of any maker over a content; one report per signer, in file order.

    ``content_digest`` is asked for the content's digest by the hash a signer
    used; None where the content is inside the file (``.p7m``). With both, both
    must be what was signed. ``proven`` is believed; the caller has checked it.

    A file that cannot be read gives one report too: nothing is raised for
    whatever the bytes may be.

    The verdict is *valid* only when the time of sealing is proven or ``at`` was
    given; with no more than the signer's claim it is *valid with remarks*, and
    judged now.
    """
    time = seal_time(now=now, at=at, proven=proven)
    try:
        cades = decode_cades(signature)
    except CmsMalformed:
        pass  # another maker's, or none: the lenient reader tells
    else:
        return judge_cades(cades, content_digest, trust=trust, purpose=purpose, time=time, paths=paths)
    try:
        foreign = decode_foreign(signature)
    except AlgorithmForbidden as error:
        return (_unread(time, Indication.INDETERMINATE, "CRYPTO_CONSTRAINTS_FAILURE", error),)
    except SignerUnknown as error:
        return (_unread(time, Indication.INDETERMINATE, "NO_SIGNING_CERTIFICATE_FOUND", error),)
    except CmsMalformed as error:
        return (_unread(time, Indication.TOTAL_FAILED, "FORMAT_FAILURE", error),)
    return _judge_all(
        foreign.cades, foreign, content_digest, trust=trust, purpose=purpose, time=time, paths=paths
    )


def judge_cades(
    cades: Cades,
    content_digest: DigestOf | None,
    *,
    trust: TrustStore,
    purpose: Purpose | PurposeOf,
    time: SealTime,
    paths: PathCache | None = None,
) -> tuple[SealReport, ...]:
    """Judge every signer of a file of our profile; one report each, in file order.

    ``purpose`` may be a function of the signer, where the hub and a unit sign
    side by side and each must be what it claims to be.
    """
    return _judge_all(cades, None, content_digest, trust=trust, purpose=purpose, time=time, paths=paths)


def judge_signer(
    info: CadesSignerInfo,
    content_digest: bytes | None,
    *,
    others: Sequence[x509.Certificate],
    trust: TrustStore,
    purpose: Purpose,
    time: SealTime,
    paths: PathCache | None = None,
) -> JudgedSigner:
    """Judge one signer: steps (2) to (5) and (7).

    Whether the rest of the file is sound, steps (1) and (6), is asked of all
    signers together: :func:`judge_cades` does.
    """
    record = StepRecord()
    path = _judge_signer(
        record, info, (content_digest,), others=others, trust=trust, purpose=purpose, time=time, paths=paths
    )
    return JudgedSigner(_report(record, info, "CAdES-B-B", time), path)


def _judge_all(
    cades: Cades,
    foreign: ForeignCms | None,
    content_digest: DigestOf | None,
    *,
    trust: TrustStore,
    purpose: Purpose | PurposeOf,
    time: SealTime,
    paths: PathCache | None,
) -> tuple[SealReport, ...]:
    records = [StepRecord() for _ in cades.signers]
    purposes = [purpose if isinstance(purpose, Purpose) else purpose(info) for info in cades.signers]
    found: list[ValidatedPath | None] = []
    for record, info, wanted in zip(records, cades.signers, purposes, strict=True):
        _judge_format(record, foreign)  # (1)
        digests = _digests(info.digest_algorithm, foreign, content_digest)
        found.append(  # (2) to (5), (7)
            _judge_signer(
                record,
                info,
                digests,
                others=cades.certificates,
                trust=trust,
                purpose=wanted,
                time=time,
                paths=paths,
            )
        )
    known = {*trust.intermediates}
    for wanted in purposes:
        known.update(trust.anchors_for(wanted.anchors).certificates)
    embedded = _judge_embedded(cades, found, known, strict=foreign is None)  # (6)
    reports = []
    for record, info in zip(records, cades.signers, strict=True):
        embedded(record)
        named = "CAdES-B-B" if info.bound and info.signing_time is not None else "CMS"
        reports.append(_report(record, info, named, time))
    return tuple(reports)


def _judge_signer(
    record: StepRecord,
    info: CadesSignerInfo,
    digests: Sequence[bytes | None],
    *,
    others: Sequence[x509.Certificate],
    trust: TrustStore,
    purpose: Purpose,
    time: SealTime,
    paths: PathCache | None,
) -> ValidatedPath | None:
    signer = display_name(info.certificate)
    # (2)
    try:
        for digest in digests:
            if digest is None:
                record.undecided("message-digest", "SIGNED_DATA_NOT_FOUND", text(_DIGEST_ABSENT))
                break
            check_digest(info, digest)
        else:
            record.passed("message-digest", text(_DIGEST_FITS, algorithm=info.digest_algorithm))
    except DigestMismatch as error:
        record.failed("message-digest", "HASH_FAILURE", error.text)
    # (3)
    try:
        check_signature_value(info)
        record.passed("signature-value", text(_VALUE_FITS, signer=signer))
    except SignatureInvalid as error:
        record.failed("signature-value", "SIG_CRYPTO_FAILURE", error.text)
    # (4) A binding to another certificate does not get here: the readers refuse it.
    if info.bound:
        record.passed("signing-certificate", text(_BOUND, signer=signer))
    else:
        record.undecided("signing-certificate", "SIG_CONSTRAINTS_FAILURE", text(_UNBOUND))
    # (5)
    path = _judge_path(record, info, others, trust=trust, purpose=purpose, at=time.judged_at, paths=paths)
    # (7)
    _judge_time(record, info, time)
    return path


def _judge_format(record: StepRecord, foreign: ForeignCms | None) -> None:
    if foreign is None:
        record.passed("format", text(_FORMAT_STRICT))
        return
    for part in foreign.unchecked:
        record.undecided("format", "SIG_CONSTRAINTS_FAILURE", text(_FORMAT_UNCHECKED, detail=part))
    for remark in foreign.remarks:
        record.passed("format", text(_FORMAT_REMARK, detail=remark))
        record.remark = True
    if not foreign.unchecked and not foreign.remarks:
        record.passed("format", text(_FORMAT_FOREIGN))


def _digests(
    name: str, foreign: ForeignCms | None, content_digest: DigestOf | None
) -> tuple[bytes | None, ...]:
    """The digests that must all be the signed one: of the content beside the file and of that inside.

    A content inside is asked even when one stands beside the file: left out, it
    could be changed unnoticed.
    """
    digests: list[bytes | None] = [] if content_digest is None else [content_digest(name)]
    if foreign is not None and foreign.content is not None:
        digests.append(hashlib.new(name, foreign.content).digest())
    return tuple(digests) or (None,)


def _judge_path(
    record: StepRecord,
    info: CadesSignerInfo,
    others: Sequence[x509.Certificate],
    *,
    trust: TrustStore,
    purpose: Purpose,
    at: datetime,
    paths: PathCache | None,
) -> ValidatedPath | None:
    rest = tuple(one for one in others if one != info.certificate)
    try:
        if paths is None:
            path = check_path(info.certificate, others=rest, trust=trust, purpose=purpose, at=at)
        else:
            path = paths.check(info.certificate, rest, purpose, at)
    except PathError as error:
        step = _PATH_STEPS.get(type(error), "certification-path")
        if error.indication == Indication.TOTAL_FAILED:
            record.failed(step, error.sub_indication, error.text)
        else:
            record.undecided(step, error.sub_indication, error.text)
        return None
    signer = display_name(info.certificate)
    if _is_pinned(path):
        record.passed("certification-path", text(_PATH_PINNED, signer=signer))
        record.passed("revocation", text(_REVOCATION_PINNED))
        record.passed("purpose", text(_PURPOSE_PINNED, purpose=purpose.name))
    else:
        anchor = display_name(path.certificates[-1])
        record.passed("certification-path", text(_PATH_HOLDS, signer=signer, anchor=anchor, at=_show(at)))
        record.passed("revocation", text(_REVOCATION_HOLDS, count=len(path.revocation)))
        record.passed("purpose", text(_PURPOSE_HOLDS, purpose=purpose.name))
    return path


_PATH_STEPS: dict[type[PathError], str] = {
    RevocationUnknown: "revocation",
    CertificateRevoked: "revocation",
    PurposeWrong: "purpose",
}


def _judge_time(record: StepRecord, info: CadesSignerInfo, time: SealTime) -> None:
    claimed = text(_NO_CLAIM) if info.signing_time is None else _show(info.signing_time)
    if time.given:
        detail = text(_TIME_GIVEN, at=_show(time.judged_at), claimed=claimed)
    elif time.proven is not None:
        detail = text(_TIME_PROVEN, at=_show(time.proven.at), source=time.proven.source.value)
    else:
        detail = text(_TIME_CLAIMED, claimed=claimed)
        record.remark = True
    if info.signing_time is not None and info.signing_time > time.judged_at + CLOCK_SKEW:
        # Whether this makes the seal worthless is for the reader: the claim proves nothing either way.
        detail = text(_TIME_AHEAD, claimed=claimed, at=_show(time.judged_at))
        record.remark = True
    record.passed("signing-time", detail)


# --- certificates that came along


def _judge_embedded(
    cades: Cades,
    paths: Sequence[ValidatedPath | None],
    known: set[x509.Certificate],
    *,
    strict: bool,
) -> Callable[[StepRecord], None]:
    """What step (6) comes to, for all signers alike.

    The signatures cover the signers' own certificates (by hash) and nothing
    else in the set. What lies on a validated path is covered by its issuer's
    signature. Of the rest:

    - in a file of ours it must be another certificate of an authority on a path
      (renewed, say), signed by an authority we know; else somebody put it
      there, and the file is not of the profile;
    - in a foreign file it must be known to the trust store, or be signed by a
      certificate of the file or of the trust store; else nobody can say
      whether it was always there.

    With a pinned certificate, or without a path, nobody can say in a file of
    ours either, unless the trust store holds the certificate.
    """
    held = [path for path in paths if path is not None]
    on_path = {certificate for path in held for certificate in path.certificates}
    complete = len(held) == len(paths) and not any(_is_pinned(path) for path in held)
    issuers = known | on_path
    for certificate in cades.certificates:
        if certificate in on_path:
            continue
        if strict and complete:
            if _is_twin(certificate, on_path) and _is_signed(certificate, issuers):
                continue
            error = CertificateUnprotected(fingerprint(certificate))
            return lambda record: record.failed("embedded-certificates", "FORMAT_FAILURE", error.text)
        vouching = issuers if strict else issuers | set(cades.certificates)
        if certificate in known or _is_signed(certificate, vouching):
            continue
        error = CertificateUnprotected(fingerprint(certificate))
        return lambda record: record.undecided(
            "embedded-certificates", "CERTIFICATE_CHAIN_GENERAL_FAILURE", error.text
        )
    return lambda record: record.passed("embedded-certificates", text(_EMBEDDED_HOLDS))


def _is_pinned(path: ValidatedPath) -> bool:
    return len(path.certificates) == 1


def _is_twin(certificate: x509.Certificate, others: Iterable[x509.Certificate]) -> bool:
    """One of these certifies the same name and key."""
    mine = facts_of(certificate)
    if mine.key is None:
        return False
    return any(mine.subject == facts_of(one).subject and mine.key == facts_of(one).key for one in others)


def _is_signed(certificate: x509.Certificate, issuers: Iterable[x509.Certificate]) -> bool:
    for issuer in issuers:
        if issuer.subject == certificate.issuer:
            try:
                certificate.verify_directly_issued_by(issuer)
            except Exception:  # noqa: S112 - T12: whatever a hostile certificate raises, it is no signature
                continue
            return True
    return False


# --- reports


def _report(record: StepRecord, info: CadesSignerInfo, named: str, time: SealTime) -> SealReport:
    verdict, indication, sub_indication = record.outcome()
    instant, source = _shown_time(info, time)
    return SealReport(
        format=named,
        verdict=verdict,
        indication=indication,
        sub_indication=sub_indication,
        signer=display_name(info.certificate),
        time=instant,
        time_source=source,
        steps=tuple(record.steps),
        unit=_unit(info.certificate),
        certificate=fingerprint(info.certificate),
    )


def _shown_time(info: CadesSignerInfo, time: SealTime) -> tuple[datetime | None, TimeSource | None]:
    if time.proven is not None:
        return time.proven.at, time.proven.source
    if time.given:
        return time.judged_at, TimeSource.GIVEN
    return info.signing_time, None if info.signing_time is None else TimeSource.CLAIMED


def _unread(time: SealTime, indication: Indication, sub_indication: str, error: SigningError) -> SealReport:
    """The report on a file that could not be read far enough to tell a signer."""
    failed = indication is Indication.TOTAL_FAILED
    result = Result.FAILED if failed else Result.INDETERMINATE
    return SealReport(
        format="CMS",
        verdict=Verdict.NOT_VALID if failed else Verdict.UNDECIDED,
        indication=indication,
        sub_indication=sub_indication,
        signer="",
        time=None if time.proven is None else time.proven.at,
        time_source=None if time.proven is None else time.proven.source,
        steps=(Step("format", result, error.text),),
    )


def _unit(certificate: x509.Certificate) -> UnitId | None:
    try:
        return unit_of(certificate)
    except NameMalformed:
        return None


def _show(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
