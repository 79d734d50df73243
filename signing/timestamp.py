"""RFC 3161 time-stamp tokens: read one, and tell what it proves.

A token is a signature file (CMS) with the statement inside: this digest existed at
that time. Both are checked here, and the path of the authority that stamped. It asks
nobody for a stamp, and reads no responses (``TimeStampResp``), only the token in them.

RFC 3161, RFC 5816; the profile of EN 319 422.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from pki.asn1 import encode_certificate
from pki.errors import PathError
from pki.path import TIME_STAMP, TrustStore, ValidatedPath, check_path
from pki.text import N_, Text, text
from signing import der
from signing.cms import CadesSignerInfo, check_digest, check_signature_value
from signing.der import CONTEXT_0, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Reader
from signing.detached import DigestOf
from signing.errors import CmsMalformed, DigestMismatch
from signing.foreign import ForeignCms, decode_foreign

_HASHES = {
    der.oid("2.16.840.1.101.3.4.2.1"): "sha256",
    der.oid("2.16.840.1.101.3.4.2.2"): "sha384",
    der.oid("2.16.840.1.101.3.4.2.3"): "sha512",
}
_SIGNING_CERTIFICATE_V2 = der.oid("1.2.840.113549.1.9.16.2.47")

_UNTRUSTED = N_("the time stamp of {at} is sound, but its authority is not trusted here: {reason}")
_UNPROTECTED = N_("the time stamp holds a certificate that nobody vouches for")
_UNCHECKED = N_("the time stamp holds something that nothing protects: {detail}")
_PROVEN = N_("{authority} states that it existed at {at}")


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A token, read but not checked: this imprint, by that hash, at that time."""

    cms: ForeignCms
    hash_name: str
    imprint: bytes
    at: datetime

    @property
    def signer(self) -> CadesSignerInfo:
        """Its one signer."""
        return self.cms.cades.signers[0]


@dataclass(frozen=True, slots=True)
class JudgedTimeStamp:
    """What came of a token that is sound in itself.

    ``path`` is None where its authority is not trusted, or where something in it is
    protected by nothing; then it proves no time. ``intact`` tells the two apart: every
    byte of it is accounted for.
    """

    at: datetime
    path: ValidatedPath | None
    intact: bool
    detail: Text


def read_time_stamp(token: bytes) -> TimeStamp:
    """Read a token.

    Raises:
        SigningError: as :func:`signing.foreign.decode_foreign`, and CmsMalformed where the
            statement inside is not a TSTInfo of version 1 with an accepted hash.
    """
    cms = decode_foreign(token)
    if cms.content is None or len(cms.cades.signers) != 1:
        raise CmsMalformed("a time stamp has its statement inside and one signer")
    outer = Reader(cms.content)
    info = outer.enter(SEQUENCE)
    outer.finish()
    if info.read(INTEGER) != b"\x01":
        raise CmsMalformed("a time stamp of another version")
    info.element(OID)
    imprint = info.enter(SEQUENCE)
    algorithm = imprint.enter(SEQUENCE)
    name = _HASHES.get(algorithm.element(OID))
    if name is None:
        raise CmsMalformed("a time stamp over a digest that is not accepted")
    digest = imprint.read(OCTET_STRING)
    imprint.finish()
    info.element(INTEGER)
    return TimeStamp(cms, name, digest, _time(info.read(GENERALIZED_TIME)))


def judge_time_stamp(
    token: bytes, content_digest: DigestOf, *, trust: TrustStore, at: datetime
) -> JudgedTimeStamp:
    """Judge a token over a content; its authority is judged at ``at``.

    (1) Its statement is about this content.
    (2) Its signature fits the statement and the authority's key.
    (3) Nothing in it could be changed unnoticed.
    (4) The authority's path holds, for time-stamping.

    Raises:
        SigningError, SignatureInvalid: it cannot be read, or (1) or (2) fails: it was changed,
            or belongs to something else.
    """
    stamp = read_time_stamp(token)
    actual = content_digest(stamp.hash_name)
    if actual != stamp.imprint:  # (1)
        raise DigestMismatch(expected=stamp.imprint, actual=actual)
    assert stamp.cms.content is not None
    check_digest(stamp.signer, hashlib.new(stamp.signer.digest_algorithm, stamp.cms.content).digest())
    check_signature_value(stamp.signer)  # (2)
    certificates = stamp.cms.cades.certificates
    own = stamp.signer.certificate
    try:  # (4)
        path = check_path(
            own,
            others=[one for one in certificates if one != own],
            trust=trust,
            purpose=TIME_STAMP,
            at=at,
        )
    except PathError as error:
        path, reason = None, error.text
    else:
        reason = text("")
    known = (*trust.intermediates, *trust.anchors_for("time").certificates)
    if stamp.cms.unchecked or stamp.cms.remarks:  # (3)
        detail = text(_UNCHECKED, detail="; ".join(map(str, (*stamp.cms.unchecked, *stamp.cms.remarks))))
        return JudgedTimeStamp(stamp.at, None, False, detail)
    if unprotected(stamp.signer, certificates, path, known=known):
        return JudgedTimeStamp(stamp.at, None, False, text(_UNPROTECTED))
    shown = stamp.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if path is None:
        return JudgedTimeStamp(stamp.at, None, True, text(_UNTRUSTED, at=shown, reason=reason))
    authority = own.subject.rfc4514_string()[:200]
    return JudgedTimeStamp(stamp.at, path, True, text(_PROVEN, authority=authority, at=shown))


def unprotected(
    signer: CadesSignerInfo,
    certificates: Iterable[x509.Certificate],
    path: ValidatedPath | None,
    *,
    known: Iterable[x509.Certificate],
) -> tuple[x509.Certificate, ...]:
    """The certificates that came along and that could have been changed, or slipped in, unnoticed.

    Where the signed attributes name several certificates by their hashes, as those of our
    seals do, it must be one of them, or known to the trust store. Else it is accounted
    for when it lies on the validated path, is known to the trust store, or is signed by
    another certificate here or there. The signer's own is always bound, or the file refused.
    """
    came, at_hand = tuple(certificates), set(known)
    on_path = set(path.certificates) if path is not None else set()
    named = _named_hashes(signer.signed_attributes)
    found = []
    for one in came:
        if one in at_hand or hashlib.sha256(encode_certificate(one)).digest() in named:
            continue
        if len(named) > 1:
            found.append(one)
            continue
        if one in on_path:
            continue
        if not any(_is_signed(one, issuer) for issuer in (*came, *at_hand)):
            found.append(one)
    return tuple(found)


def _is_signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:
        # T12: whatever a hostile certificate raises, it is no signature.
        return False
    return True


def _named_hashes(signed_attributes: bytes) -> frozenset[bytes]:
    """The SHA-256 hashes of the certificates that signingCertificateV2 lists (RFC 5035 §3).

    Entries by another hash are left out: then something else has to vouch for the certificate.
    """
    hashes = set()
    for attribute in Reader(signed_attributes).enter(SET).elements(SEQUENCE, most=32):
        fields = Reader(attribute).enter(SEQUENCE)
        if fields.element(OID) != _SIGNING_CERTIFICATE_V2:
            continue
        listed = fields.enter(SET).enter(SEQUENCE).enter(SEQUENCE)
        for one in listed.elements(SEQUENCE, most=32):
            entry = Reader(one).enter(SEQUENCE)
            if entry.peek() == OCTET_STRING:
                hashes.add(entry.read(OCTET_STRING))
    return frozenset(hashes)


def _time(octets: bytes) -> datetime:
    """GeneralizedTime of RFC 3161 §2.4.2: UTC, with a fraction of a second or without."""
    words = octets.decode("ascii", "replace")
    try:
        if not words.endswith("Z") or not words[:14].isdigit():
            raise ValueError
        whole = datetime.strptime(words[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        rest = words[14:-1]
        if not rest:
            return whole
        if rest[0] != "." or not rest[1:].isdigit() or len(rest) > 10:
            raise ValueError
        return whole + timedelta(microseconds=int(rest[1:7].ljust(6, "0")))
    except ValueError:
        raise CmsMalformed("the time of a time stamp is no time") from None


_TIME_STAMP_TOKEN = der.oid("1.2.840.113549.1.9.16.2.14")


def signature_time_stamp(signer_info: bytes) -> bytes | None:
    """The signature time stamp among the unsigned attributes of a SignerInfo, if there is one.

    Raises:
        CmsMalformed: there are several, or other unsigned attributes beside it.
    """
    outer = Reader(signer_info)
    fields = outer.enter(SEQUENCE)
    outer.finish()
    fields.element(INTEGER)
    # The signer is named by issuer and serial number, or by key identifier ([0]).
    fields.element(SEQUENCE if fields.peek() == SEQUENCE else 0x80)
    fields.element(SEQUENCE)
    fields.element(CONTEXT_0)
    fields.element(SEQUENCE)
    fields.element(OCTET_STRING)
    if fields.peek() is None:
        return None
    unsigned = fields.enter(der.CONTEXT_1)
    fields.finish()
    attribute = unsigned.enter(SEQUENCE)
    unsigned.finish()
    if attribute.element(OID) != _TIME_STAMP_TOKEN:
        raise CmsMalformed("an unsigned attribute of another kind")
    values = attribute.enter(SET)
    attribute.finish()
    token = values.element(SEQUENCE)
    values.finish()
    return token
