"""Certificates are linted before the key is touched, and an intent signs once."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from pki.asn1 import load_certificate
from pki.errors import (
    CertificateMalformed,
    IntentSpent,
    IssueRefused,
    KeyRefused,
    LintFailed,
    SignatureInvalid,
)
from pki.issue import Intent, issue, new_serial, prepare
from pki.keys import Algorithm, PublicKey, SoftwareSigner
from pki.lint import lint
from pki.names import unit_subject
from pki.profile import (
    HUB_EVIDENCE,
    HUB_EVIDENCE_POLICY,
    ISSUING_SEALS,
    PROFILES,
    ROOT,
    TLS_SERVER,
    UNIT_SEAL,
    UNIT_SEAL_POLICY,
    Profile,
)
from tests.pki.broken_certificates import forge, forge_authority, make_broken, names_of_broken, policies
from tests.worlds.pki import NOW, PkiWorld, a_unit_id


class Watched:
    """A signer that counts, and may lie."""

    def __init__(self, signer: SoftwareSigner, *, lying: bool = False) -> None:
        self._signer = signer
        self._lying = lying
        self.calls = 0

    @property
    def algorithm(self) -> Algorithm:
        return self._signer.algorithm

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        self.calls += 1
        return self._signer.sign(b"something else" if self._lying else message)


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


def an_intent(world: PkiWorld, profile: Profile = UNIT_SEAL, **changes: Any) -> Intent:
    values: dict[str, Any] = {
        "subject": unit_subject(a_unit_id(1), "甲单位", profile.role),
        "public_key": SoftwareSigner.generate().public_key,
        "issuer": world.seals.certificate,
        "serial": new_serial(),
        "not_before": NOW,
        "revocation_list_url": world.seals.url,
    }
    return prepare(profile, **(values | changes))


def test_intent_becomes_exactly_the_bytes_it_said(world: PkiWorld) -> None:
    intent = an_intent(world)
    certificate = issue(intent, world.seals.signer)
    assert certificate.tbs_certificate_bytes == intent.to_be_signed
    assert certificate.serial_number == intent.serial
    certificate.verify_directly_issued_by(world.seals.certificate)


def test_intent_is_spent_once(world: PkiWorld) -> None:
    intent, signer = an_intent(world), Watched(world.seals.signer)
    issue(intent, signer)
    with pytest.raises(IntentSpent):
        issue(intent, signer)
    assert signer.calls == 1


def test_intent_is_spent_once_by_many_threads(world: PkiWorld) -> None:
    intent, signer = an_intent(world), Watched(world.seals.signer)

    def attempt(_: int) -> bool:
        try:
            issue(intent, signer)
        except IntentSpent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(64))) == 1
    assert signer.calls == 1


def test_other_signer_is_refused_and_the_intent_is_not_spent(world: PkiWorld) -> None:
    intent = an_intent(world)
    with pytest.raises(IssueRefused):
        issue(intent, world.evidence.signer)
    issue(intent, world.seals.signer)


def test_signature_of_a_faulty_token_is_not_believed(world: PkiWorld) -> None:
    with pytest.raises(SignatureInvalid):
        issue(an_intent(world), Watched(world.seals.signer, lying=True))


def test_serials_have_128_bits_and_do_not_repeat() -> None:
    serials = {new_serial() for _ in range(1000)}
    assert len(serials) == 1000
    assert 120 < max(serials).bit_length() <= 128


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"revocation_list_url": None}, "missing"),
        ({"revocation_list_url": "ldap://example.gov/crl"}, "no http"),
        ({"serial": 12345}, "serial"),
        ({"not_after": NOW + timedelta(days=4000)}, "period"),
        ({"not_after": NOW + timedelta(days=1200)}, "lives longer"),
        ({"not_before": NOW - timedelta(days=60)}, "period"),
        ({"server_names": ["hub.example.gov"]}, "no place"),
        ({"permitted_domains": ["example.gov"]}, "no place"),
        ({"subject": x509.Name([])}, "subject"),
        ({"public_key": SoftwareSigner.generate(Algorithm.ED25519).public_key}, "ed25519"),
        ({"issuer": None}, "root"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_broken_rule_is_named_before_a_key_is_touched(
    world: PkiWorld, changes: dict[str, Any], rule: str
) -> None:
    with pytest.raises(LintFailed) as caught:
        an_intent(world, **changes)
    assert any(rule in error for error in caught.value.errors), caught.value.errors


def test_issuer_certifies_for_its_own_purpose_only(world: PkiWorld) -> None:
    """A seals authority can be made to issue neither evidence, servers nor authorities."""
    for profile in (HUB_EVIDENCE, TLS_SERVER, ISSUING_SEALS):
        names = ["hub.example.gov"] if profile.server_names else []
        with pytest.raises(LintFailed):
            an_intent(world, profile, server_names=names)


def test_extended_key_usage_alone_binds_an_issuer(world: PkiWorld) -> None:
    """Any policy, but made for documents: servers are none of its business."""
    documents = forge_authority(world, policies=policies(x509.ObjectIdentifier("2.5.29.32.0")))
    changes = {"issuer": documents.certificate, "not_after": NOW + timedelta(days=30)}
    an_intent(world, **changes)
    with pytest.raises(LintFailed):
        an_intent(world, TLS_SERVER, server_names=["hub.example.gov"], **changes)


def test_end_entity_certifies_nothing(world: PkiWorld) -> None:
    with pytest.raises(LintFailed):
        an_intent(world, issuer=world.unit().seal.certificate)


@pytest.mark.parametrize(
    "name", ["*.example.gov", "HUB.example.gov", "hub_1.example.gov", "", "http://x", "a..b"]
)
def test_server_names_are_plain_hosts_or_addresses(world: PkiWorld, name: str) -> None:
    with pytest.raises(IssueRefused):
        an_intent(world, TLS_SERVER, issuer=world.tls.certificate, server_names=[name])


def test_weak_key_is_refused(world: PkiWorld) -> None:
    broken = x509.load_der_x509_certificate(make_broken(world, "leaf-with-secp256k1").der)
    with pytest.raises(KeyRefused):
        an_intent(world, public_key=broken.public_key())


def test_naive_dates_are_refused(world: PkiWorld) -> None:
    with pytest.raises(IssueRefused):
        an_intent(world, not_before=NOW.replace(tzinfo=None))


def test_everything_issued_keeps_its_profile(world: PkiWorld) -> None:
    unit, hub, stamper = world.unit(), world.hub(), world.time_stamper()
    for certificate, profile, issuer in (
        (world.root.certificate, ROOT, None),
        (world.seals.certificate, ISSUING_SEALS, world.root.certificate),
        (unit.seal.certificate, UNIT_SEAL, world.seals.certificate),
        (unit.tls.certificate, PROFILES["tls-client"], world.tls.certificate),
        (hub.seal.certificate, HUB_EVIDENCE, world.evidence.certificate),
        (hub.tls.certificate, TLS_SERVER, world.tls.certificate),
        (stamper.certificate, PROFILES["time-stamp"], world.time.certificate),
    ):
        assert lint(certificate, profile, issuer=issuer) == ()
        for other in PROFILES.values():
            if other.name != profile.name:
                assert lint(certificate, other, issuer=issuer), f"{profile.name} passes as {other.name}"


# What lint has nothing to say about: defects of the signature, the path or the dates of judging.
_NOT_OF_THE_PROFILE = {
    "leaf-expired",
    "leaf-not-yet-valid",
    "leaf-of-unknown-root",
    "leaf-with-foreign-signature",
    "leaf-without-any-revocation-list",
}


@pytest.mark.parametrize("name", [name for name in names_of_broken() if name.startswith("leaf-")])
def test_lint_finds_what_path_rules_refuse(world: PkiWorld, name: str) -> None:
    broken = make_broken(world, name)
    try:
        certificate = load_certificate(broken.der)
    except CertificateMalformed:
        return
    profile = {"hub-evidence": HUB_EVIDENCE, "time-stamp": PROFILES["time-stamp"]}.get(
        broken.purpose.name, UNIT_SEAL
    )
    errors = lint(certificate, profile, issuer=broken.others[0])
    assert bool(errors) is (name not in _NOT_OF_THE_PROFILE), errors


def test_policies_of_units_and_hub_differ_and_are_ours(world: PkiWorld) -> None:
    assert UNIT_SEAL_POLICY != HUB_EVIDENCE_POLICY
    assert UNIT_SEAL_POLICY.dotted_string.startswith("2.25.")


def test_profiles_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        UNIT_SEAL.lifetime = timedelta(1)  # type: ignore[misc]


def test_lint_of_a_good_forgery_is_clean(world: PkiWorld) -> None:
    """The forge of the broken certificates makes a good one where nothing is changed."""
    assert lint(forge(world.seals), UNIT_SEAL, issuer=world.seals.certificate) == ()
