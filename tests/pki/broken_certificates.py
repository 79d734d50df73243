"""Certificates broken on purpose, each named by its defect, over a :class:`PkiWorld`.

    broken = make_broken(world, "leaf-without-key-usage")
    broken.der, broken.others, broken.trust, broken.expected

Everything but the defect is right: each is signed by the right key, within its period,
and answered for by a revocation list. ``load_certificate`` or ``check_path`` must
refuse each with ``expected``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pki.asn1 import encode_bit_string, encode_certificate, encode_sequence, read_sequence
from pki.errors import (
    AlgorithmRefused,
    CertificateExpired,
    CertificateMalformed,
    CertificateNotYetValid,
    CertificateRevoked,
    PathNotFound,
    PkiError,
    PurposeWrong,
    RevocationUnknown,
)
from pki.issue import new_serial
from pki.keys import Algorithm, SoftwareSigner, hash_of
from pki.names import unit_subject
from pki.path import HUB_EVIDENCE, TIME_STAMP, TLS_SERVER, UNIT_SEAL, Purpose, TrustStore
from pki.profile import DOCUMENT_SIGNING, HUB_EVIDENCE_POLICY, KEY_USAGES, UNIT_SEAL_POLICY
from tests.worlds.pki import NOW, Certifier, PkiWorld, a_unit_id

Extension = tuple[x509.ExtensionType, bool]

UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")

# Public keys that a modern library may not even make; from openssl 3.0 (ecparam, genrsa).
EXPLICIT_P256 = bytes.fromhex(
    "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff000000010000000000"
    "00000000000000ffffffffffffffffffffffff305b0420ffffffff00000001000000000000000000000000ffffffffffffff"
    "fffffffffc04205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b031500c49d360886e70493"
    "6a6678e1139d26b7819f7e900441046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342"
    "e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff00000000ffffffffffffffffbce6"
    "faada7179e84f3b9cac2fc6325510201010342000466117b0632f02f49484ae74ce95b86e7b4a8db007c649ebd77cdca3367"
    "c412be80c915146419fc9bdef18851ab690d17fc4375c1648056adb7266440332420fb"
)
P192 = bytes.fromhex(
    "3049301306072a8648ce3d020106082a8648ce3d0301010332000498b06b15941a7a8d4e04b8595ec71310e41d0b32563dd0"
    "4ffa2e96df337420fb6cf9ac16762a098414e981b50ca81ea6"
)


@dataclass(frozen=True)
class Broken:
    """A certificate with one defect, and what it is judged with."""

    der: bytes
    others: tuple[x509.Certificate, ...]
    trust: TrustStore
    purpose: Purpose
    expected: type[PkiError]


_Made = tuple[x509.Certificate | bytes, Iterable[x509.Certificate], TrustStore | None, Purpose]
_MAKERS: dict[str, tuple[type[PkiError], Callable[[PkiWorld], _Made]]] = {}


def names_of_broken() -> list[str]:
    """Every defect there is."""
    return sorted(_MAKERS)


def make_broken(world: PkiWorld, name: str) -> Broken:
    """The certificate with this defect."""
    expected, maker = _MAKERS[name]
    made, others, trust, purpose = maker(world)
    der = made if isinstance(made, bytes) else encode_certificate(made)
    return Broken(der, tuple(others), trust or world.trust(), purpose, expected)


# --- forging ----------------------------------------------------------------------------------


def usage(*names: str) -> Extension:
    """A critical key usage with these bits."""
    bits = {name: name in names for name in KEY_USAGES}
    return (x509.KeyUsage(**bits, encipher_only=False, decipher_only=False), True)


def extended(*oids: ObjectIdentifier, critical: bool = False) -> Extension:
    """An extended key usage."""
    return (x509.ExtendedKeyUsage(oids), critical)


def policies(*oids: ObjectIdentifier) -> Extension:
    """Certificate policies."""
    return (x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in oids]), False)


def basic(ca: bool, path_length: int | None = None) -> Extension:
    """Critical basic constraints."""
    return (x509.BasicConstraints(ca, path_length), True)


def names(*values: str) -> Extension:
    """A subject alternative name of hosts."""
    return (x509.SubjectAlternativeName([x509.DNSName(value) for value in values]), False)


def forge(
    by: Certifier,
    *,
    signer: SoftwareSigner | None = None,
    key: object = None,
    begins: timedelta = timedelta(days=-10),
    ends: timedelta = timedelta(days=300),
    role: str = "seal",
    **changes: Extension | None,
) -> x509.Certificate:
    """A unit-seal certificate by this authority, with extensions replaced, added or (None) left out."""
    key = key or (signer or SoftwareSigner.generate()).public_key
    identifier = by.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(by.url)], None, None, None)
    extensions: dict[str, Extension | None] = {
        "basic": basic(False),
        "usage": usage("content_commitment"),
        "subject_key": (x509.SubjectKeyIdentifier.from_public_key(key), False),
        "authority_key": (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
        "extended": extended(DOCUMENT_SIGNING),
        "policies": policies(UNIT_SEAL_POLICY),
        "point": (x509.CRLDistributionPoints([point]), False),
    } | changes
    builder = (
        x509.CertificateBuilder()
        .subject_name(unit_subject(a_unit_id(77), "伪造单位", role))
        .issuer_name(by.certificate.subject)
        .public_key(key)
        .serial_number(new_serial())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
    )
    for extension in extensions.values():
        if extension is not None:
            builder = builder.add_extension(*extension)
    return builder.sign(by.signer.private_key, hash_of(by.signer.algorithm))


def forge_authority(
    world: PkiWorld,
    *,
    by: Certifier | None = None,
    signer: SoftwareSigner | None = None,
    role: str = "CA",
    **changes: Extension | None,
) -> Certifier:
    """An issuing authority for seals under the root, with extensions replaced, added or left out."""
    signer = signer or SoftwareSigner.generate()
    defaults: dict[str, Extension | None] = {
        "basic": basic(True, 0),
        "usage": usage("key_cert_sign", "crl_sign"),
    }
    certificate = forge(by or world.root, signer=signer, role=role, **(defaults | changes))
    return Certifier(certificate, signer, "http://crl.example.gov/forged.crl")


def self_signed(signer: SoftwareSigner, *extensions: Extension) -> Certifier:
    """A root with these extensions besides the necessary ones."""
    name = unit_subject(a_unit_id(78), "伪造根", "root")
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signer.public_key)
        .serial_number(new_serial())
        .not_valid_before(NOW - timedelta(days=100))
        .not_valid_after(NOW + timedelta(days=1000))
    )
    necessary = (
        basic(True),
        usage("key_cert_sign", "crl_sign"),
        (x509.SubjectKeyIdentifier.from_public_key(signer.public_key), False),
    )
    for extension in (*necessary, *extensions):
        builder = builder.add_extension(*extension)
    certificate = builder.sign(signer.private_key, hash_of(signer.algorithm))
    return Certifier(certificate, signer, "http://crl.example.gov/forged-root.crl")


def trusting(world: PkiWorld, *certifiers: Certifier, anchors: Iterable[Certifier] = ()) -> TrustStore:
    """The world's trust, with lists of further authorities and further anchors."""
    lists = [one.revocation_list(NOW - timedelta(hours=1)) for one in (*certifiers, *anchors)]
    return TrustStore.of(
        [world.root.certificate, *(one.certificate for one in anchors)],
        [one.certificate for one in world.certifiers[1:]],
        (*world.crls(), *lists),
    )


def rewritten(
    certificate: x509.Certificate,
    signer: SoftwareSigner,
    change: Callable[[list[bytes]], list[bytes]],
    *,
    algorithm: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """The certificate with its to-be-signed elements changed, signed again."""
    elements = change(list(read_sequence(read_sequence(encode_certificate(certificate))[0])))
    if algorithm is not None:
        elements[2] = algorithm
    to_be_signed = encode_sequence(*elements)
    signature = (sign or signer.sign)(to_be_signed)
    return encode_sequence(to_be_signed, elements[2], encode_bit_string(signature))


def replacing(old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """A change of bytes of one length in the extensions."""

    def change(elements: list[bytes]) -> list[bytes]:
        assert len(old) == len(new)
        assert elements[7].count(old) == 1
        return [*elements[:7], elements[7].replace(old, new)]

    return change


# --- the defects ------------------------------------------------------------------------------


def _leaf(
    name: str,
    expected: type[PkiError],
    *,
    purpose: Purpose = UNIT_SEAL,
    by: str = "seals",
    **changes: Extension | None,
) -> None:
    """A defect that is a matter of the leaf's extensions alone."""

    def make(world: PkiWorld) -> _Made:
        certifier: Certifier = getattr(world, by)
        return forge(certifier, **changes), [certifier.certificate], None, purpose

    _MAKERS[name] = (expected, make)


def _defect(
    name: str, expected: type[PkiError]
) -> Callable[[Callable[[PkiWorld], _Made]], Callable[[PkiWorld], _Made]]:
    def register(maker: Callable[[PkiWorld], _Made]) -> Callable[[PkiWorld], _Made]:
        _MAKERS[name] = (expected, maker)
        return maker

    return register


_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_ANY, _TIME = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.TIME_STAMPING

_leaf("leaf-without-key-usage", PurposeWrong, usage=None)
_leaf("leaf-with-digital-signature-only", PurposeWrong, usage=usage("digital_signature"))
_leaf("leaf-with-key-cert-sign", PurposeWrong, usage=usage("content_commitment", "key_cert_sign"))
_leaf("leaf-with-crl-sign", PurposeWrong, usage=usage("content_commitment", "crl_sign"))
_leaf("leaf-that-is-an-authority", PurposeWrong, basic=basic(True))
_leaf("leaf-with-client-auth-only", PurposeWrong, extended=extended(_CLIENT))
_leaf("leaf-with-client-auth-beside", PurposeWrong, extended=extended(DOCUMENT_SIGNING, _CLIENT))
_leaf("leaf-with-any-usage", PurposeWrong, extended=extended(_ANY))
_leaf("leaf-with-any-usage-beside", PurposeWrong, extended=extended(DOCUMENT_SIGNING, _ANY))
_leaf("leaf-without-extended-key-usage", PurposeWrong, extended=None)
_leaf("leaf-without-policy", PurposeWrong, policies=None)
_leaf("leaf-with-any-policy", PurposeWrong, policies=policies(ObjectIdentifier("2.5.29.32.0")))
_leaf("leaf-with-policy-of-unit-as-hub", PurposeWrong, purpose=HUB_EVIDENCE)
_leaf(
    "leaf-with-policy-of-hub-from-seals-authority",
    PurposeWrong,
    purpose=HUB_EVIDENCE,
    policies=policies(HUB_EVIDENCE_POLICY),
)
_leaf("leaf-sealing-by-tls-authority", PurposeWrong, by="tls")
_leaf("leaf-with-unknown-critical-extension", PurposeWrong, unknown=(UNKNOWN, True))
_leaf(
    "leaf-time-stamping-not-critical",
    PurposeWrong,
    by="time",
    purpose=TIME_STAMP,
    usage=usage("digital_signature"),
    extended=extended(_TIME),
)
_leaf(
    "leaf-time-stamping-not-alone",
    PurposeWrong,
    by="time",
    purpose=TIME_STAMP,
    usage=usage("digital_signature"),
    extended=extended(_TIME, DOCUMENT_SIGNING, critical=True),
)


@_defect("leaf-with-critical-authority-key-identifier", PurposeWrong)
def _critical_identifier(world: PkiWorld) -> _Made:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(world.seals.signer.public_key)
    leaf = forge(world.seals, authority_key=(identifier, True))
    return leaf, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-extension-twice", CertificateMalformed)
def _twice(world: PkiWorld) -> _Made:
    other = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.5"), b"\x05\x00")
    leaf = forge(world.seals, unknown=(UNKNOWN, False), more=(other, False))
    der = rewritten(leaf, world.seals.signer, replacing(b"\x06\x03\x2a\x03\x05", b"\x06\x03\x2a\x03\x04"))
    return der, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-expired", CertificateExpired)
def _expired(world: PkiWorld) -> _Made:
    leaf = forge(world.seals, ends=timedelta(seconds=-1))
    return leaf, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-not-yet-valid", CertificateNotYetValid)
def _early(world: PkiWorld) -> _Made:
    leaf = forge(world.seals, begins=timedelta(seconds=1))
    return leaf, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-secp256k1", AlgorithmRefused)
def _koblitz(world: PkiWorld) -> _Made:
    leaf = forge(world.seals, key=ec.generate_private_key(ec.SECP256K1()).public_key())
    return leaf, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-p521", AlgorithmRefused)
def _p521(world: PkiWorld) -> _Made:
    leaf = forge(world.seals, key=ec.generate_private_key(ec.SECP521R1()).public_key())
    return leaf, [world.seals.certificate], None, UNIT_SEAL


def _with_key(world: PkiWorld, key: bytes) -> _Made:
    der = rewritten(forge(world.seals), world.seals.signer, lambda e: [*e[:6], key, e[7]])
    return der, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-p192", AlgorithmRefused)
def _p192(world: PkiWorld) -> _Made:
    return _with_key(world, P192)


@_defect("leaf-with-explicit-curve", AlgorithmRefused)
def _explicit(world: PkiWorld) -> _Made:
    return _with_key(world, EXPLICIT_P256)


@_defect("leaf-with-rsa-1024", AlgorithmRefused)
def _small(world: PkiWorld) -> _Made:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    return forge(world.seals, key=key), [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-rsa-exponent-3", AlgorithmRefused)
def _exponent(world: PkiWorld) -> _Made:
    key = rsa.generate_private_key(public_exponent=3, key_size=2048).public_key()
    return forge(world.seals, key=key), [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-signed-with-sha1", AlgorithmRefused)
def _sha1(world: PkiWorld) -> _Made:
    key = world.seals.signer.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = rewritten(
        forge(world.seals),
        world.seals.signer,
        list,
        algorithm=bytes.fromhex("300906072a8648ce3d0401"),
        sign=lambda message: key.sign(message, ec.ECDSA(hashes.SHA1())),
    )
    return der, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-signed-with-md5", AlgorithmRefused)
def _md5(world: PkiWorld) -> _Made:
    certifier = forge_authority(world, signer=SoftwareSigner.generate(Algorithm.RSA_SHA256))
    key = certifier.signer.private_key
    assert isinstance(key, rsa.RSAPrivateKey)
    der = rewritten(
        forge(certifier),
        certifier.signer,
        list,
        algorithm=bytes.fromhex("300d06092a864886f70d0101040500"),
        sign=lambda message: key.sign(message, padding.PKCS1v15(), hashes.MD5()),
    )
    return der, [certifier.certificate], trusting(world, certifier), UNIT_SEAL


@_defect("leaf-with-two-algorithms-named", CertificateMalformed)
def _two_algorithms(world: PkiWorld) -> _Made:
    parts = read_sequence(encode_certificate(forge(world.seals)))
    der = encode_sequence(parts[0], bytes.fromhex("300a06082a8648ce3d040303"), parts[2])
    return der, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-foreign-signature", PathNotFound)
def _foreign(world: PkiWorld) -> _Made:
    leaf = forge(Certifier(world.seals.certificate, SoftwareSigner.generate(), world.seals.url))
    return leaf, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-of-unknown-root", PathNotFound)
def _unknown_root(world: PkiWorld) -> _Made:
    stranger = PkiWorld()
    leaf = forge(stranger.seals)
    return leaf, [stranger.seals.certificate, stranger.root.certificate], None, UNIT_SEAL


@_defect("leaf-issued-by-leaf", PurposeWrong)
def _by_leaf(world: PkiWorld) -> _Made:
    unit = world.unit()
    certifier = Certifier(unit.seal.certificate, unit.seal.signer, world.seals.url)
    trust = trusting(world, certifier)
    return forge(certifier), [unit.seal.certificate, world.seals.certificate], trust, UNIT_SEAL


@_defect("leaf-with-negative-serial", CertificateMalformed)
def _negative(world: PkiWorld) -> _Made:
    der = rewritten(forge(world.seals), world.seals.signer, lambda e: [e[0], b"\x02\x01\xff", *e[2:]])
    return der, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-with-trailing-octet", CertificateMalformed)
def _trailing(world: PkiWorld) -> _Made:
    return encode_certificate(forge(world.seals)) + b"\x00", [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-revoked-without-distribution-point", CertificateRevoked)
def _revoked(world: PkiWorld) -> _Made:
    leaf = forge(world.seals, point=None)
    world.revoke(leaf, NOW - timedelta(days=1))
    return leaf, [world.seals.certificate], None, UNIT_SEAL


@_defect("leaf-without-any-revocation-list", RevocationUnknown)
def _no_list(world: PkiWorld) -> _Made:
    trust = TrustStore.of([world.root.certificate], [], [world.root.revocation_list(NOW)])
    return forge(world.seals), [world.seals.certificate], trust, UNIT_SEAL


def _authority_defect(name: str, expected: type[PkiError], **changes: Extension | None) -> None:
    def make(world: PkiWorld) -> _Made:
        certifier = forge_authority(world, **changes)
        return forge(certifier), [certifier.certificate], trusting(world, certifier), UNIT_SEAL

    _MAKERS[name] = (expected, make)


_authority_defect("authority-without-basic-constraints", PurposeWrong, basic=None)
_authority_defect("authority-that-is-none", PurposeWrong, basic=basic(False))
_authority_defect("authority-without-key-usage", PurposeWrong, usage=None)
_authority_defect("authority-without-key-cert-sign", PurposeWrong, usage=usage("crl_sign"))
_authority_defect("authority-without-crl-sign", RevocationUnknown, usage=usage("key_cert_sign"))
_authority_defect("authority-for-servers", PurposeWrong, extended=extended(_SERVER))
_authority_defect("authority-of-another-policy", PurposeWrong, policies=policies(HUB_EVIDENCE_POLICY))
_authority_defect("authority-without-policy", PurposeWrong, policies=None)
_authority_defect("authority-with-unknown-critical-extension", PurposeWrong, unknown=(UNKNOWN, True))


@_defect("authority-ed25519", AlgorithmRefused)
def _edwards(world: PkiWorld) -> _Made:
    certifier = forge_authority(world, signer=SoftwareSigner.generate(Algorithm.ED25519))
    return forge(certifier), [certifier.certificate], trusting(world, certifier), UNIT_SEAL


@_defect("authority-revoked", CertificateRevoked)
def _authority_revoked(world: PkiWorld) -> _Made:
    certifier = forge_authority(world)
    world.revoke(certifier.certificate, NOW - timedelta(days=1))
    return forge(certifier), [certifier.certificate], trusting(world, certifier), UNIT_SEAL


@_defect("authority-below-path-length-zero", PurposeWrong)
def _too_long(world: PkiWorld) -> _Made:
    certifier = forge_authority(world, by=world.seals, role="sub CA")
    others = [certifier.certificate, world.seals.certificate]
    return forge(certifier), others, trusting(world, certifier), UNIT_SEAL


@_defect("root-with-unknown-critical-extension", PurposeWrong)
def _root_unknown(world: PkiWorld) -> _Made:
    root = self_signed(SoftwareSigner.generate(), (UNKNOWN, True))
    certifier = forge_authority(world, by=root)
    trust = trusting(world, certifier, anchors=[root])
    return forge(certifier), [certifier.certificate], trust, UNIT_SEAL


def _constrained(world: PkiWorld, constraints: x509.NameConstraints, name: str) -> _Made:
    certifier = forge_authority(
        world, constraints=(constraints, True), extended=extended(_SERVER), policies=None
    )
    leaf = forge(
        certifier,
        usage=usage("digital_signature"),
        extended=extended(_SERVER),
        policies=None,
        alternative=names(name),
    )
    return leaf, [certifier.certificate], trusting(world, certifier), TLS_SERVER


@_defect("name-outside-permitted-domain", PurposeWrong)
def _outside(world: PkiWorld) -> _Made:
    permitted = x509.NameConstraints([x509.DNSName("example.gov")], None)
    return _constrained(world, permitted, "hub.example.org")


@_defect("address-excluded-by-name-constraint", PurposeWrong)
def _address(world: PkiWorld) -> _Made:
    excluded = x509.NameConstraints(None, [x509.IPAddress(ipaddress.ip_network("0.0.0.0/0"))])
    certifier = forge_authority(world, constraints=(excluded, True), extended=extended(_SERVER))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = forge(
        certifier,
        usage=usage("digital_signature"),
        extended=extended(_SERVER),
        alternative=(address, False),
    )
    return leaf, [certifier.certificate], trusting(world, certifier), TLS_SERVER


@_defect("wildcard-name-over-excluded-host", PurposeWrong)
def _wildcard_name(world: PkiWorld) -> _Made:
    """CVE-2025-61727: ``*.example.gov`` includes the excluded ``secret.example.gov``."""
    excluded = x509.NameConstraints(None, [x509.DNSName("secret.example.gov")])
    return _constrained(world, excluded, "*.example.gov")


@_defect("name-constraint-with-wildcard", PkiError)
def _wildcard_constraint(world: PkiWorld) -> _Made:
    plain = forge_authority(
        world,
        constraints=(x509.NameConstraints([x509.DNSName("x.example.gov")], None), True),
        extended=extended(_SERVER),
    )
    der = rewritten(plain.certificate, world.root.signer, replacing(b"x.example.gov", b"*.example.gov"))
    certifier = Certifier(plain.certificate, plain.signer, plain.url)
    leaf = forge(
        certifier,
        usage=usage("digital_signature"),
        extended=extended(_SERVER),
        alternative=names("a.example.gov"),
    )
    broken = x509.load_der_x509_certificate(der)
    return leaf, [broken], trusting(world, certifier), TLS_SERVER
