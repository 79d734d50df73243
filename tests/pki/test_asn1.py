"""Strict loading of certificates: what loads is what was written, and nothing else raises."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.asn1 import (
    DerError,
    encode_certificate,
    load_certificate,
    load_certificates,
    read_sequence,
    read_tlv,
)
from pki.errors import CertificateMalformed, PathError
from pki.path import UNIT_SEAL, check_path
from tests.pki.broken_certificates import rewritten
from tests.worlds.pki import NOW, PkiWorld


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


def test_certificate_is_given_back_byte_for_byte(world: PkiWorld) -> None:
    der = encode_certificate(world.unit().seal.certificate)
    assert encode_certificate(load_certificate(der)) == der


def test_every_flipped_bit_is_malformed_or_no_path(world: PkiWorld) -> None:
    """Whatever a flipped bit does, it never leaves a certificate that is accepted."""
    unit = world.unit()
    der = encode_certificate(unit.seal.certificate)
    trust = world.trust()
    for position in range(len(der)):
        changed = bytearray(der)
        changed[position] ^= 1 << position % 8
        try:
            certificate = load_certificate(bytes(changed))
        except CertificateMalformed:
            continue
        assert encode_certificate(certificate) == bytes(changed)
        with pytest.raises(PathError):
            check_path(certificate, others=unit.seal.others, trust=trust, purpose=UNIT_SEAL, at=NOW)


def test_unused_bits_in_the_signature_are_malformed(world: PkiWorld) -> None:
    """The library ignores them if they are zero, and one certificate would have two fingerprints."""
    for _ in range(16):
        der = bytearray(encode_certificate(world.unit().seal.certificate))
        position = len(der) - len(read_sequence(bytes(der))[2]) + 2
        assert der[position] == 0
        for unused in range(1, 8):
            der[position] = unused
            with pytest.raises(CertificateMalformed):
                load_certificate(bytes(der))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "serial", [b"\x02\x01\xff", b"\x02\x01\x00", b"\x02\x15\x01" + bytes(20), b"\x04\x01\x01"]
)
def test_odd_serial_numbers_are_malformed(world: PkiWorld, serial: bytes) -> None:
    """Our own check: the library only warns."""
    good = world.unit().seal.certificate
    der = rewritten(good, world.seals.signer, lambda elements: [elements[0], serial, *elements[2:]])
    with pytest.raises(CertificateMalformed):
        load_certificate(der)


def test_every_truncation_is_malformed(world: PkiWorld) -> None:
    der = encode_certificate(world.root.certificate)
    for length in range(len(der)):
        with pytest.raises(CertificateMalformed):
            load_certificate(der[:length])


def test_trailing_octets_are_malformed(world: PkiWorld) -> None:
    der = encode_certificate(world.root.certificate)
    for tail in (b"\x00", b"\x30\x00", der):
        with pytest.raises(CertificateMalformed):
            load_certificate(der + tail)


def test_indefinite_length_is_malformed(world: PkiWorld) -> None:
    der = encode_certificate(world.root.certificate)
    with pytest.raises(CertificateMalformed):
        load_certificate(b"\x30\x80" + der[4:] + b"\x00\x00")


def test_huge_certificate_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(CertificateMalformed):
        load_certificate(b"\x30" * (64 * 1024 + 1))


def test_pem_of_several_certificates_is_read_in_order(world: PkiWorld) -> None:
    several = [one.certificate for one in world.certifiers]
    pem = b"issued for the demo\n" + b"".join(one.public_bytes(Encoding.PEM) for one in several)
    assert list(load_certificates(pem)) == several
    assert load_certificates(encode_certificate(several[0])) == (several[0],)


def test_pem_of_something_else_is_refused(world: PkiWorld) -> None:
    pem = world.root.certificate.public_bytes(Encoding.PEM)
    key = world.root.signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for data in (b"", b"hello", key, pem + key, pem[:-30], pem.replace(b"MII", b"M!I"), pem * 101):
        with pytest.raises(CertificateMalformed):
            load_certificates(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x85\x00\x00\x00\x00\x01\x00",
        b"\x30\x02\x00",
        b"\x1f\x81\x01\x00",
    ],
    ids=lambda data: data[:6].hex() or "empty",
)
def test_length_in_another_than_the_shortest_form_is_no_der(data: bytes) -> None:
    with pytest.raises(DerError):
        read_tlv(data, 0, len(data))


def test_elements_fill_their_sequence() -> None:
    assert read_sequence(b"\x30\x04\x05\x00\x05\x00") == (b"\x05\x00", b"\x05\x00")
    for data in (b"\x30\x03\x05\x00\x05", b"\x31\x00", b"\x30\x00\x00"):
        with pytest.raises(DerError):
            read_sequence(data)
