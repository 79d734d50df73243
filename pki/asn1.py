"""The doorway to ASN.1: strict loading of certificates, and the little DER that we write ourselves.

Certificates come in through :func:`load_certificate` alone, so that whatever
passes it can be read afterwards without surprises: every field has been parsed
once, extensions included. Written here by hand are only the three outer wrappings
that let a :class:`pki.keys.Signer` sign what ``cryptography`` has built with a
throw-away key, and the frame of a certificate request.

ITU-T X.690 (DER), RFC 5280 §4.1. No meaning is judged here: a certificate that
loads may still be expired, forged or made for something else.
"""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import CertificateMalformed
from pki.keys import Algorithm

CERTIFICATE_LIMIT = 64 * 1024
PEM_LIMIT = 100
"""Certificates in one PEM file."""

INTEGER, BIT_STRING, SEQUENCE = 0x02, 0x03, 0x30

SIGNATURE_ALGORITHMS = {
    Algorithm.ECDSA_P256_SHA256: bytes.fromhex("300a06082a8648ce3d040302"),
    Algorithm.ECDSA_P384_SHA384: bytes.fromhex("300a06082a8648ce3d040303"),
    Algorithm.RSA_SHA256: bytes.fromhex("300d06092a864886f70d01010b0500"),
    Algorithm.ED25519: bytes.fromhex("300506032b6570"),
}
"""DER AlgorithmIdentifier of each algorithm (RFC 5758, 4055, 8410)."""

ACCEPTED_SIGNATURE_OIDS = frozenset(
    {
        "1.2.840.10045.4.3.2",  # ECDSA with SHA-256, SHA-384, SHA-512
        "1.2.840.10045.4.3.3",
        "1.2.840.10045.4.3.4",
        "1.2.840.113549.1.1.11",  # RSA PKCS #1 v1.5 with the same
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
        "1.3.101.112",  # Ed25519
    }
)
"""Signature algorithms that we accept in certificates, requests and revocation lists.

RSA-PSS is left out: its hash is a parameter of its own, and nobody we met needs it.
"""


class DerError(ValueError):
    """Not strict DER; callers turn it into their own malformed error."""


def read_tlv(data: bytes, start: int, end: int) -> tuple[int, int, int]:
    """Tag, first content octet and end of the element at ``start``.

    Definite, shortest lengths and one-octet tags only.

    Raises:
        DerError: anything else, or the element runs past ``end``.
    """
    if end - start < 2:
        raise DerError("it ends too early")
    tag, length = data[start], data[start + 1]
    content = start + 2
    if tag & 0x1F == 0x1F:
        raise DerError("a tag of several octets")
    if length >= 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4 or content + octets > end:
            raise DerError("a length of indefinite or absurd form")
        length = int.from_bytes(data[content : content + octets], "big")
        if length < 0x80 or length >> (8 * (octets - 1)) == 0:
            raise DerError("a length that is not the shortest")
        content += octets
    if content + length > end:
        raise DerError("it ends too early")
    return tag, content, content + length


def read_sequence(data: bytes) -> tuple[bytes, ...]:
    """The elements of the one SEQUENCE that ``data`` is, each with its tag and length.

    Raises:
        DerError: not exactly one SEQUENCE, or its elements do not fill it.
    """
    tag, position, end = read_tlv(data, 0, len(data))
    if tag != SEQUENCE or end != len(data):
        raise DerError("it is not exactly one SEQUENCE")
    elements = []
    while position < end:
        _, _, after = read_tlv(data, position, end)
        elements.append(data[position:after])
        position = after
    return tuple(elements)


def read_signed(data: bytes) -> tuple[bytes, bytes]:
    """What is signed and the algorithm named beside it, of a certificate, request or revocation list.

    The signature is whole octets: ``cryptography`` reads "one bit unused" over the same
    octets as the same signature, and one certificate would have two fingerprints.

    Raises:
        DerError: not exactly that frame.
    """
    parts = read_sequence(data)
    if len(parts) != 3:
        raise DerError("it has not three parts")
    tag, start, end = read_tlv(parts[2], 0, len(parts[2]))
    if tag != BIT_STRING or start == end or parts[2][start] != 0:
        raise DerError("its signature is not whole octets")
    return parts[0], parts[1]


def encode_tlv(tag: int, content: bytes) -> bytes:
    """One element."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def encode_sequence(*elements: bytes) -> bytes:
    """A SEQUENCE of elements that are encoded already."""
    return encode_tlv(SEQUENCE, b"".join(elements))


def encode_bit_string(content: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return encode_tlv(BIT_STRING, b"\x00" + content)


def encode_signed(to_be_signed: bytes, algorithm: Algorithm, signature: bytes) -> bytes:
    """The common frame of certificate, request and revocation list (X.509 SIGNED)."""
    return encode_sequence(to_be_signed, SIGNATURE_ALGORITHMS[algorithm], encode_bit_string(signature))


def encode_certificate(certificate: x509.Certificate) -> bytes:
    """The certificate's DER; the inverse of :func:`load_certificate`."""
    return certificate.public_bytes(Encoding.DER)


def load_certificate(der: bytes) -> x509.Certificate:
    """The certificate that exactly these bytes are.

    Strict: version 3, no octet beside it, serial number positive and of at most 20
    octets, both statements of the signature algorithm alike, no extension twice, every
    extension we know parsed, and encoding it again gives the same bytes. Keys of kinds
    that we do not know (SM2) load; :func:`pki.path.check_path` refuses them.

    Raises:
        CertificateMalformed: anything else; no other error leaves.
    """
    if len(der) > CERTIFICATE_LIMIT:
        raise CertificateMalformed(detail=f"larger than {CERTIFICATE_LIMIT} octets")
    # The same few certificates come with every seal; large ones are not worth the memory.
    return _load_remembered(der) if len(der) <= _REMEMBERED_SIZE else _load(der)


def _load(der: bytes) -> x509.Certificate:
    try:
        _check_frame(der)
        certificate = x509.load_der_x509_certificate(der)
        _read_everything(certificate)
    except CertificateMalformed:
        raise
    except Exception as error:
        # Not only ValueError: a hostile certificate has made the library raise TypeError,
        # KeyError and its own kinds as well (trap T12); all of them mean the same here.
        raise CertificateMalformed(detail=_short(error)) from error
    if encode_certificate(certificate) != der:
        raise CertificateMalformed(detail="it is not in DER: encoded again it is another")
    return certificate


_REMEMBERED_SIZE = 4096
_load_remembered = lru_cache(maxsize=4096)(_load)


def load_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a file: one in DER, or one to 100 in PEM.

    Each passes :func:`load_certificate`. Text around PEM blocks is allowed, other
    kinds of blocks are not: a key in a folder of certificates is somebody's mistake.

    Raises:
        CertificateMalformed: no certificate, too many, or one that is malformed.
    """
    try:
        blocks = pem_or_der(data, "CERTIFICATE")
    except DerError as error:
        raise CertificateMalformed(detail=str(error)) from error
    return tuple(load_certificate(der) for der in blocks)


_PEM_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]{0,16777216}?)-----END \1-----(?:\r?\n|$)"
)


def pem_or_der(data: bytes, label: str) -> tuple[bytes, ...]:
    """The DER of a file that is DER itself or holds PEM blocks of one kind.

    Raises:
        DerError: no block, too many, another kind, or not strict base64.
    """
    if data[:1] == b"\x30":
        return (data,)
    blocks = _PEM_BLOCK.findall(data)
    if not 1 <= len(blocks) <= PEM_LIMIT or len(blocks) != data.count(b"-----BEGIN "):
        raise DerError(f"neither DER nor 1 to {PEM_LIMIT} whole PEM blocks")
    found = []
    for kind, body in blocks:
        if kind.decode() != label:
            raise DerError(f"a PEM block of the kind {kind.decode()}, {label} expected")
        try:
            found.append(base64.b64decode(re.sub(rb"\r?\n", b"", body), validate=True))
        except binascii.Error as error:
            raise DerError("a PEM block that is not base64") from error
    return tuple(found)


def _check_frame(der: bytes) -> None:
    signed, algorithm = read_signed(der)
    to_be_signed = read_sequence(signed)
    if len(to_be_signed) < 7 or to_be_signed[0] != b"\xa0\x03\x02\x01\x02":
        raise DerError("not an X.509 certificate of version 3")
    tag, start, end = read_tlv(to_be_signed[1], 0, len(to_be_signed[1]))
    serial = to_be_signed[1][start:end]
    if tag != INTEGER or not 1 <= len(serial) <= 20 or serial[0] & 0x80 or serial == b"\x00":
        raise DerError("the serial number is not positive, or longer than 20 octets")
    # RFC 5280 §4.1.1.2: both must say the same; only the inner one is under the signature.
    if to_be_signed[2] != algorithm:
        raise DerError("two different signature algorithms are named")


def _read_everything(certificate: x509.Certificate) -> None:
    """Parse what the library would parse later, so that nothing raises after loading."""
    for extension in certificate.extensions:
        _ = extension.value
    for name in (certificate.subject, certificate.issuer):
        name.public_bytes()
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.signature
    _ = certificate.signature_algorithm_oid
    # Another suite's key (SM2, or a curve unknown here) is judged where the key is used.
    with suppress(UnsupportedAlgorithm):
        certificate.public_key()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
