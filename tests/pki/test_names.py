"""Unit codes, names in certificates, and the way back."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.errors import NameMalformed
from pki.names import (
    check_character,
    display_name,
    parse_unit_id,
    sub_unit_name,
    unit_code,
    unit_of,
    unit_subject,
)
from tests.pki.broken_certificates import forge
from tests.worlds.pki import PkiWorld, a_unit_id

CODE = "91350100M000100Y43"
"""The example of GB 32100-2015."""


def test_example_of_the_standard_is_a_unit() -> None:
    assert parse_unit_id(CODE) == CODE
    assert check_character(CODE[:17]) == CODE[17]


def test_every_single_changed_character_is_refused() -> None:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    for position in range(18):
        for character in alphabet:
            changed = CODE[:position] + character + CODE[position + 1 :]
            if changed != CODE:
                with pytest.raises(NameMalformed):
                    parse_unit_id(changed)


def test_sub_unit_is_kept_apart_from_the_code() -> None:
    unit = parse_unit_id(f"{CODE}/办公厅")
    assert unit_code(unit) == CODE
    assert sub_unit_name(unit) == "办公厅"
    assert sub_unit_name(parse_unit_id(CODE)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        CODE[:17],
        CODE + "0",
        CODE.lower(),
        f" {CODE}",
        f"{CODE}\n",
        f"{CODE}/",
        f"{CODE}/ 办公厅",
        f"{CODE}/办公厅/一处",
        f"{CODE}/办\n公",
        f"{CODE}/办\u202e公",
        f"{CODE}/e\u0301",  # not NFC: one name would have two spellings
        f"{CODE}/" + "办" * 65,
        "I1350100M000100Y43",
        "9135010OM000100Y43",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(NameMalformed):
        parse_unit_id(text)


def test_unit_is_read_back_from_its_certificate() -> None:
    world = PkiWorld()
    sub_unit = parse_unit_id(f"{CODE}/办公厅")
    for unit in (a_unit_id(5), sub_unit):
        member = world.unit("甲市人民政府", unit=unit)
        assert unit_of(member.seal.certificate) == unit
        assert unit_of(member.tls.certificate) == unit
    assert display_name(member.seal.certificate) == "甲市人民政府 办公厅"


def test_certificate_without_a_unit_names_none() -> None:
    world = PkiWorld()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger\n")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    certificate = (
        builder.public_key(world.root.signer.public_key)
        .serial_number(1)
        .not_valid_before(world.begins)
        .not_valid_after(world.now)
        .sign(world.root.signer.private_key, forge(world.seals).signature_hash_algorithm)
    )
    with pytest.raises(NameMalformed):
        unit_of(certificate)
    assert display_name(certificate) == "stranger"


def test_two_codes_in_one_certificate_are_no_unit() -> None:
    """Two readers might see two different units."""
    world = PkiWorld()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, a_unit_id(1)),
            x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, a_unit_id(2)),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(world.root.signer.public_key)
        .serial_number(1)
        .not_valid_before(world.begins)
        .not_valid_after(world.now)
        .sign(world.root.signer.private_key, forge(world.seals).signature_hash_algorithm)
    )
    with pytest.raises(NameMalformed):
        unit_of(certificate)


@pytest.mark.parametrize("name", ["", " 甲", "甲\x00", "甲" * 65])
def test_name_that_no_certificate_can_hold_is_refused(name: str) -> None:
    with pytest.raises(NameMalformed):
        unit_subject(a_unit_id(1), name, "seal")


def test_a_long_chinese_name_stands_whole_in_the_organisation() -> None:
    name = "临江市自然资源和规划局高新技术产业开发区分局不动产登记中心"
    subject = unit_subject(parse_unit_id(CODE), name, "TLS server")
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == name
    (common,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common.value == f"{CODE} TLS server"
