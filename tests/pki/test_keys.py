"""Which keys are accepted, and what their signatures are worth."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519

from pki.errors import KeyRefused, SignatureInvalid
from pki.keys import (
    Algorithm,
    SoftwareSigner,
    check_public_key,
    check_signature,
    decode_public_key,
    encode_public_key,
)
from tests.pki.broken_certificates import EXPLICIT_P256, P192


@pytest.fixture(scope="module", params=list(Algorithm), ids=lambda algorithm: algorithm.value)
def signer(request: pytest.FixtureRequest) -> SoftwareSigner:
    return SoftwareSigner.generate(request.param)


def test_signature_fits_key_and_message(signer: SoftwareSigner) -> None:
    signature = signer.sign(b"message")
    check_signature(signer.public_key, signature, b"message", algorithm=signer.algorithm)


def test_changed_message_or_signature_is_invalid(signer: SoftwareSigner) -> None:
    signature = signer.sign(b"message")
    with pytest.raises(SignatureInvalid):
        check_signature(signer.public_key, signature, b"massage", algorithm=signer.algorithm)
    for position in range(len(signature)):
        changed = bytearray(signature)
        changed[position] ^= 1
        with pytest.raises(SignatureInvalid):
            check_signature(signer.public_key, bytes(changed), b"message", algorithm=signer.algorithm)


def test_empty_and_lengthened_signatures_are_invalid(signer: SoftwareSigner) -> None:
    for signature in (b"", signer.sign(b"message") + b"\x00"):
        with pytest.raises(SignatureInvalid):
            check_signature(signer.public_key, signature, b"message", algorithm=signer.algorithm)


def test_algorithm_is_the_readers_choice_not_the_messages(signer: SoftwareSigner) -> None:
    signature = signer.sign(b"message")
    for other in Algorithm:
        if other is not signer.algorithm:
            with pytest.raises(SignatureInvalid):
                check_signature(signer.public_key, signature, b"message", algorithm=other)


def test_weak_hash_is_refused(signer: SoftwareSigner) -> None:
    for hash_name in ("sha1", "md5", "sha224"):
        with pytest.raises(SignatureInvalid):
            check_signature(
                signer.public_key, b"", b"message", algorithm=signer.algorithm, hash_name=hash_name
            )


def test_private_key_survives_its_encoding(signer: SoftwareSigner) -> None:
    again = SoftwareSigner.from_pkcs8(signer.to_pkcs8())
    assert again.public_key == signer.public_key
    assert again.algorithm is signer.algorithm


def test_public_key_survives_its_encoding(signer: SoftwareSigner) -> None:
    der = encode_public_key(signer.public_key)
    assert decode_public_key(der) == signer.public_key
    with pytest.raises(KeyRefused):
        decode_public_key(der + b"\x00")


def test_digest_goes_with_the_algorithm(signer: SoftwareSigner) -> None:
    lengths = {"sha256": 32, "sha384": 48, "sha512": 64}
    assert len(signer.algorithm.digest(b"")) == lengths[signer.algorithm.hash_name]


def test_signer_does_not_print_its_key() -> None:
    signer = SoftwareSigner.generate()
    assert repr(signer) == "SoftwareSigner(ecdsa-p256-sha256)"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.BrainpoolP256R1()).public_key(),
        serialization.load_der_public_key(P192),
        rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(),
        rsa.generate_private_key(public_exponent=3, key_size=2048).public_key(),
        dsa.generate_private_key(1024).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
    ],
    ids=["k1", "p521", "brainpool", "p192", "rsa-1024", "rsa-e3", "dsa", "ed448", "x25519"],
)
def test_other_keys_are_refused(key: object) -> None:
    with pytest.raises(KeyRefused):
        check_public_key(key)


def test_explicit_curve_parameters_are_refused_even_if_they_are_those_of_p256() -> None:
    """``cryptography`` loads such a key as a P-256 key (trap T8)."""
    check_public_key(serialization.load_der_public_key(EXPLICIT_P256))
    with pytest.raises(KeyRefused):
        decode_public_key(EXPLICIT_P256)


def test_something_else_is_no_private_key() -> None:
    for content in (b"", b"\x30\x00", ed448.Ed448PrivateKey.generate().private_bytes_raw()):
        with pytest.raises(KeyRefused):
            SoftwareSigner.from_pkcs8(content)
