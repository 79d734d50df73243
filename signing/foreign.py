"""Other people's CMS signatures, read leniently into the values of ``cms.py``.

Holds the reader for signature files that are not of our profile: made by
OpenSSL, pyHanko, an office suite; in BER, with RSA-PSS, with further signed
attributes, with the content inside (``.p7m``). It makes nothing, checks no
digest and no signature value (``cms.py`` does), and finds no signer outside
the file.

The strict reader is tried first, always; this one is slow and knows that not
every byte it passes over is signed. Whatever could be changed without any
check noticing is named in ``unchecked``, and a file with such a part is never
found valid.

RFC 5652, RFC 5035, RFC 4055. The one module of the CMS side that meets
asn1crypto. Two of its habits shape the code: its objects may encode anew what
has been looked into (a BOOLEAN 7f becomes ff, and a changed certificate its
old self), so every byte is cut out of the file before anything is
interpreted; and it raises what it likes on hostile input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asn1crypto import algos, cms, core, parser, tsp
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from pki.asn1 import DerError, encode_certificate, load_certificate, read_tlv
from pki.errors import CertificateMalformed, KeyRefused
from pki.keys import Algorithm, PublicKey, algorithm_of
from pki.text import N_, Text, text
from signing import der
from signing.cms import MAX_CERTIFICATES, MAX_SIGNERS, Cades, CadesSignerInfo, Scheme
from signing.der import CONTEXT_0, CONTEXT_1, INTEGER, OCTET_STRING, OID, SEQUENCE, SET
from signing.errors import AlgorithmForbidden, CmsMalformed, SignerUnknown, SigningError

MAX_SIZE: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 64
"""So many elements are read of one SEQUENCE or SET; a signature file needs a dozen."""

_BER = N_("it is not in strict DER")
_UNSIGNED = N_("unsigned attributes ({kinds}): no signature covers them")
_REVOCATION = N_(
    "revocation data inside the signature file: not used, and no signature of the file covers it"
)
_VERSION = N_("a version number that does not go with the content")
_DIGESTS = N_("a list of digest algorithms that is not that of the signers")
_PARAMETERS = N_("an algorithm identifier of unusual form ({kind})")


@dataclass(frozen=True, slots=True)
class ForeignCms:
    """A foreign signature file, read but not checked.

    ``content`` is what it carries inside, None when it is detached.
    ``remarks`` are departures from custom that change nothing; ``unchecked``
    names parts that might be changed unnoticed.
    """

    cades: Cades
    content: bytes | None
    remarks: tuple[Text, ...]
    unchecked: tuple[Text, ...]


def decode_foreign(data: bytes, *, max_size: int = MAX_SIZE) -> ForeignCms:
    """Read a CMS signature file of any maker.

    1 to 8 certificates, 1 to 4 signers, one level: a signature inside the
    content is content. Each signer must have signed attributes, in DER, with
    content type and message digest. A signingCertificateV2 attribute, where
    there is one, fits the signer's certificate; without one ``bound`` is False.

    Raises:
        CmsMalformed: not such a file, or larger than ``max_size``.
        SignerUnknown: a signer's certificate is not in it, or not the one its
            signed attributes bind.
        AlgorithmForbidden: SHA-1, Ed25519, a short RSA key, a scheme unknown to us.
    """
    if len(data) > max_size:
        raise CmsMalformed(f"it has {len(data)} bytes and {max_size} are allowed")
    try:
        return _decode(data)
    except SigningError:
        raise
    except Exception as error:
        # asn1crypto lets ValueError, TypeError, KeyError, AttributeError and
        # RecursionError out on hostile input (trap T12); all mean the same here.
        raise CmsMalformed(f"it cannot be read ({type(error).__name__})") from error


# --- cutting


class _Element:
    """One element of the file: its first octet, all of its bytes, and its contents."""

    __slots__ = ("contents", "raw", "tag")

    def __init__(self, tag: int, raw: bytes, contents: bytes) -> None:
        self.tag = tag
        self.raw = raw
        self.contents = contents


class _Fields:
    """The elements inside another one, taken from front to back."""

    __slots__ = ("_left",)

    def __init__(self, contents: bytes) -> None:
        self._left: list[_Element] = []
        at = 0
        while at < len(contents):
            if len(self._left) == MAX_ELEMENTS:
                raise CmsMalformed(f"more than {MAX_ELEMENTS} elements stand in one place")
            _, _, _, header, inner, trailer = parser.parse(contents[at:])
            raw = header + inner + trailer
            self._left.append(_Element(raw[0], raw, inner))
            at += len(raw)
        self._left.reverse()

    def take(self, *tags: int) -> _Element:
        """The next element, which bears one of these tags."""
        found = self.maybe(*tags)
        if found is None:
            raise CmsMalformed("an element is missing, or stands where it does not belong")
        return found

    def maybe(self, *tags: int) -> _Element | None:
        """The next element if it bears one of these tags."""
        return self._left.pop() if self._left and self._left[-1].tag in tags else None

    def rest(self, *tags: int) -> list[_Element]:
        """All that are left; each bears one of these tags."""
        found = []
        while self._left:
            found.append(self.take(*tags))
        return found

    def finish(self) -> None:
        """Nothing is left."""
        if self._left:
            raise CmsMalformed("an element stands where it does not belong")


def _only(contents: bytes, *tags: int) -> _Element:
    fields = _Fields(contents)
    found = fields.take(*tags)
    fields.finish()
    return found


def _dotted(element: _Element) -> str:
    dotted: str = core.ObjectIdentifier.load(element.raw).dotted
    return dotted


def _octets(element: _Element) -> bytes:
    """The octets of an OCTET STRING, joined where BER has cut it up."""
    return bytes(core.OctetString.load(element.raw, strict=True))


_CONSTRUCTED_OCTETS = 0x24
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_ID_DATA = "1.2.840.113549.1.7.1"


def _decode(data: bytes) -> ForeignCms:
    info = _Fields(_only(data, SEQUENCE).contents)
    if _dotted(info.take(OID)) != _SIGNED_DATA:
        raise CmsMalformed("it is not signed data")
    signed = _Fields(_only(info.take(CONTEXT_0).contents, SEQUENCE).contents)
    info.finish()
    version = signed.take(INTEGER)
    listed = _Fields(signed.take(SET).contents).rest(SEQUENCE)
    content_type, content = _content(signed.take(SEQUENCE))
    certificates = _certificates(signed.maybe(CONTEXT_0))
    revocation = signed.maybe(CONTEXT_1)
    infos = _Fields(signed.take(SET).contents).rest(SEQUENCE)
    signed.finish()
    if not 1 <= len(infos) <= MAX_SIGNERS:
        raise CmsMalformed(f"it has {len(infos)} signers; 1 to {MAX_SIGNERS} are read")

    unchecked: list[Text] = []
    versions: list[int] = []
    signers = tuple(_signer(one, certificates, content_type, versions, unchecked) for one in infos)
    # What follows is read by nobody and signed by nobody; it must be what it would have to be.
    if version.raw != der.integer(3 if 3 in versions or content_type != _ID_DATA else 1):
        unchecked.append(text(_VERSION))
    if {_digest_name(one, unchecked) for one in listed} != {one.digest_algorithm for one in signers}:
        unchecked.append(text(_DIGESTS))
    if revocation is not None:
        unchecked.append(text(_REVOCATION))
    remarks = () if _is_definite(data, 0, len(data)) else (text(_BER),)
    return ForeignCms(Cades(data, certificates, signers), content, remarks, tuple(dict.fromkeys(unchecked)))


def _content(encapsulated: _Element) -> tuple[str, bytes | None]:
    fields = _Fields(encapsulated.contents)
    content_type = _dotted(fields.take(OID))
    wrapped = fields.maybe(CONTEXT_0)
    fields.finish()
    if wrapped is None:
        return content_type, None
    return content_type, _octets(_only(wrapped.contents, OCTET_STRING, _CONSTRUCTED_OCTETS))


def _certificates(element: _Element | None) -> tuple[x509.Certificate, ...]:
    # Only X.509 certificates bear this tag; attribute certificates and other formats are refused.
    choices = [] if element is None else _Fields(element.contents).rest(SEQUENCE)
    if not choices:
        raise SignerUnknown("there is no certificate in the file")
    if len(choices) > MAX_CERTIFICATES:
        # The bound also keeps path building cheap: its cost grows with the factorial (trap T9).
        raise CmsMalformed(f"it has {len(choices)} certificates; {MAX_CERTIFICATES} are read")
    try:
        found = tuple(load_certificate(choice.raw) for choice in choices)
    except CertificateMalformed as error:
        raise CmsMalformed(f"a certificate in it cannot be read: {error}") from None
    if len(set(found)) != len(found):
        raise CmsMalformed("a certificate stands in it twice")
    return found


# --- one signer


def _signer(
    info: _Element,
    certificates: Sequence[x509.Certificate],
    content_type: str,
    versions: list[int],
    unchecked: list[Text],
) -> CadesSignerInfo:
    fields = _Fields(info.contents)
    version = fields.take(INTEGER)
    sid = fields.take(SEQUENCE, _KEY_IDENTIFIER)
    versions.append(1 if sid.tag == SEQUENCE else 3)
    if version.raw != der.integer(versions[-1]):
        unchecked.append(text(_VERSION))
    digest = _digest_name(fields.take(SEQUENCE), unchecked)
    signed = fields.maybe(CONTEXT_0)
    if signed is None:
        raise CmsMalformed("a signer has no signed attributes")
    scheme, salt_length = _scheme(fields.take(SEQUENCE), digest, unchecked)
    signature = _octets(fields.take(OCTET_STRING, _CONSTRUCTED_OCTETS))
    unsigned = fields.maybe(CONTEXT_1)
    fields.finish()
    if unsigned is not None:
        kinds = [
            _dotted(_Fields(one.contents).take(OID)) for one in _Fields(unsigned.contents).rest(SEQUENCE)
        ]
        unchecked.append(text(_UNSIGNED, kinds=", ".join(kinds)))

    # RFC 5652 §5.3: signed attributes are in DER even where the rest is not. Encoded
    # anew here, a changed byte might come out as the one that was signed.
    if not _is_definite(signed.contents, 0, len(signed.contents)):
        raise CmsMalformed("the signed attributes are not in DER")
    attributes = _attributes(signed)
    if _single(attributes, _CONTENT_TYPE, core.ObjectIdentifier).dotted != content_type:
        raise CmsMalformed("the signed content type is not that of the content")
    message_digest = bytes(_single(attributes, _MESSAGE_DIGEST, core.OctetString))
    certificate = _find_certificate(sid, certificates)
    return CadesSignerInfo(
        certificate=certificate,
        public_key=_public_key(certificate, scheme),
        digest_algorithm=digest,
        scheme=scheme,
        signing_time=_signing_time(attributes),
        message_digest=message_digest,
        signed_attributes=der.encode(SET, signed.contents),
        signature=signature,
        raw=info.raw,
        salt_length=salt_length,
        bound=_check_binding(attributes, certificate),
    )


_KEY_IDENTIFIER = 0x80


def _find_certificate(sid: _Element, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    if sid.tag == SEQUENCE:
        fields = _Fields(sid.contents)
        issuer, serial = fields.take(SEQUENCE).raw, fields.take(INTEGER).raw
        fields.finish()
        found = [
            one
            for one in certificates
            if one.issuer.public_bytes() == issuer and der.integer(one.serial_number) == serial
        ]
    else:
        found = [one for one in certificates if _key_identifier(one) == sid.contents]
    if len(found) != 1:
        raise SignerUnknown("the certificate that a signer names is not in the file")
    return found[0]


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _public_key(certificate: x509.Certificate, scheme: Scheme) -> PublicKey:
    try:
        key = certificate.public_key()
        algorithm = algorithm_of(key)
    except (KeyRefused, UnsupportedAlgorithm) as error:
        raise AlgorithmForbidden(str(error)) from None
    if algorithm is Algorithm.ED25519 or not isinstance(key, PublicKey):
        raise AlgorithmForbidden(algorithm.value)
    if (algorithm is Algorithm.RSA_SHA256) != (scheme is not Scheme.ECDSA):
        raise CmsMalformed("the signature is of another kind than the signer's key")
    return key


# --- algorithms

_NULL = b"\x05\x00"
_DIGESTS_READ = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_RSA_PSS = "1.2.840.113549.1.1.10"
_MGF1 = "1.2.840.113549.1.1.8"
# Scheme, and the hash where the identifier names it: rsaEncryption leaves that to digestAlgorithm.
_SCHEMES: dict[str, tuple[Scheme, str | None]] = {
    "1.2.840.113549.1.1.1": (Scheme.RSA_PKCS1, None),
    "1.2.840.113549.1.1.11": (Scheme.RSA_PKCS1, "sha256"),
    "1.2.840.113549.1.1.12": (Scheme.RSA_PKCS1, "sha384"),
    "1.2.840.113549.1.1.13": (Scheme.RSA_PKCS1, "sha512"),
    "1.2.840.10045.4.3.2": (Scheme.ECDSA, "sha256"),
    "1.2.840.10045.4.3.3": (Scheme.ECDSA, "sha384"),
    "1.2.840.10045.4.3.4": (Scheme.ECDSA, "sha512"),
}


def _digest_name(identifier: _Element, unchecked: list[Text]) -> str:
    dotted = _dotted(_Fields(identifier.contents).take(OID))
    if dotted not in _DIGESTS_READ:
        raise AlgorithmForbidden(f"digest {dotted}")
    _note_parameters(identifier, dotted, unchecked)
    return _DIGESTS_READ[dotted]


def _scheme(identifier: _Element, digest: str, unchecked: list[Text]) -> tuple[Scheme, int | None]:
    fields = _Fields(identifier.contents)
    dotted = _dotted(fields.take(OID))
    if dotted == _RSA_PSS:
        return Scheme.RSA_PSS, _salt_length(identifier, fields.take(SEQUENCE), digest, unchecked)
    if dotted not in _SCHEMES:
        raise AlgorithmForbidden(f"signature {dotted}")
    scheme, hash_name = _SCHEMES[dotted]
    # RFC 8933: content and attributes are digested alike; a signer with two hashes is as weak as the weaker.
    if hash_name not in (None, digest):
        raise CmsMalformed("a signer uses two different digests")
    _note_parameters(identifier, dotted, unchecked)
    return scheme, None


def _note_parameters(identifier: _Element, dotted: str, unchecked: list[Text]) -> None:
    """Parameters are absent or NULL; anything else means nothing to us and is signed by nobody."""
    plain = der.oid(dotted)
    if identifier.raw not in (der.sequence(plain), der.sequence(plain, _NULL)):
        unchecked.append(text(_PARAMETERS, kind=dotted))


def _salt_length(identifier: _Element, parameters: _Element, digest: str, unchecked: list[Text]) -> int:
    """RSASSA-PSS-params (RFC 4055 §3.1): one hash throughout, MGF1, trailer 1."""
    read = algos.RSASSAPSSParams.load(parameters.raw, strict=True)
    generator = read["mask_gen_algorithm"]
    hash_oid: str = read["hash_algorithm"]["algorithm"].dotted
    if generator["algorithm"].dotted != _MGF1:
        raise AlgorithmForbidden("RSA-PSS other than with MGF1")
    if {_DIGESTS_READ.get(hash_oid), _DIGESTS_READ.get(generator["parameters"]["algorithm"].dotted)} != {
        digest
    }:
        raise AlgorithmForbidden("RSA-PSS with another hash than the content's")
    length: int = read["salt_length"].native
    if not 0 <= length <= 1024:
        raise AlgorithmForbidden(f"RSA-PSS with a salt of {length} bytes")
    if identifier.raw not in _pss_spellings(hash_oid, length):
        unchecked.append(text(_PARAMETERS, kind=_RSA_PSS))
    return length


def _pss_spellings(hash_oid: str, salt_length: int) -> list[bytes]:
    """The identifier as it may stand: hashes without parameters or with NULL, defaults left out."""
    salt = der.encode(0xA2, der.integer(salt_length))
    plain = der.oid(hash_oid)
    hashes = (der.sequence(plain), der.sequence(plain, _NULL))
    return [
        der.sequence(
            der.oid(_RSA_PSS),
            der.sequence(
                der.encode(CONTEXT_0, first),
                der.encode(CONTEXT_1, der.sequence(der.oid(_MGF1), second)),
                salt,
            ),
        )
        for first in hashes
        for second in hashes
    ]


# --- signed attributes: every byte of them is signed, so a library may interpret them

_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_TIME = "1.2.840.113549.1.9.5"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"


def _attributes(signed: _Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for element in _Fields(signed.contents).rest(SEQUENCE):
        one = cms.CMSAttribute.load(element.raw, strict=True)
        kind: str = one["type"].dotted
        if kind in found:
            raise CmsMalformed("a signed attribute comes twice")
        found[kind] = one["values"]
    return found


def _single(attributes: dict[str, Any], kind: str, wanted: type[Any]) -> Any:
    values = attributes.get(kind)
    if values is None or len(values) != 1 or not isinstance(values[0], wanted):
        raise CmsMalformed(f"the signed attribute {kind} is missing or odd")
    return values[0]


def _signing_time(attributes: dict[str, Any]) -> datetime | None:
    if _SIGNING_TIME not in attributes:
        return None
    value = _single(attributes, _SIGNING_TIME, cms.Time).native
    if not isinstance(value, datetime):
        raise CmsMalformed("the signing time is no time")
    return value.astimezone(UTC)


def _check_binding(attributes: dict[str, Any], certificate: x509.Certificate) -> bool:
    """Whether signed attributes bind the signer's certificate by its hash (RFC 5035 §3)."""
    if _SIGNING_CERTIFICATE_V2 not in attributes:
        return False
    value = _single(attributes, _SIGNING_CERTIFICATE_V2, tsp.SigningCertificateV2)
    first = value["certs"][0]
    name = _DIGESTS_READ.get(first["hash_algorithm"]["algorithm"].dotted)
    if name is None:
        raise AlgorithmForbidden("the hash that binds the signer's certificate")
    if bytes(first["cert_hash"]) != hashlib.new(name, encode_certificate(certificate)).digest():
        raise SignerUnknown("the signed attributes bind another certificate")
    issuer_serial = first["issuer_serial"]
    # The hash has told which certificate it is; a serial number against it is a bad sign all the same.
    if not isinstance(issuer_serial, core.Void) and (
        issuer_serial["serial_number"].native != certificate.serial_number
    ):
        raise SignerUnknown("the signed attributes bind another serial number")
    return True


def _is_definite(data: bytes, start: int, end: int, depth: int = 0) -> bool:
    """Every element, down to the primitive ones, has a definite and shortest length."""
    if depth > MAX_DEPTH:
        raise CmsMalformed("it is nested too deeply")
    try:
        while start < end:
            tag, content, after = read_tlv(data, start, end)
            if tag & 0x20 and not _is_definite(data, content, after, depth + 1):
                return False
            start = after
    except DerError:
        return False
    return True
