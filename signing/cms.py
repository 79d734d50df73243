"""Our one signature file: detached CAdES-B-B in strict DER (FORMATS §1).

    ContentInfo
      signedData
        version 1, digestAlgorithms {sha-256}, encapContentInfo id-data, no content
        certificates   1 to 8, sorted: every path without its anchor
        signerInfos    1 to 4, sorted, each:
          version 1, issuerAndSerialNumber, sha-256
          signedAttrs  contentType id-data, signingTime, messageDigest, signingCertificateV2
          ecdsa-with-SHA256, signature

Holds the encoder and decoder of that profile and the check of one signer's
digest and signature value. It asks nothing about paths, revocation or purpose
(``detached.py`` does), and reads nobody else's CMS (``foreign.py`` does).

Nothing is left to choose: every algorithm identifier has one spelling, and the
signing certificate is bound by its SHA-256 (an issuerSerial beside it is read
if it is right, and never written). So what is decoded encodes to the same
bytes, and a byte that nobody signed has one value that it can have.

RFC 5652, RFC 5035, RFC 5754; ETSI EN 319 122-1 for CAdES-B-B.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pki.asn1 import load_certificate, read_sequence
from pki.errors import CertificateMalformed, KeyRefused, SignatureInvalid
from pki.keys import Algorithm, PublicKey, Signer, algorithm_of, check_signature
from signing import der
from signing.der import CONTEXT_0, GENERALIZED_TIME, OCTET_STRING, OID, SEQUENCE, SET, UTC_TIME, Reader
from signing.errors import CmsMalformed, DigestMismatch, SignerUnfit

MAX_SIZE: Final = 64 * 1024
MAX_CERTIFICATES: Final = 8
MAX_SIGNERS: Final = 4


class Scheme(StrEnum):
    """How a signature value is made; our own files have the first two."""

    ECDSA = "ecdsa"
    RSA_PKCS1 = "rsa-pkcs1"
    RSA_PSS = "rsa-pss"


@dataclass(frozen=True, slots=True)
class CadesSignerInfo:
    """One signer of a signature file, read but not checked.

    ``signed_attributes`` are the exact bytes the signature covers (with the tag
    SET that RFC 5652 §5.4 asks for); ``raw`` is the SignerInfo as it stands in
    the file. ``certificate`` is in the file and is the one that the signed
    attributes bind by its hash. ``signing_time`` is the signer's claim; only a foreign
    file may lack it, or have attributes that bind no certificate (``bound``
    False). ``salt_length`` belongs to RSA-PSS.
    """

    certificate: x509.Certificate
    public_key: PublicKey
    digest_algorithm: str
    scheme: Scheme
    signing_time: datetime | None
    message_digest: bytes
    signed_attributes: bytes
    signature: bytes
    raw: bytes
    salt_length: int | None = None
    bound: bool = True


@dataclass(frozen=True, slots=True)
class Cades:
    """A signature file: its exact bytes, the certificates in it and its signers, both in file order."""

    raw: bytes
    certificates: tuple[x509.Certificate, ...]
    signers: tuple[CadesSignerInfo, ...]


# --- the profile's constants, each in its one spelling

_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_DATA = der.oid("1.2.840.113549.1.7.1")
_VERSION_1 = der.integer(1)
_NO_CONTENT = der.sequence(_DATA)

_CONTENT_TYPE = der.oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.oid("1.2.840.113549.1.9.4")
_SIGNING_TIME = der.oid("1.2.840.113549.1.9.5")
_SIGNING_CERTIFICATE_V2 = der.oid("1.2.840.113549.1.9.16.2.47")
_CONTENT_TYPE_ATTRIBUTE = der.sequence(_CONTENT_TYPE, der.set_of([_DATA]))


@dataclass(frozen=True, slots=True)
class _Suite:
    """The algorithm identifiers that go with a key (RFC 5754: no parameters but RSA's NULL)."""

    hash_name: str
    scheme: Scheme
    digest: bytes
    signature: bytes


_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
_SHA384 = der.sequence(der.oid("2.16.840.1.101.3.4.2.2"))
# Ed25519 is missing on purpose: OpenSSL 3.0 cannot check it in CMS (FORMATS §1).
_SUITES = {
    Algorithm.ECDSA_P256_SHA256: _Suite(
        "sha256", Scheme.ECDSA, _SHA256, der.sequence(der.oid("1.2.840.10045.4.3.2"))
    ),
    Algorithm.ECDSA_P384_SHA384: _Suite(
        "sha384", Scheme.ECDSA, _SHA384, der.sequence(der.oid("1.2.840.10045.4.3.3"))
    ),
    Algorithm.RSA_SHA256: _Suite(
        "sha256",
        Scheme.RSA_PKCS1,
        _SHA256,
        der.sequence(der.oid("1.2.840.113549.1.1.11"), der.encode(der.NULL, b"")),
    ),
}


@dataclass(frozen=True, slots=True)
class _Member:
    """A certificate and what the profile derives from it; computed once per certificate, not per file."""

    certificate: x509.Certificate
    public_key: PublicKey | None
    suite: _Suite | None
    sid: bytes
    binding: bytes
    binding_with_issuer: bytes


@lru_cache(maxsize=1024)
def _member(certificate_der: bytes) -> _Member:
    """Load a certificate.

    The cache is keyed by all of its bytes and holds nothing but what follows
    from them, so it can answer no question wrongly; 1024 of at most 64 KiB.
    """
    try:
        certificate = load_certificate(certificate_der)
    except CertificateMalformed as error:
        raise CmsMalformed(f"a certificate in it cannot be read: {error}") from None
    suite: _Suite | None = None
    key: object = None
    try:
        key = certificate.public_key()
        suite = _SUITES.get(algorithm_of(key))
    except (KeyRefused, UnsupportedAlgorithm):
        # A CA of another kind may travel along; whether its path holds is not asked here.
        suite = None
    # RFC 5280 §4.1: version, serial number, signature algorithm, issuer.
    _, serial, _, issuer, *_ = read_sequence(read_sequence(certificate_der)[0])
    digest = der.octet_string(hashlib.sha256(certificate_der).digest())
    # IssuerSerial names the issuer by GeneralNames: one directoryName, explicitly tagged [4].
    issuer_serial = der.sequence(der.sequence(der.encode(der.CONTEXT_4, issuer)), serial)
    return _Member(
        certificate,
        key if suite is not None and isinstance(key, PublicKey) else None,
        suite,
        der.sequence(issuer, serial),
        _binding_attribute(digest),
        _binding_attribute(digest, issuer_serial),
    )


def _binding_attribute(*identifier: bytes) -> bytes:
    """signingCertificateV2 with one ESSCertIDv2; the hash is SHA-256, so DEFAULT leaves it out."""
    certificates = der.sequence(der.sequence(*identifier))
    return der.sequence(_SIGNING_CERTIFICATE_V2, der.set_of([der.sequence(certificates)]))


# --- making


class CadesSigner:
    """Makes signature files with one key; what does not change between two files is encoded once.

    ``certificates`` are the signer's own first, then its path without the
    anchor. Safe to use from several threads if the signer is.
    """

    __slots__ = ("_certificates", "_member", "_signer", "_suite")

    def __init__(self, signer: Signer, certificates: Sequence[x509.Certificate]) -> None:
        """Prepare to sign.

        Raises:
            SignerUnfit: a key of no suite (Ed25519), a first certificate that is
                not the key's, or not 1 to 8 different certificates.
        """
        encoded = [certificate.public_bytes(Encoding.DER) for certificate in certificates]
        if not 1 <= len(encoded) <= MAX_CERTIFICATES or len(set(encoded)) != len(encoded):
            raise SignerUnfit(f"1 to {MAX_CERTIFICATES} different certificates are needed")
        suite = _SUITES.get(signer.algorithm)
        if suite is None:
            raise SignerUnfit(f"{signer.algorithm.value} is not a suite of signature files")
        self._signer = signer
        self._suite = suite
        self._certificates = frozenset(encoded)
        self._member = _member(encoded[0])
        if self._member.suite is not suite or self._member.public_key != signer.public_key:
            raise SignerUnfit("the first certificate is not the key's")

    @property
    def certificate(self) -> x509.Certificate:
        """The signer's own certificate."""
        return self._member.certificate

    def sign(self, content: bytes, *, at: datetime) -> bytes:
        """A signature file over ``content``, claiming to be made ``at`` (whole seconds count)."""
        return self.sign_digest(hashlib.new(self._suite.hash_name, content).digest(), at=at)

    def sign_digest(self, digest: bytes, *, at: datetime) -> bytes:
        """A signature file over the content of this digest, which is that of the key's hash."""
        return _encode_file(self._certificates, [self._signer_info(digest, at)], [self._suite.digest])

    def cosign(self, signature: bytes, content: bytes, *, at: datetime) -> bytes:
        """Stand beside the signers of a signature file over the same content.

        Their SignerInfos and certificates are kept byte for byte. That they
        signed this content is checked; their signature values and paths are
        not: whoever cosigns has judged the file before.

        Raises:
            CmsMalformed: ``signature`` is not a signature file of the profile.
            DigestMismatch: one of its signers signed another content.
            SignerUnfit: this certificate has signed it already, or there is no room.
        """
        file = decode_cades(signature)
        for info in file.signers:
            check_digest(info, hashlib.new(info.digest_algorithm, content).digest())
            if info.certificate == self.certificate:
                raise SignerUnfit("this certificate has signed the file already")
        certificates = self._certificates.union(c.public_bytes(Encoding.DER) for c in file.certificates)
        if len(file.signers) == MAX_SIGNERS or len(certificates) > MAX_CERTIFICATES:
            raise SignerUnfit("the file has no room for another signer")
        digest = hashlib.new(self._suite.hash_name, content).digest()
        infos = [*(info.raw for info in file.signers), self._signer_info(digest, at)]
        digests = [_suite_of(info).digest for info in file.signers] + [self._suite.digest]
        return _encode_file(certificates, infos, digests)

    def _signer_info(self, digest: bytes, at: datetime) -> bytes:
        attributes = _attributes(digest, _encode_time(at), self._member.binding)
        signature = self._signer.sign(attributes)
        return _encode_signer(self._member, attributes, signature)


def _attributes(digest: bytes, time: bytes, binding: bytes) -> bytes:
    """The signed attributes, as hashed; ``time`` is encoded already."""
    return der.set_of(
        (
            _CONTENT_TYPE_ATTRIBUTE,
            der.sequence(_SIGNING_TIME, der.set_of([time])),
            der.sequence(_MESSAGE_DIGEST, der.set_of([der.octet_string(digest)])),
            binding,
        )
    )


def _encode_signer(member: _Member, attributes: bytes, signature: bytes) -> bytes:
    assert member.suite is not None
    return der.sequence(
        _VERSION_1,
        member.sid,
        member.suite.digest,
        # In the file the attributes bear [0]; the signature is over the same bytes as a SET.
        b"\xa0" + attributes[1:],
        member.suite.signature,
        der.octet_string(signature),
    )


def _encode_file(certificates: Iterable[bytes], infos: Iterable[bytes], digests: Iterable[bytes]) -> bytes:
    signed_data = der.sequence(
        _VERSION_1,
        der.set_of(set(digests)),
        _NO_CONTENT,
        der.set_of(certificates, tag=CONTEXT_0),
        der.set_of(infos),
    )
    return der.sequence(_SIGNED_DATA, der.encode(CONTEXT_0, signed_data))


def _encode_time(at: datetime) -> bytes:
    """RFC 5652 §11.3: UTCTime through 2049, GeneralizedTime from 2050; whole seconds, UTC."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    at = at.astimezone(UTC)
    digits = f"{at.year:04}{at.month:02}{at.day:02}{at.hour:02}{at.minute:02}{at.second:02}Z".encode()
    if 1950 <= at.year < 2050:
        return der.encode(UTC_TIME, digits[2:])
    return der.encode(GENERALIZED_TIME, digits)


# --- reading


def decode_cades(data: bytes, *, max_size: int = MAX_SIZE) -> Cades:
    """Read a signature file of the profile; nothing in it is checked against a content or a key yet.

    What you can rely on: encoding what was read gives the same bytes; every
    signer names exactly one certificate of the file and is bound to it by the
    signed attributes; no two signers share a certificate; ``digestAlgorithms``
    is the set of those used; each signature algorithm is the one its key has.

    What you cannot: certificates that no signer uses may stand in the file.
    No signature covers them; ``detached.py`` asks that each lie on a path.

    Raises:
        CmsMalformed: it departs from the profile, or is larger than ``max_size``.
    """
    if len(data) > max_size:
        raise CmsMalformed(f"it has {len(data)} bytes and {max_size} are allowed")
    file = Reader(data)
    info = file.enter(SEQUENCE)
    file.finish()
    _expect(info.element(OID), _SIGNED_DATA, "the content type")
    wrapped = info.enter(CONTEXT_0)
    info.finish()
    signed_data = wrapped.enter(SEQUENCE)
    wrapped.finish()
    _expect(signed_data.element(der.INTEGER), _VERSION_1, "the version")
    signed_data.element(SET)  # the digest algorithms, which must be those of the signers: see below
    _expect(signed_data.element(SEQUENCE), _NO_CONTENT, "the encapsulated content")
    certificates = list(signed_data.enter(CONTEXT_0).elements(SEQUENCE, most=MAX_CERTIFICATES))
    infos = list(signed_data.enter(SET).elements(SEQUENCE, most=MAX_SIGNERS))
    signed_data.finish()
    if not certificates or not infos:
        raise CmsMalformed("it has no certificate or no signer")

    members = [_member(certificate) for certificate in certificates]
    by_sid = {member.sid: member for member in members}
    if len(by_sid) != len(members):
        raise CmsMalformed("two certificates in it have the same issuer and serial number")
    signers = [_decode_signer(raw, by_sid) for raw in infos]
    if len({info.certificate for info in signers}) != len(signers):
        raise CmsMalformed("one certificate signs twice")
    # Sorted sets and digestAlgorithms are not looked at one by one: what the
    # encoder would have written for these parts must be what we were given.
    if _encode_file(certificates, infos, [_suite_of(info).digest for info in signers]) != data:
        raise CmsMalformed("its sets are not sorted, or its digest algorithms are not those of the signers")
    return Cades(data, tuple(member.certificate for member in members), tuple(signers))


def _decode_signer(raw: bytes, by_sid: dict[bytes, _Member]) -> CadesSignerInfo:
    fields = Reader(raw).enter(SEQUENCE)
    _expect(fields.element(der.INTEGER), _VERSION_1, "a signer's version")
    member = by_sid.get(fields.element(SEQUENCE))
    if member is None:
        raise CmsMalformed("a signer names a certificate that is not in the file")
    if member.suite is None or member.public_key is None:
        raise CmsMalformed("a signer's key is not one of a suite")
    _expect(fields.element(SEQUENCE), member.suite.digest, "a signer's digest algorithm")
    attributes = b"\x31" + fields.element(CONTEXT_0)[1:]
    _expect(fields.element(SEQUENCE), member.suite.signature, "a signer's signature algorithm")
    signature = fields.read(OCTET_STRING)
    fields.finish()  # unsigned attributes would stand here; the profile has none

    time, digest = _find_attributes(attributes)
    if len(digest) != hashlib.new(member.suite.hash_name).digest_size:
        raise CmsMalformed("the message digest has the wrong length")
    # Attributes of one spelling: rebuilt from time, digest and certificate they
    # are the same bytes, with or without an issuerSerial that is right.
    signing_time = _decode_time(time)
    if _attributes(digest, time, member.binding) != attributes and (
        _attributes(digest, time, member.binding_with_issuer) != attributes
    ):
        raise CmsMalformed("the signed attributes are not those of the profile for this certificate")
    return CadesSignerInfo(
        certificate=member.certificate,
        public_key=member.public_key,
        digest_algorithm=member.suite.hash_name,
        scheme=member.suite.scheme,
        signing_time=signing_time,
        message_digest=digest,
        signed_attributes=attributes,
        signature=signature,
        raw=raw,
    )


def _find_attributes(attributes: bytes) -> tuple[bytes, bytes]:
    """The signing time as encoded, and the message digest; the caller compares everything else."""
    time: bytes | None = None
    digest: bytes | None = None
    for attribute in Reader(attributes).enter(SET).elements(SEQUENCE, most=4):
        fields = Reader(attribute).enter(SEQUENCE)
        kind = fields.element(OID)
        if kind == _SIGNING_TIME:
            values = fields.enter(SET)
            time = values.element(UTC_TIME if values.peek() == UTC_TIME else GENERALIZED_TIME)
        elif kind == _MESSAGE_DIGEST:
            digest = fields.enter(SET).read(OCTET_STRING)
    if time is None or digest is None:
        raise CmsMalformed("a signed attribute of the profile is missing")
    return time, digest


def _decode_time(element: bytes) -> datetime:
    """The inverse of ``_encode_time``; no other spelling is read."""
    digits = element[2:]
    if element[0] == UTC_TIME:
        digits = (b"19" if digits >= b"50" else b"20") + digits
    if len(digits) != 15 or not digits[:14].isdigit():
        raise CmsMalformed("the signing time is not in whole seconds of UTC")
    try:
        time = datetime(
            int(digits[:4]), int(digits[4:6]), int(digits[6:8]),
            int(digits[8:10]), int(digits[10:12]), int(digits[12:14]), tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        raise CmsMalformed("the signing time is no time") from None
    if _encode_time(time) != element:
        raise CmsMalformed("the signing time is not spelt as RFC 5652 wants it")
    return time


def _expect(found: bytes, wanted: bytes, what: str) -> None:
    if found != wanted:
        raise CmsMalformed(f"{what} is not that of the profile")


# --- checking


def check_signer(info: CadesSignerInfo, content_digest: bytes) -> None:
    """The signer's key signed the content of this digest. Nothing is said about whose key it is.

    (1) The signed digest is that of the content.
    (2) The signature value fits the signed attributes and the certificate's key.

    Raises:
        DigestMismatch: (1) fails; the content is another.
        SignatureInvalid: (2) fails.
    """
    check_digest(info, content_digest)  # (1)
    check_signature_value(info)  # (2)


def check_digest(info: CadesSignerInfo, content_digest: bytes) -> None:
    """The signed digest is ``content_digest``, made with ``info.digest_algorithm``.

    Raises:
        DigestMismatch: it is not.
    """
    # Neither side is a secret; equality in constant time would promise something that is not needed.
    if info.message_digest != content_digest:
        raise DigestMismatch(expected=info.message_digest, actual=content_digest)


def check_signature_value(info: CadesSignerInfo) -> None:
    """The signature value fits the signed attributes and the certificate's key.

    Raises:
        SignatureInvalid: it does not, or the key is not one for this scheme.
    """
    if info.scheme is Scheme.RSA_PSS:
        _check_pss(info)
        return
    algorithm = algorithm_of(info.public_key)
    # The scheme comes from the file, the algorithm from the key: they must say the same.
    if (algorithm is Algorithm.RSA_SHA256) != (info.scheme is Scheme.RSA_PKCS1):
        raise SignatureInvalid(detail="the signature is of another kind than the key")
    check_signature(
        info.public_key,
        info.signature,
        info.signed_attributes,
        algorithm=algorithm,
        hash_name=info.digest_algorithm,
    )


_PSS_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def _check_pss(info: CadesSignerInfo) -> None:
    hash_algorithm = _PSS_HASHES.get(info.digest_algorithm)
    if (
        not isinstance(info.public_key, rsa.RSAPublicKey)
        or hash_algorithm is None
        or info.salt_length is None
    ):
        raise SignatureInvalid(detail="the signature is of another kind than the key")
    pss = padding.PSS(padding.MGF1(hash_algorithm), info.salt_length)
    try:
        info.public_key.verify(info.signature, info.signed_attributes, pss, hash_algorithm)
    except InvalidSignature:
        raise SignatureInvalid(detail="it does not fit the key and the content") from None


def _suite_of(info: CadesSignerInfo) -> _Suite:
    return _SUITES[algorithm_of(info.public_key)]
