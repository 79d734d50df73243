"""Requests for a certificate: only a proven, accepted key passes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki.errors import KeyRefused, PossessionNotProven, RequestMalformed, RequestRefused
from pki.keys import Algorithm, SoftwareSigner, encode_public_key
from pki.request import check_request, make_request
from tests.pki.broken_certificates import EXPLICIT_P256
from tests.tools import need


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.value)
def test_request_proves_possession(algorithm: Algorithm, tmp_path: Path) -> None:
    signer = SoftwareSigner.generate(algorithm)
    der = make_request(signer)
    assert check_request(der).public_key == signer.public_key
    (tmp_path / "request.der").write_bytes(der)
    judged = subprocess.run(
        [need("openssl"), "req", "-verify", "-noout", "-inform", "DER", "-in", tmp_path / "request.der"],
        capture_output=True,
        check=True,
    )
    assert b"OK" in judged.stdout + judged.stderr


def test_pem_is_read_as_well() -> None:
    signer = SoftwareSigner.generate()
    pem = x509.load_der_x509_csr(make_request(signer)).public_bytes(Encoding.PEM)
    assert check_request(pem).public_key == signer.public_key
    with pytest.raises(RequestMalformed):
        check_request(pem + pem)


def test_every_flipped_bit_is_refused() -> None:
    der = make_request(SoftwareSigner.generate())
    for position in range(len(der)):
        for bit in range(8):
            changed = bytearray(der)
            changed[position] ^= 1 << bit
            with pytest.raises((RequestRefused, KeyRefused)):
                check_request(bytes(changed))


def test_request_signed_by_another_key_proves_nothing() -> None:
    mine, other = SoftwareSigner.generate(), SoftwareSigner.generate()

    class Borrowed:
        algorithm = mine.algorithm
        public_key = other.public_key

        def sign(self, message: bytes) -> bytes:
            return mine.sign(message)

    with pytest.raises(PossessionNotProven):
        check_request(make_request(Borrowed()))


def test_subject_and_extensions_of_a_request_are_of_no_consequence() -> None:
    signer = SoftwareSigner.generate()
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "省人民政府")]))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(signer.private_key, hashes.SHA256())
    )
    request = check_request(csr.public_bytes(Encoding.DER))
    assert encode_public_key(request.public_key) == encode_public_key(signer.public_key)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
    ],
    ids=["secp256k1", "rsa-1024"],
)
def test_weak_key_is_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(KeyRefused):
        check_request(csr.public_bytes(Encoding.DER))


def test_explicit_curve_is_refused() -> None:
    signer = SoftwareSigner.generate()
    named = encode_public_key(signer.public_key)
    der = make_request(signer)
    # Same length field sizes are not needed: the frame is refused or the key is.
    with pytest.raises((RequestRefused, KeyRefused)):
        check_request(der.replace(named, EXPLICIT_P256))


def test_weak_hash_is_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA224())
    with pytest.raises(PossessionNotProven):
        check_request(csr.public_bytes(Encoding.DER))


def test_huge_or_empty_request_is_malformed() -> None:
    for data in (b"", b"\x30\x00", b"\x30" * 20000, b"-----BEGIN CERTIFICATE REQUEST-----\n"):
        with pytest.raises(RequestMalformed):
            check_request(data)
