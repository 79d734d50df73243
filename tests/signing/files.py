"""Signature files for the tests: good ones, and ways to take them apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki.keys import SoftwareSigner, hash_of
from signing import der
from signing.cms import CadesSigner
from signing.der import CONTEXT_0, SEQUENCE, SET, Reader
from signing.detached import DigestOf
from tests.worlds.pki import NOW, Credential

CONTENT = '{"title":"关于…的通知","version":1}'.encode()
ID_DATA = "1.2.840.113549.1.7.1"
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))


def digest_of(content: bytes = CONTENT) -> DigestOf:
    """The content's digest by the hash that is asked for."""
    return lambda name: hashlib.new(name, content).digest()


def cades_signer(credential: Credential) -> CadesSigner:
    return CadesSigner(credential.signer, credential.chain)


def signed(credential: Credential, content: bytes = CONTENT) -> bytes:
    return cades_signer(credential).sign(content, at=NOW)


def parts(file: bytes) -> tuple[bytes, bytes, bytes, list[bytes], list[bytes]]:
    """Version, digest algorithms, encapsulated content, certificates and SignerInfos, each as encoded."""
    info = Reader(file).enter(SEQUENCE)
    info.element(der.OID)
    data = info.enter(CONTEXT_0).enter(SEQUENCE)
    return (
        data.element(der.INTEGER),
        data.element(SET),
        data.element(SEQUENCE),
        list(data.enter(CONTEXT_0).elements(SEQUENCE, most=99)),
        list(data.enter(SET).elements(SEQUENCE, most=99)),
    )


def assembled(
    file: bytes,
    *,
    kind: str = "1.2.840.113549.1.7.2",
    version: bytes | None = None,
    digests: bytes | None = None,
    encapsulated: bytes | None = None,
    certificates: Sequence[bytes] | None = None,
    infos: Sequence[bytes] | None = None,
    behind: bytes = b"",
) -> bytes:
    """The file with some of its parts replaced; what is given is taken in the order given."""
    old_version, old_digests, old_encapsulated, old_certificates, old_infos = parts(file)
    data = der.sequence(
        old_version if version is None else version,
        old_digests if digests is None else digests,
        old_encapsulated if encapsulated is None else encapsulated,
        der.encode(CONTEXT_0, b"".join(old_certificates if certificates is None else certificates)),
        der.encode(SET, b"".join(old_infos if infos is None else infos)),
        behind,
    )
    return der.sequence(der.oid(kind), der.encode(CONTEXT_0, data))


def attribute(dotted: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(dotted), der.encode(SET, b"".join(values)))


def attributes_of(file: bytes) -> dict[str, bytes]:
    """The signed attributes of a file's only signer, by a short name, as encoded."""
    _, _, _, _, (info,) = parts(file)
    fields = Reader(info).enter(SEQUENCE)
    fields.element(der.INTEGER)
    fields.element(SEQUENCE)
    fields.element(SEQUENCE)
    found = {}
    names = {
        der.oid("1.2.840.113549.1.9.3"): "content-type",
        der.oid("1.2.840.113549.1.9.4"): "message-digest",
        der.oid("1.2.840.113549.1.9.5"): "signing-time",
        der.oid("1.2.840.113549.1.9.16.2.47"): "signing-certificate",
    }
    for one in fields.enter(CONTEXT_0).elements(SEQUENCE, most=9):
        found[names[Reader(one).enter(SEQUENCE).element(der.OID)]] = one
    return found


def signer_info(
    signer: SoftwareSigner,
    certificate: x509.Certificate,
    attributes: Iterable[bytes],
    *,
    version: int = 1,
    digest: bytes = SHA256,
    signature_algorithm: bytes = ECDSA_SHA256,
    unsigned: bytes = b"",
    ordered: bool = True,
) -> bytes:
    """A SignerInfo over any attributes, rightly signed by the key."""
    listed = list(attributes)
    body = b"".join(sorted(listed) if ordered else listed)
    return der.sequence(
        der.integer(version),
        der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number)),
        digest,
        der.encode(CONTEXT_0, body),
        signature_algorithm,
        der.octet_string(signer.sign(der.encode(SET, body))),
        unsigned,
    )


def resigned(credential: Credential, file: bytes, attributes: Iterable[bytes], **options: object) -> bytes:
    """The file with its SignerInfo made anew over these attributes."""
    info = signer_info(credential.signer, credential.certificate, attributes, **options)  # type: ignore[arg-type]
    return assembled(file, infos=[info])


def encoded(*certificates: x509.Certificate) -> list[bytes]:
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]


def flips(data: bytes, *masks: int) -> Iterable[tuple[int, bytes]]:
    """Every file that differs in one byte, by each mask."""
    for position in range(len(data)):
        for mask in masks:
            changed = bytearray(data)
            changed[position] ^= mask
            yield position, bytes(changed)


def stranger(signer: SoftwareSigner, *, name: str = "某单位") -> Credential:
    """A self-signed certificate for any key that ``cryptography`` can sign with, of no profile of ours."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(signer.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=300))
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=True, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(signer.public_key), critical=False)
    )  # fmt: skip
    certificate = builder.sign(signer.private_key, hash_of(signer.algorithm))
    return Credential(signer, certificate, ())
