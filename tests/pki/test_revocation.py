"""Revocation lists: made, read, refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier

from pki.errors import IssueRefused, RevocationListMalformed
from pki.issue import new_serial
from pki.keys import SoftwareSigner
from pki.revocation import (
    RevocationList,
    RevocationReason,
    Revocations,
    Revoked,
    build_crl,
    load_revocation_lists,
)
from tests.tools import need
from tests.worlds.pki import NOW, PkiWorld

WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


def a_list(world: PkiWorld, *entries: Revoked, number: int = 7, point: str | None = None) -> RevocationList:
    return build_crl(
        world.seals.certificate,
        world.seals.signer,
        entries=entries,
        number=number,
        this_update=NOW,
        next_update=NOW + WEEK,
        distribution_point=point,
    )


@pytest.mark.parametrize("word", ["keyCompromise", "key-compromise", "KEY_COMPROMISE", "keycompromise"])
def test_reason_is_named_as_the_rfc_or_as_people_type(word: str) -> None:
    assert RevocationReason.named(word) is RevocationReason.KEY_COMPROMISE


@pytest.mark.parametrize("word", ["", "key compromise", "removeFromCRL", "lost"])
def test_no_other_reason_is_guessed(word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}$"):
        RevocationReason.named(word)


def test_list_is_read_back_as_it_was_made(world: PkiWorld) -> None:
    entries = [
        Revoked(new_serial(), NOW - timedelta(minutes=index), reason)
        for index, reason in enumerate(RevocationReason)
    ]
    made = a_list(world, *entries)
    again = RevocationList.decode(made.der)
    assert again == made
    assert again.encode() == made.der
    assert (again.number, again.this_update, again.next_update) == (7, NOW, NOW + WEEK)
    assert list(again.entries.values()) == entries
    assert again.issuer == world.seals.certificate.subject.public_bytes()


def test_openssl_reads_the_same(world: PkiWorld, tmp_path: Path) -> None:
    made = a_list(world, Revoked(0xABCDEF0123456789, NOW, RevocationReason.KEY_COMPROMISE))
    (tmp_path / "list.crl").write_bytes(made.der)
    (tmp_path / "ca.pem").write_bytes(world.seals.certificate.public_bytes(Encoding.PEM))
    shown = subprocess.run(
        [
            *(need("openssl"), "crl", "-inform", "DER", "-text", "-noout"),
            *("-in", tmp_path / "list.crl", "-CAfile", tmp_path / "ca.pem"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "verify OK" in shown.stderr
    assert "X509v3 CRL Number: \n                7" in shown.stdout
    assert "ABCDEF0123456789" in shown.stdout
    assert "Key Compromise" in shown.stdout


def test_list_is_signed_by_its_issuer_and_nobody_else(world: PkiWorld) -> None:
    made = a_list(world)
    name = world.seals.certificate.subject.public_bytes()
    assert made.signed_by(world.seals.signer.public_key, name=name)
    assert not made.signed_by(world.evidence.signer.public_key, name=name)
    assert not made.signed_by(
        world.seals.signer.public_key, name=world.evidence.certificate.subject.public_bytes()
    )
    other = SoftwareSigner.generate()
    with pytest.raises(IssueRefused):
        build_crl(
            world.seals.certificate, other, entries=(), number=1, this_update=NOW, next_update=NOW + WEEK
        )


def test_every_flipped_bit_is_malformed_or_not_signed(world: PkiWorld) -> None:
    der = a_list(world, Revoked(new_serial(), NOW)).der
    name = world.seals.certificate.subject.public_bytes()
    for position in range(len(der)):
        changed = bytearray(der)
        changed[position] ^= 1 << position % 8
        try:
            read = RevocationList.decode(bytes(changed))
        except RevocationListMalformed:
            continue
        assert not read.signed_by(world.seals.signer.public_key, name=name)


def test_truncated_and_lengthened_lists_are_malformed(world: PkiWorld) -> None:
    der = a_list(world).der
    for data in (*(der[:length] for length in range(len(der))), der + b"\x00", der + der):
        with pytest.raises(RevocationListMalformed):
            RevocationList.decode(data)


def test_huge_list_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(RevocationListMalformed):
        RevocationList.decode(b"\x30" * (8 * 1024 * 1024 + 1))


Change = Callable[[x509.CertificateRevocationListBuilder], x509.CertificateRevocationListBuilder]


def raw(world: PkiWorld, *changes: Change, number: bool = True, next_update: datetime = NOW + WEEK) -> bytes:
    """A list by the library's own builder, for what ours would never make."""
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=world.seals.certificate.subject, last_update=NOW, next_update=next_update
    )
    if number:
        builder = builder.add_extension(x509.CRLNumber(1), False)
    for change in changes:
        builder = change(builder)
    return builder.sign(world.seals.signer.private_key, hashes.SHA256()).public_bytes(Encoding.DER)


def adding(extension: x509.ExtensionType, critical: bool) -> Change:
    return lambda builder: builder.add_extension(extension, critical)


def entry(*extensions: tuple[x509.ExtensionType, bool], serial: int = 5) -> Change:
    revoked = x509.RevokedCertificateBuilder(serial, NOW)
    for extension in extensions:
        revoked = revoked.add_extension(*extension)
    return lambda builder: builder.add_revoked_certificate(revoked.build())


def scope(**flags: object) -> x509.IssuingDistributionPoint:
    values: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(values | flags))  # type: ignore[arg-type]


UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")

BROKEN: dict[str, Callable[[PkiWorld], bytes]] = {
    "without-number": lambda w: raw(w, number=False),
    "with-critical-number": lambda w: raw(w, adding(x509.CRLNumber(1), True), number=False),
    "with-unknown-critical-extension": lambda w: raw(w, adding(UNKNOWN, True)),
    "with-critical-authority-key-identifier": lambda w: raw(
        w, adding(x509.AuthorityKeyIdentifier(b"12345678", None, None), True)
    ),
    "delta": lambda w: raw(w, adding(x509.DeltaCRLIndicator(1), True)),
    "delta-not-critical": lambda w: raw(w, adding(x509.DeltaCRLIndicator(1), False)),
    "indirect": lambda w: raw(w, adding(scope(indirect_crl=True), True)),
    "for-some-reasons": lambda w: raw(
        w, adding(scope(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])), True)
    ),
    "for-attribute-certificates": lambda w: raw(w, adding(scope(only_contains_attribute_certs=True), True)),
    "entry-with-unknown-critical-extension": lambda w: raw(w, entry((UNKNOWN, True))),
    "entry-of-another-issuer": lambda w: raw(w, entry((x509.CertificateIssuer([x509.DNSName("x")]), True))),
    "entry-removed": lambda w: raw(w, entry((x509.CRLReason(x509.ReasonFlags.remove_from_crl), False))),
    "entry-twice": lambda w: raw(w, entry(), entry()),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_list_is_refused(world: PkiWorld, name: str) -> None:
    with pytest.raises(RevocationListMalformed):
        RevocationList.decode(BROKEN[name](world))


def test_plain_list_by_the_librarys_builder_is_read(world: PkiWorld) -> None:
    """So that what is refused above is refused for its defect."""
    assert RevocationList.decode(raw(world, entry(), adding(UNKNOWN, False))).number == 1


def test_file_of_lists_in_pem_or_der(world: PkiWorld) -> None:
    lists = tuple(certifier.revocation_list(NOW) for certifier in world.certifiers)
    pem = b"".join(x509.load_der_x509_crl(one.der).public_bytes(Encoding.PEM) for one in lists)
    assert load_revocation_lists(pem) == lists
    assert load_revocation_lists(lists[0].der) == lists[:1]
    for data in (b"", world.root.certificate.public_bytes(Encoding.PEM)):
        with pytest.raises(RevocationListMalformed):
            load_revocation_lists(data)


def test_index_grows_without_changing_the_original(world: PkiWorld) -> None:
    first, second = a_list(world, number=1), a_list(world, number=2)
    index = Revocations.of([first])
    grown = index.adding([second, first])
    assert index.of_issuer(first.issuer) == (first,)
    assert grown.of_issuer(first.issuer) == (first, second)
    assert grown.of_issuer(b"nobody") == ()
    assert set(grown.all()) == {first, second}


def test_naive_dates_and_inverted_periods_are_refused(world: PkiWorld) -> None:
    for begins, ends in ((NOW.replace(tzinfo=None), NOW + WEEK), (NOW, NOW - WEEK)):
        with pytest.raises(IssueRefused):
            build_crl(
                world.seals.certificate,
                world.seals.signer,
                entries=(),
                number=1,
                this_update=begins,
                next_update=ends,
            )
