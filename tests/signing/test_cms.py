"""The signature file: one spelling, and nothing slips through it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import SignatureInvalid
from pki.keys import Algorithm, SoftwareSigner
from pki.profile import UNIT_SEAL
from signing import der
from signing.cms import CadesSigner, Scheme, check_digest, check_signature_value, check_signer, decode_cades
from signing.errors import CmsMalformed, DigestMismatch, SignerUnfit
from tests.signing.files import (
    CONTENT,
    ID_DATA,
    SHA256,
    assembled,
    attribute,
    attributes_of,
    cades_signer,
    digest_of,
    encoded,
    flips,
    parts,
    resigned,
    signed,
    signer_info,
    stranger,
)
from tests.worlds.pki import NOW, Member, PkiWorld

SUITES = [Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256]
NULL = der.encode(der.NULL, b"")
SHA384 = der.sequence(der.oid("2.16.840.1.101.3.4.2.2"))
SHA1 = der.sequence(der.oid("1.3.14.3.2.26"))


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


@pytest.fixture(scope="module")
def unit(world: PkiWorld) -> Member:
    return world.unit()


@pytest.fixture(scope="module")
def hub(world: PkiWorld) -> Member:
    return world.hub()


@pytest.fixture(scope="module")
def good(unit: Member) -> bytes:
    return signed(unit.seal)


@pytest.fixture(scope="module")
def doubly(unit: Member, hub: Member, good: bytes) -> bytes:
    return cades_signer(hub.seal).cosign(good, CONTENT, at=NOW + timedelta(seconds=1))


# --- what is promised of a good file


@pytest.mark.parametrize("algorithm", SUITES, ids=lambda algorithm: algorithm.value)
def test_a_file_of_each_suite_is_read_and_checked(world: PkiWorld, algorithm: Algorithm) -> None:
    member = world.unit(algorithm=algorithm)
    file = decode_cades(signed(member.seal))
    (info,) = file.signers
    assert info.certificate == member.seal.certificate
    assert set(file.certificates) == set(member.seal.chain)
    assert info.signing_time == NOW
    assert info.digest_algorithm == algorithm.hash_name
    assert info.bound
    check_signer(info, algorithm.digest(CONTENT))
    with pytest.raises(DigestMismatch):
        check_signer(info, algorithm.digest(CONTENT + b" "))


def test_signing_a_digest_is_signing_its_content(unit: Member) -> None:
    file = cades_signer(unit.seal).sign_digest(hashlib.sha256(CONTENT).digest(), at=NOW)
    check_signer(decode_cades(file).signers[0], hashlib.sha256(CONTENT).digest())


def test_assembling_the_parts_gives_the_same_file(good: bytes, doubly: bytes) -> None:
    assert assembled(good) == good
    assert assembled(doubly) == doubly


def test_a_cosigner_stands_beside_the_first_and_changes_nothing_of_it(
    unit: Member, hub: Member, good: bytes, doubly: bytes
) -> None:
    file = decode_cades(doubly)
    assert {info.certificate for info in file.signers} == {unit.seal.certificate, hub.seal.certificate}
    assert decode_cades(good).signers[0].raw in {info.raw for info in file.signers}
    assert set(file.certificates) == {*unit.seal.chain, *hub.seal.chain}
    for info in file.signers:
        check_signer(info, hashlib.sha256(CONTENT).digest())


def test_cosigners_of_other_suites_unite_digest_algorithms(world: PkiWorld, good: bytes) -> None:
    strong = world.hub(algorithm=Algorithm.ECDSA_P384_SHA384)
    file = cades_signer(strong.seal).cosign(good, CONTENT, at=NOW)
    assert parts(file)[1] == der.set_of([SHA256, SHA384])
    for info in decode_cades(file).signers:
        check_signer(info, digest_of()(info.digest_algorithm))


def test_four_may_sign_and_a_fifth_may_not(world: PkiWorld, good: bytes) -> None:
    file = good
    for _ in range(3):
        file = cades_signer(world.unit().seal).cosign(file, CONTENT, at=NOW)
    assert len(decode_cades(file).signers) == 4
    with pytest.raises(SignerUnfit):
        cades_signer(world.unit().seal).cosign(file, CONTENT, at=NOW)


def test_nobody_signs_twice(unit: Member, good: bytes) -> None:
    with pytest.raises(SignerUnfit):
        cades_signer(unit.seal).cosign(good, CONTENT, at=NOW)


def test_nobody_cosigns_another_content(hub: Member, good: bytes) -> None:
    with pytest.raises(DigestMismatch):
        cades_signer(hub.seal).cosign(good, CONTENT + b" ", at=NOW)


@pytest.mark.parametrize(
    ("at", "tag"),
    [
        (datetime(1950, 1, 1, tzinfo=UTC), der.UTC_TIME),
        (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), der.UTC_TIME),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), der.UTC_TIME),
        (datetime(2050, 1, 1, tzinfo=UTC), der.GENERALIZED_TIME),
        (datetime(2026, 11, 22, 4, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=8))), der.UTC_TIME),
    ],
)
def test_signing_times_are_whole_seconds_of_utc_in_the_form_of_their_century(
    unit: Member, at: datetime, tag: int
) -> None:
    file = cades_signer(unit.seal).sign(CONTENT, at=at)
    assert decode_cades(file).signers[0].signing_time == at.replace(microsecond=0)
    assert attributes_of(file)["signing-time"][15] == tag


def test_a_time_without_a_zone_is_a_mistake_of_the_caller(unit: Member) -> None:
    with pytest.raises(ValueError, match="zone"):
        cades_signer(unit.seal).sign(CONTENT, at=datetime(2026, 11, 21))


# --- who may sign


def test_ed25519_does_not_sign_files() -> None:
    credential = stranger(SoftwareSigner.generate(Algorithm.ED25519))
    with pytest.raises(SignerUnfit):
        cades_signer(credential)


def test_a_key_signs_only_with_its_own_certificate(unit: Member, hub: Member) -> None:
    with pytest.raises(SignerUnfit):
        CadesSigner(unit.seal.signer, hub.seal.chain)
    with pytest.raises(SignerUnfit):
        CadesSigner(unit.seal.signer, [])
    with pytest.raises(SignerUnfit):
        CadesSigner(unit.seal.signer, [unit.seal.certificate] * 2)


def test_no_more_than_eight_certificates_travel(world: PkiWorld) -> None:
    members = [world.unit() for _ in range(8)]
    with pytest.raises(SignerUnfit):
        CadesSigner(
            members[0].seal.signer, [*members[0].seal.chain, *(m.seal.certificate for m in members[1:])]
        )


# --- what is refused


def test_no_changed_byte_leaves_signature_and_certificates_good(good: bytes) -> None:
    before = decode_cades(good)
    digest = hashlib.sha256(CONTENT).digest()
    for position, changed in flips(good, 0x01, 0x80, 0xFF):
        try:
            after = decode_cades(changed)
            check_signer(after.signers[0], digest)
        except (CmsMalformed, DigestMismatch, SignatureInvalid):
            continue
        assert after.certificates != before.certificates, position


def test_no_changed_byte_of_two_signers_goes_unnoticed(doubly: bytes) -> None:
    before = decode_cades(doubly)
    digest = hashlib.sha256(CONTENT).digest()
    for position, changed in flips(doubly, 0x04):
        try:
            after = decode_cades(changed)
            for info in after.signers:
                check_signer(info, digest)
        except (CmsMalformed, DigestMismatch, SignatureInvalid):
            continue
        assert after.certificates != before.certificates, position


def test_every_shorter_and_every_longer_file_is_refused(good: bytes) -> None:
    for length in range(0, len(good), 7):
        with pytest.raises(CmsMalformed):
            decode_cades(good[:length])
    with pytest.raises(CmsMalformed):
        decode_cades(good + b"\x00")


def test_a_file_beyond_the_cap_is_refused_before_it_is_read(good: bytes) -> None:
    assert decode_cades(good, max_size=len(good)).raw == good
    with pytest.raises(CmsMalformed):
        decode_cades(good, max_size=len(good) - 1)


def _unsorted_certificates(good: bytes) -> bytes:
    return assembled(good, certificates=parts(good)[3][::-1])


def _doubled_certificate(good: bytes) -> bytes:
    certificates = parts(good)[3]
    return assembled(good, certificates=sorted([*certificates, certificates[0]]))


def _no_certificates(good: bytes) -> bytes:
    return assembled(good, certificates=[])


def _no_signers(good: bytes) -> bytes:
    return assembled(good, infos=[])


def _doubled_signer(good: bytes) -> bytes:
    return assembled(good, infos=parts(good)[4] * 2)


def _version_3(good: bytes) -> bytes:
    return assembled(good, version=der.integer(3))


def _signer_version_3(good: bytes) -> bytes:
    return assembled(good, infos=[parts(good)[4][0].replace(der.integer(1), der.integer(3), 1)])


def _other_kind(good: bytes) -> bytes:
    return assembled(good, kind="1.2.156.10197.6.1.4.2.2")


def _more_digest_algorithms(good: bytes) -> bytes:
    return assembled(good, digests=der.set_of([SHA256, SHA384]))


def _other_digest_algorithms(good: bytes) -> bytes:
    return assembled(good, digests=der.set_of([SHA384]))


def _digest_with_null(good: bytes) -> bytes:
    return assembled(good, digests=der.set_of([der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), NULL)]))


def _content_inside(good: bytes) -> bytes:
    inside = der.encode(der.CONTEXT_0, der.octet_string(CONTENT))
    return assembled(good, encapsulated=der.sequence(der.oid(ID_DATA), inside))


def _other_content_type(good: bytes) -> bytes:
    return assembled(good, encapsulated=der.sequence(der.oid("1.2.840.113549.1.7.3")))


def _bytes_behind_the_signers(good: bytes) -> bytes:
    return assembled(good, behind=NULL)


def _revocation_lists(good: bytes) -> bytes:
    data = assembled(good)
    _, digests, encapsulated, certificates, infos = parts(data)
    body = der.sequence(
        der.integer(1), digests, encapsulated, der.set_of(certificates, tag=0xA0),
        der.encode(0xA1, der.sequence()), der.set_of(infos),
    )  # fmt: skip
    return der.sequence(der.oid("1.2.840.113549.1.7.2"), der.encode(0xA0, body))


def _indefinite_length(good: bytes) -> bytes:
    content = good[4:]
    return b"\x30\x80" + content + b"\x00\x00"


def _long_length(good: bytes) -> bytes:
    return b"\x30\x83\x00" + good[2:]


@pytest.mark.parametrize(
    "break_it",
    [
        _unsorted_certificates, _doubled_certificate, _no_certificates, _no_signers, _doubled_signer,
        _version_3, _signer_version_3, _other_kind, _more_digest_algorithms,
        _other_digest_algorithms, _digest_with_null,
        _content_inside, _other_content_type, _bytes_behind_the_signers, _revocation_lists,
        _indefinite_length, _long_length,
    ],
    ids=lambda f: f.__name__.strip("_"),
)  # fmt: skip
def test_a_file_of_another_spelling_is_refused(good: bytes, break_it: Callable[[bytes], bytes]) -> None:
    broken = break_it(good)
    assert broken != good
    with pytest.raises(CmsMalformed):
        decode_cades(broken)


def test_the_means_of_breaking_make_good_files_too(unit: Member, good: bytes) -> None:
    # Else the refusals below would prove nothing: rebuilt by the same hands, an unchanged file is read.
    again = resigned(unit.seal, good, attributes_of(good).values())
    check_signer(decode_cades(again).signers[0], hashlib.sha256(CONTENT).digest())


@pytest.mark.parametrize("missing", ["content-type", "message-digest", "signing-time", "signing-certificate"])
def test_a_signed_attribute_left_out_is_refused(unit: Member, good: bytes, missing: str) -> None:
    kept = [one for name, one in attributes_of(good).items() if name != missing]
    with pytest.raises(CmsMalformed):
        decode_cades(resigned(unit.seal, good, kept))


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("content-type", attribute("1.2.840.113549.1.9.3", der.oid("1.2.840.113549.1.7.3"))),
        ("content-type", attribute("1.2.840.113549.1.9.3", der.oid(ID_DATA), der.oid(ID_DATA))),
        ("message-digest", attribute("1.2.840.113549.1.9.4", der.octet_string(b"short"))),
        ("message-digest", attribute("1.2.840.113549.1.9.4", der.octet_string(bytes(48)))),
        ("message-digest", attribute("1.2.840.113549.1.9.4")),
        ("signing-time", attribute("1.2.840.113549.1.9.5", der.encode(der.UTC_TIME, b"261121200000+0800"))),
        ("signing-time", attribute("1.2.840.113549.1.9.5", der.encode(der.UTC_TIME, b"2611212000Z"))),
        ("signing-time", attribute("1.2.840.113549.1.9.5", der.encode(der.UTC_TIME, b"261321200000Z"))),
        ("signing-time", attribute("1.2.840.113549.1.9.5", der.encode(der.UTC_TIME, b"2611212000 0Z"))),
        (
            "signing-time",
            attribute("1.2.840.113549.1.9.5", der.encode(der.GENERALIZED_TIME, b"20261121200000Z")),
        ),
        (
            "signing-time",
            attribute("1.2.840.113549.1.9.5", der.encode(der.GENERALIZED_TIME, b"20561121200000.1Z")),
        ),
    ],
)
def test_a_signed_attribute_of_another_spelling_is_refused(
    unit: Member, good: bytes, name: str, replacement: bytes
) -> None:
    attributes = attributes_of(good) | {name: replacement}
    with pytest.raises(CmsMalformed):
        decode_cades(resigned(unit.seal, good, attributes.values()))


def test_a_further_signed_attribute_is_refused(unit: Member, good: bytes) -> None:
    hint = attribute("1.2.840.113549.1.9.16.2.4", der.sequence(der.oid(ID_DATA)))
    with pytest.raises(CmsMalformed):
        decode_cades(resigned(unit.seal, good, [*attributes_of(good).values(), hint]))


def test_unsorted_signed_attributes_are_refused(unit: Member, good: bytes) -> None:
    attributes = sorted(attributes_of(good).values(), reverse=True)
    with pytest.raises(CmsMalformed):
        decode_cades(resigned(unit.seal, good, attributes, ordered=False))


def test_unsigned_attributes_are_refused(unit: Member, good: bytes) -> None:
    unsigned = der.encode(der.CONTEXT_1, attribute("1.2.840.113549.1.9.16.2.14", NULL))
    with pytest.raises(CmsMalformed):
        decode_cades(resigned(unit.seal, good, attributes_of(good).values(), unsigned=unsigned))


def _binding(*identifiers: bytes) -> bytes:
    return attribute("1.2.840.113549.1.9.16.2.47", der.sequence(der.sequence(*identifiers)))


def _hash(certificate: bytes) -> bytes:
    return der.octet_string(hashlib.sha256(certificate).digest())


def test_an_issuer_serial_is_read_if_it_is_right(unit: Member, hub: Member, good: bytes) -> None:
    certificate = unit.seal.certificate
    (own,) = encoded(certificate)

    def bound(issuer: bytes, serial: int) -> bytes:
        names = der.sequence(der.encode(der.CONTEXT_4, issuer))
        binding = _binding(der.sequence(_hash(own), der.sequence(names, der.integer(serial))))
        attributes = attributes_of(good) | {"signing-certificate": binding}
        return resigned(unit.seal, good, attributes.values())

    issuer = certificate.issuer.public_bytes()
    right = bound(issuer, certificate.serial_number)
    check_signer(decode_cades(right).signers[0], hashlib.sha256(CONTENT).digest())
    for wrong in (
        bound(issuer, certificate.serial_number + 1),
        bound(hub.seal.certificate.issuer.public_bytes(), certificate.serial_number),
    ):
        with pytest.raises(CmsMalformed):
            decode_cades(wrong)


def test_a_binding_to_another_certificate_is_refused(unit: Member, hub: Member, good: bytes) -> None:
    own, other = encoded(unit.seal.certificate, hub.seal.certificate)
    sha256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
    for binding in (
        _binding(der.sequence(_hash(other))),
        _binding(der.sequence(_hash(own)), der.sequence(_hash(other))),
        _binding(der.sequence(sha256, _hash(own))),  # DEFAULT written out is not DER
        _binding(),
    ):
        attributes = attributes_of(good) | {"signing-certificate": binding}
        with pytest.raises(CmsMalformed):
            decode_cades(resigned(unit.seal, good, attributes.values()))


def test_a_certificate_put_in_the_signers_place_is_refused(
    world: PkiWorld, unit: Member, good: bytes
) -> None:
    # The same key under another certificate: the signature value would fit, the binding does not.
    twin = world.certify(
        UNIT_SEAL, unit.seal.signer.public_key, by=world.seals, unit=unit.unit, name=unit.name
    )
    swapped = assembled(good, certificates=sorted(encoded(twin, *unit.seal.others)))
    with pytest.raises(CmsMalformed):
        decode_cades(swapped)
    info = parts(good)[4][0]
    old = der.integer(unit.seal.certificate.serial_number)
    renamed = der.sequence(
        der.Reader(info).read(der.SEQUENCE).replace(old, der.integer(twin.serial_number), 1)
    )
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(swapped, infos=[renamed]))


def test_a_signer_that_names_no_certificate_of_the_file_is_refused(unit: Member, good: bytes) -> None:
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(good, certificates=encoded(*unit.seal.others)))


@pytest.mark.parametrize(
    ("digest", "signature_algorithm"),
    [
        pytest.param(SHA384, der.sequence(der.oid("1.2.840.10045.4.3.2")), id="digest-of-another-suite"),
        pytest.param(SHA256, der.sequence(der.oid("1.2.840.10045.4.3.3")), id="signature-of-another-suite"),
        pytest.param(SHA256, der.sequence(der.oid("1.2.840.113549.1.1.11"), NULL), id="rsa-with-an-ec-key"),
        pytest.param(SHA256, der.sequence(der.oid("1.2.840.10045.4.3.2"), NULL), id="ecdsa-with-parameters"),
        pytest.param(SHA256, der.sequence(der.oid("1.3.101.112")), id="ed25519"),
        pytest.param(SHA1, der.sequence(der.oid("1.2.840.10045.4.1")), id="sha-1"),
    ],
)
def test_algorithms_that_the_key_does_not_have_are_refused(
    unit: Member, good: bytes, digest: bytes, signature_algorithm: bytes
) -> None:
    info = signer_info(
        unit.seal.signer,
        unit.seal.certificate,
        attributes_of(good).values(),
        digest=digest,
        signature_algorithm=signature_algorithm,
    )
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(good, digests=der.set_of([digest]), infos=[info]))


def test_rsa_encryption_without_its_hash_is_not_of_the_profile(world: PkiWorld) -> None:
    member = world.unit(algorithm=Algorithm.RSA_SHA256)
    good = signed(member.seal)
    plain = der.sequence(der.oid("1.2.840.113549.1.1.1"), NULL)
    assert plain not in parts(good)[4][0][-300:-256]
    with pytest.raises(CmsMalformed):
        decode_cades(resigned(member.seal, good, attributes_of(good).values(), signature_algorithm=plain))


def test_an_ed25519_signer_is_refused_on_reading(good: bytes) -> None:
    credential = stranger(SoftwareSigner.generate(Algorithm.ED25519))
    (own,) = encoded(credential.certificate)
    attributes = attributes_of(good) | {"signing-certificate": _binding(der.sequence(_hash(own)))}
    info = signer_info(
        credential.signer,
        credential.certificate,
        attributes.values(),
        signature_algorithm=der.sequence(der.oid("1.3.101.112")),
    )
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(good, certificates=[own], infos=[info]))


def test_five_signers_and_nine_certificates_are_refused(world: PkiWorld, good: bytes) -> None:
    members = [world.unit() for _ in range(4)]
    infos = sorted(parts(good)[4] + [parts(signed(m.seal))[4][0] for m in members])
    certificates = {*parts(good)[3], *(c for m in members for c in encoded(*m.seal.chain))}
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(good, infos=infos, certificates=sorted(certificates)))
    many = {*parts(good)[3], *(encoded(world.unit().seal.certificate)[0] for _ in range(7))}
    assert len(many) == 9
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(good, certificates=sorted(many)))


def test_a_broken_certificate_is_refused(good: bytes) -> None:
    first, second = parts(good)[3]
    for broken in (der.sequence(), first[:-1] + b"\x00\x00", b"\x30\x03\x02\x01\x01"):
        with pytest.raises(CmsMalformed):
            decode_cades(assembled(good, certificates=sorted([broken, second])))


def test_a_certificate_with_unused_bits_in_its_signature_is_refused(unit: Member, good: bytes) -> None:
    # ``cryptography`` reads "one bit unused" over the same octets as the same signature; seen as a
    # changed byte that went unnoticed wherever the last bit happened to be zero.
    (authority,) = unit.seal.others
    (certificate,) = encoded(authority)
    at = len(certificate) - len(authority.signature) - 1
    changed = certificate[:at] + b"\x01" + certificate[at + 1 :]
    with pytest.raises(CmsMalformed):
        decode_cades(assembled(good, certificates=sorted([*encoded(unit.seal.certificate), changed])))


def test_noise_raises_nothing_but_its_own_error() -> None:
    for seed in range(300):
        noise = hashlib.shake_256(seed.to_bytes(2, "big")).digest(seed)
        with pytest.raises(CmsMalformed):
            decode_cades(noise)
        with pytest.raises(CmsMalformed):
            decode_cades(der.sequence(der.oid("1.2.840.113549.1.7.2"), der.encode(0xA0, noise)))


# --- what the checks say


def test_another_keys_signature_does_not_fit(unit: Member, good: bytes) -> None:
    other = SoftwareSigner.generate()
    info = signer_info(other, unit.seal.certificate, attributes_of(good).values())
    read = decode_cades(assembled(good, infos=[info])).signers[0]
    check_digest(read, hashlib.sha256(CONTENT).digest())
    with pytest.raises(SignatureInvalid):
        check_signature_value(read)


@pytest.mark.parametrize("scheme", [Scheme.RSA_PKCS1, Scheme.RSA_PSS])
def test_a_scheme_that_the_key_does_not_have_does_not_fit(good: bytes, scheme: Scheme) -> None:
    info = replace(decode_cades(good).signers[0], scheme=scheme, salt_length=32)
    with pytest.raises(SignatureInvalid):
        check_signature_value(info)


def test_a_signature_over_other_attributes_does_not_fit(unit: Member, good: bytes) -> None:
    later = cades_signer(unit.seal).sign(CONTENT, at=NOW + timedelta(hours=1))
    early, late = parts(good)[4][0], parts(later)[4][0]
    mixed = late.replace(attributes_of(later)["signing-time"], attributes_of(good)["signing-time"])
    assert early != mixed
    read = decode_cades(assembled(good, infos=[mixed])).signers[0]
    with pytest.raises(SignatureInvalid):
        check_signer(read, hashlib.sha256(CONTENT).digest())


def test_a_mismatch_tells_both_digests(good: bytes) -> None:
    info = decode_cades(good).signers[0]
    with pytest.raises(DigestMismatch) as caught:
        check_digest(info, bytes(32))
    assert caught.value.expected == hashlib.sha256(CONTENT).digest()
    assert caught.value.actual == bytes(32)


def test_certificates_in_the_file_are_those_that_were_given(unit: Member, good: bytes) -> None:
    assert [c.public_bytes(Encoding.DER) for c in decode_cades(good).certificates] == sorted(
        encoded(*unit.seal.chain)
    )


def test_the_page_shows_a_file_that_is_read_and_fits_its_content() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats" / "cades.md").read_text(encoding="utf-8")
    content = page.split("```json\n")[1].split("\n```")[0].encode()
    shown = base64.b64decode(page.split("```text\n")[1].split("```")[0])
    (info,) = decode_cades(shown).signers
    assert info.signing_time == NOW
    check_signer(info, hashlib.sha256(content).digest())
