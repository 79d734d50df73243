"""The CMS of a PDF seal, read strictly and fast; whatever is unusual goes to the lenient reader.

Nearly every seal met is of one shape, and it is read here in a fraction of a
millisecond. Each byte that the signature does not cover has one value that it can
have, but for the two spellings of RSA (rsaEncryption, sha256WithRSAEncryption): they
mean the same, and only the attribute of RFC 6211 tells which one was signed. Our own
seals have it.

    ContentInfo signedData
      version 1, one digest algorithm, id-data without content
      certificates   1 to 8
      one SignerInfo of version 1, by issuer and serial number
        signedAttrs  contentType, messageDigest, signingCertificateV2, and others
        ECDSA or RSA PKCS #1 v1.5, with SHA-256, SHA-384 or SHA-512
        unsignedAttrs  one signature time stamp, or none

RFC 5652, RFC 5035, RFC 5754, RFC 6211.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from pki.asn1 import encode_certificate, load_certificate
from pki.errors import CertificateMalformed, KeyRefused
from pki.facts import facts_of
from pki.keys import Algorithm, PublicKey, algorithm_of
from pki.text import Text
from signing import der
from signing.cms import CadesSignerInfo, Scheme
from signing.der import CONTEXT_0, CONTEXT_1, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Reader
from signing.errors import CmsMalformed
from signing.foreign import decode_foreign
from signing.timestamp import signature_time_stamp

MAX_CERTIFICATES: Final = 8
MAX_ATTRIBUTES: Final = 16


@dataclass(frozen=True, slots=True)
class PdfCms:
    """A seal's CMS, read but not checked.

    ``time_stamp`` is the token among its unsigned attributes. ``unchecked`` names
    parts that might be changed unnoticed; there are none in the usual shape.
    """

    signer: CadesSignerInfo
    certificates: tuple[x509.Certificate, ...]
    time_stamp: bytes | None
    unchecked: tuple[Text, ...]


_NULL = b"\x05\x00"
_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_DATA = der.oid("1.2.840.113549.1.7.1")
_DETACHED = der.sequence(_DATA)
_VERSION_1 = der.integer(1)
_CONTENT_TYPE = der.oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.oid("1.2.840.113549.1.9.4")
_SIGNING_TIME = der.oid("1.2.840.113549.1.9.5")
_SIGNING_CERTIFICATE_V2 = der.oid("1.2.840.113549.1.9.16.2.47")
_ALGORITHM_PROTECTION = der.oid("1.2.840.113549.1.9.52")
_SIGNATURE_TIME_STAMP = "1.2.840.113549.1.9.16.2.14"

_DIGESTS = {
    der.oid("2.16.840.1.101.3.4.2.1"): "sha256",
    der.oid("2.16.840.1.101.3.4.2.2"): "sha384",
    der.oid("2.16.840.1.101.3.4.2.3"): "sha512",
}
_RSA_ENCRYPTION = der.oid("1.2.840.113549.1.1.1")
_SIGNATURES = {
    der.oid("1.2.840.10045.4.3.2"): (Scheme.ECDSA, "sha256"),
    der.oid("1.2.840.10045.4.3.3"): (Scheme.ECDSA, "sha384"),
    der.oid("1.2.840.10045.4.3.4"): (Scheme.ECDSA, "sha512"),
    der.oid("1.2.840.113549.1.1.11"): (Scheme.RSA_PKCS1, "sha256"),
    der.oid("1.2.840.113549.1.1.12"): (Scheme.RSA_PKCS1, "sha384"),
    der.oid("1.2.840.113549.1.1.13"): (Scheme.RSA_PKCS1, "sha512"),
}


def read_pdf_cms(data: bytes) -> PdfCms:
    """Read the CMS of a seal.

    Raises:
        CmsMalformed, SignerUnknown, AlgorithmForbidden: as :func:`signing.foreign.decode_foreign`,
            and CmsMalformed where it is not one signer over a content outside.
    """
    try:
        return _read(data)
    except (CmsMalformed, CertificateMalformed, KeyRefused, UnsupportedAlgorithm):
        pass  # not of the usual shape: the lenient reader says what it is, or what is wrong with it
    foreign = decode_foreign(data)
    if len(foreign.cades.signers) != 1 or foreign.content is not None:
        raise CmsMalformed("a seal has one signer, over a content that is not inside")
    info = foreign.cades.signers[0]
    # The signature time stamp is no loose end: it is judged by itself.
    unchecked = [t for t in foreign.unchecked if dict(t.fields).get("kinds") != _SIGNATURE_TIME_STAMP]
    # ISO 32000-2, 12.8.3.3 asks for DER; BER has several spellings of one thing, and none is signed.
    unchecked += foreign.remarks
    token = signature_time_stamp(info.raw) if not unchecked else None
    return PdfCms(info, foreign.cades.certificates, token, tuple(unchecked))


def _read(data: bytes) -> PdfCms:
    outer = Reader(data)
    content_info = outer.enter(SEQUENCE)
    outer.finish()
    _expect(content_info.element(OID) == _SIGNED_DATA)
    wrapped = content_info.enter(CONTEXT_0)
    content_info.finish()
    signed = wrapped.enter(SEQUENCE)
    wrapped.finish()
    _expect(signed.element(INTEGER) == _VERSION_1)
    digests = signed.enter(SET)
    listed = _digest(digests.element(SEQUENCE))
    digests.finish()
    _expect(signed.element(SEQUENCE) == _DETACHED)
    encoded = list(signed.enter(CONTEXT_0).elements(SEQUENCE, most=MAX_CERTIFICATES))
    certificates = tuple(load_certificate(one) for one in encoded)
    _expect(len(set(certificates)) == len(certificates))
    infos = signed.enter(SET)
    signed.finish()
    raw = infos.element(SEQUENCE)
    infos.finish()
    info = _read_signer(raw, certificates)
    _expect(info.digest_algorithm == listed)
    return PdfCms(info, certificates, signature_time_stamp(raw), ())


def _read_signer(raw: bytes, certificates: tuple[x509.Certificate, ...]) -> CadesSignerInfo:
    fields = Reader(raw).enter(SEQUENCE)
    _expect(fields.element(INTEGER) == _VERSION_1)
    sid = fields.enter(SEQUENCE)
    issuer, serial = sid.element(SEQUENCE), sid.element(INTEGER)
    sid.finish()
    named = [
        one
        for one in certificates
        if facts_of(one).issuer == issuer and der.integer(one.serial_number) == serial
    ]
    _expect(len(named) == 1)
    certificate = named[0]
    key = certificate.public_key()
    algorithm = algorithm_of(key)
    _expect(isinstance(key, PublicKey) and algorithm is not Algorithm.ED25519)
    assert isinstance(key, PublicKey)
    digest_identifier = fields.element(SEQUENCE)
    digest = _digest(digest_identifier)
    attributes = b"\x31" + fields.element(CONTEXT_0)[1:]
    signature_identifier = fields.element(SEQUENCE)
    scheme = _scheme(signature_identifier, digest)
    _expect((scheme is Scheme.RSA_PKCS1) == (algorithm is Algorithm.RSA_SHA256))
    signature = fields.read(OCTET_STRING)

    found = _attributes(attributes)
    _expect(found.get(_CONTENT_TYPE) == _DATA)
    # The claimed signing time is left to the lenient reader: in PAdES it must not be there.
    _expect(_SIGNING_TIME not in found)
    message_digest = Reader(found.get(_MESSAGE_DIGEST, b"")).read(OCTET_STRING)
    _check_binding(found.get(_SIGNING_CERTIFICATE_V2, b""), certificate)
    if _ALGORITHM_PROTECTION in found:
        _check_protection(found[_ALGORITHM_PROTECTION], digest_identifier, signature_identifier)
    return CadesSignerInfo(
        certificate=certificate,
        public_key=key,
        digest_algorithm=digest,
        scheme=scheme,
        signing_time=None,
        message_digest=message_digest,
        signed_attributes=attributes,
        signature=signature,
        raw=raw,
        bound=True,
    )


def _attributes(encoded: bytes) -> dict[bytes, bytes]:
    """The signed attributes by their types; each has one value and comes once."""
    found: dict[bytes, bytes] = {}
    for attribute in Reader(encoded).enter(SET).elements(SEQUENCE, most=MAX_ATTRIBUTES):
        fields = Reader(attribute).enter(SEQUENCE)
        kind = fields.element(OID)
        values = fields.enter(SET)
        fields.finish()
        tag = values.peek()
        _expect(tag is not None and kind not in found)
        assert tag is not None
        found[kind] = values.element(tag)
        values.finish()
    return found


def _check_binding(attribute: bytes, certificate: x509.Certificate) -> None:
    """The first entry is the SHA-256 of the signer's certificate (RFC 5035 §3)."""
    first = Reader(attribute).enter(SEQUENCE).enter(SEQUENCE).enter(SEQUENCE)
    _expect(first.peek() == OCTET_STRING)  # SHA-256 is the default; another hash would stand before
    _expect(first.read(OCTET_STRING) == hashlib.sha256(encode_certificate(certificate)).digest())


def _check_protection(attribute: bytes, digest: bytes, signature: bytes) -> None:
    """The algorithms that were signed are the ones that stand outside (RFC 6211 §2)."""
    fields = Reader(attribute).enter(SEQUENCE)
    _expect(_digest(fields.element(SEQUENCE)) == _digest(digest))
    protected = fields.element(CONTEXT_1)
    fields.finish()
    _expect(protected[1:] == signature[1:])


def _digest(identifier: bytes) -> str:
    fields = Reader(identifier).enter(SEQUENCE)
    kind = fields.element(OID)
    _no_parameters(fields, needed=False)
    _expect(kind in _DIGESTS)
    return _DIGESTS[kind]


def _scheme(identifier: bytes, digest: str) -> Scheme:
    fields = Reader(identifier).enter(SEQUENCE)
    kind = fields.element(OID)
    scheme, hash_name = (
        (Scheme.RSA_PKCS1, digest) if kind == _RSA_ENCRYPTION else _SIGNATURES.get(kind, (None, None))
    )
    _expect(scheme is not None and hash_name == digest)
    assert scheme is not None
    if scheme is Scheme.ECDSA:
        fields.finish()
    else:
        _no_parameters(fields, needed=True)
    return scheme


def _no_parameters(fields: Reader, *, needed: bool) -> None:
    """NULL, or nothing where that is allowed."""
    if needed or fields.peek() is not None:
        _expect(fields.element(der.NULL) == _NULL)
    fields.finish()


def _expect(held: bool) -> None:
    if not held:
        raise CmsMalformed("it is not of the usual shape")
