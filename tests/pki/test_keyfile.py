"""The encrypted key file, and what a changed byte does to it."""

from __future__ import annotations

import pytest

from pki.errors import KeyFileError, KeyFileMalformed, KeySecretWrong
from pki.keyfile import check_key_name, decode_key_file, derive_kek, encode_key_file
from pki.keys import Algorithm, SoftwareSigner

KEK = bytes(range(32))
NONCE = bytes(12)


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.value)
def test_key_survives_its_file(algorithm: Algorithm) -> None:
    signer = SoftwareSigner.generate(algorithm)
    data = encode_key_file(signer, kek=KEK, key_id="seal", purpose="unit-seal", nonce=NONCE)
    found = decode_key_file(data, KEK)
    assert (found.key_id, found.purpose) == ("seal", "unit-seal")
    assert found.signer.public_key == signer.public_key
    assert encode_key_file(found.signer, kek=KEK, key_id="seal", purpose="unit-seal", nonce=NONCE) == data
    assert signer.to_pkcs8() not in data


def test_every_flipped_bit_is_noticed() -> None:
    signer = SoftwareSigner.generate()
    data = encode_key_file(signer, kek=KEK, key_id="seal", purpose="unit-seal", nonce=NONCE)
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            with pytest.raises(KeyFileError):
                decode_key_file(bytes(changed), KEK)


def test_every_truncation_is_noticed() -> None:
    signer = SoftwareSigner.generate()
    data = encode_key_file(signer, kek=KEK, key_id="seal", purpose="unit-seal", nonce=NONCE)
    for length in range(len(data)):
        with pytest.raises(KeyFileError):
            decode_key_file(data[:length], KEK)


def test_wrong_kek_is_a_wrong_secret() -> None:
    data = encode_key_file(
        SoftwareSigner.generate(), kek=KEK, key_id="seal", purpose="unit-seal", nonce=NONCE
    )
    with pytest.raises(KeySecretWrong):
        decode_key_file(data, bytes(32))


def test_key_cannot_be_moved_to_another_name_or_purpose() -> None:
    signer = SoftwareSigner.generate()
    data = encode_key_file(signer, kek=KEK, key_id="seal", purpose="unit-seal", nonce=NONCE)
    for old, new in ((b'"seal"', b'"root"'), (b'"unit-seal"', b'"hub--seal"')):
        with pytest.raises(KeyFileError):
            decode_key_file(data.replace(old, new), KEK)


@pytest.mark.parametrize(
    "name", ["", "../seal", "a/b", ".seal", "seal.", "Seal", "a..b", "印", "a" * 65, "a\n"]
)
def test_name_that_is_no_file_name_everywhere_is_refused(name: str) -> None:
    with pytest.raises(KeyFileMalformed):
        check_key_name(name)


def test_kek_depends_on_secret_and_salt() -> None:
    keks = {derive_kek(secret, salt, 2**4) for secret in (b"a", b"b") for salt in (bytes(16), b"1" * 16)}
    assert len(keks) == 4
    for n in (0, 1, 3, 2**21):
        with pytest.raises(KeyFileMalformed):
            derive_kek(b"a", bytes(16), n)
