"""Certification paths: what holds, what does not, and why.

The rows of ``tests/pki/broken_certificates.py`` are the golden tests of traps T1, T8 and T18 and
of the eight false accepts of the reference (signing-pki.md §8.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from pki.asn1 import encode_certificate, load_certificate
from pki.errors import (
    CertificateExpired,
    CertificateNotYetValid,
    CertificateRevoked,
    PathError,
    PathMalformed,
    PathNotFound,
    PkiError,
    PurposeWrong,
    RevocationUnknown,
)
from pki.facts import facts_of
from pki.judge import check_policies
from pki.keys import Algorithm, SoftwareSigner
from pki.path import (
    HUB_EVIDENCE,
    SEAL_ANY,
    TIME_STAMP,
    TLS_CLIENT,
    TLS_SERVER,
    UNIT_SEAL,
    PathCache,
    Purpose,
    TrustStore,
    ValidatedPath,
    check_path,
)
from pki.profile import UNIT_SEAL_POLICY
from pki.revocation import RevocationList, RevocationReason, build_crl
from tests.pki.broken_certificates import (
    forge,
    forge_authority,
    make_broken,
    names_of_broken,
    policies,
    self_signed,
    trusting,
    usage,
)
from tests.worlds.pki import NOW, Certifier, Credential, PkiWorld

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def world() -> PkiWorld:
    return PkiWorld()


def check(
    credential: Credential,
    trust: TrustStore,
    purpose: Purpose = UNIT_SEAL,
    at: datetime = NOW,
    others: Iterable[x509.Certificate] | None = None,
) -> ValidatedPath:
    return check_path(
        credential.certificate,
        others=credential.others if others is None else tuple(others),
        trust=trust,
        purpose=purpose,
        at=at,
    )


# --- what holds -------------------------------------------------------------------------------


def test_path_leads_from_end_entity_to_anchor(world: PkiWorld) -> None:
    unit = world.unit()
    path = check(unit.seal, world.trust())
    assert path.certificates == (unit.seal.certificate, world.seals.certificate, world.root.certificate)
    assert [one.issuer for one in path.revocation] == [
        world.root.certificate.subject.public_bytes(),
        world.seals.certificate.subject.public_bytes(),
    ]
    assert path.expires == min(one.next_update for one in path.revocation)


@pytest.mark.parametrize(
    "algorithm", [a for a in Algorithm if a is not Algorithm.ED25519], ids=lambda a: a.value
)
def test_every_certifying_algorithm_makes_paths(algorithm: Algorithm) -> None:
    world = PkiWorld(algorithm=algorithm)
    check(world.unit().seal, world.trust())


def test_ed25519_end_entity_may_connect(world: PkiWorld) -> None:
    from pki.profile import TLS_CLIENT as PROFILE

    credential = world.credential(PROFILE, world.tls, world.owner, "甲", algorithm=Algorithm.ED25519)
    check(credential, world.trust(), TLS_CLIENT)


def test_every_profile_serves_its_purpose_and_no_other(world: PkiWorld) -> None:
    unit, hub = world.unit(), world.hub()
    credentials = {
        UNIT_SEAL.name: unit.seal,
        TLS_CLIENT.name: unit.tls,
        HUB_EVIDENCE.name: hub.seal,
        TLS_SERVER.name: hub.tls,
        TIME_STAMP.name: world.time_stamper(),
    }
    trust = world.trust()
    for mine, credential in credentials.items():
        for purpose in (UNIT_SEAL, HUB_EVIDENCE, TLS_CLIENT, TLS_SERVER, TIME_STAMP):
            if purpose.name == mine:
                check(credential, trust, purpose)
            else:
                with pytest.raises(PurposeWrong):
                    check(credential, trust, purpose)


def test_foreign_seals_need_no_policy_of_ours(world: PkiWorld) -> None:
    trust = world.trust()
    check(world.unit().seal, trust, SEAL_ANY)
    certifier = forge_authority(world, policies=None, extended=None)
    trust = trusting(world, certifier)
    for changes in (
        {"policies": None},
        {"policies": None, "extended": None, "usage": usage("digital_signature")},
        {"policies": policies(ObjectIdentifier("1.2.3"))},
    ):
        leaf = forge(certifier, **changes)
        check_path(leaf, others=[certifier.certificate], trust=trust, purpose=SEAL_ANY, at=NOW)
        with pytest.raises(PurposeWrong):
            check_path(leaf, others=[certifier.certificate], trust=trust, purpose=UNIT_SEAL, at=NOW)


def test_intermediate_from_the_store_serves_where_the_document_brought_none(world: PkiWorld) -> None:
    unit = world.unit()
    check(unit.seal, world.trust(), others=())
    with pytest.raises(PathNotFound):
        check(unit.seal, world.trust(with_intermediates=False), others=())
    check(
        unit.seal, world.trust(with_intermediates=False).with_extra(intermediates=unit.seal.others), others=()
    )


def test_unrelated_certificates_beside_do_not_matter(world: PkiWorld) -> None:
    unit, stranger = world.unit(), PkiWorld()
    others = [stranger.seals.certificate, stranger.root.certificate, *unit.seal.others, world.tls.certificate]
    check(unit.seal, world.trust(with_intermediates=False), others=others)


def test_instant_in_another_zone_is_the_same_instant(world: PkiWorld) -> None:
    unit = world.unit()
    check(unit.seal, world.trust(), at=NOW.astimezone(timezone(timedelta(hours=8))))
    with pytest.raises(ValueError, match="zone"):
        check(unit.seal, world.trust(), at=NOW.replace(tzinfo=None))


# --- what does not hold -----------------------------------------------------------------------


@pytest.mark.parametrize("name", names_of_broken())
def test_broken_certificate_is_refused_for_its_defect(world: PkiWorld, name: str) -> None:
    broken = make_broken(world, name)
    with pytest.raises(broken.expected):
        check_path(
            load_certificate(broken.der),
            others=broken.others,
            trust=broken.trust,
            purpose=broken.purpose,
            at=NOW,
        )


@pytest.mark.parametrize("name", [n for n in names_of_broken() if n != "leaf-with-negative-serial"])
@pytest.mark.filterwarnings("ignore")
def test_broken_certificate_that_was_loaded_carelessly_is_refused_too(world: PkiWorld, name: str) -> None:
    """Not everybody's certificate came through ``load_certificate``."""
    broken = make_broken(world, name)
    try:
        certificate = x509.load_der_x509_certificate(broken.der)
    except ValueError:
        return
    with pytest.raises(PkiError):
        check_path(certificate, others=broken.others, trust=broken.trust, purpose=broken.purpose, at=NOW)


def test_good_forgery_is_accepted(world: PkiWorld) -> None:
    """So that the broken ones are refused for their defect, and not for how they are made."""
    leaf = forge(world.seals)
    check_path(leaf, others=[world.seals.certificate], trust=world.trust(), purpose=UNIT_SEAL, at=NOW)
    certifier = forge_authority(world)
    trust = trusting(world, certifier)
    check_path(forge(certifier), others=[certifier.certificate], trust=trust, purpose=UNIT_SEAL, at=NOW)
    root = self_signed(SoftwareSigner.generate())
    certifier = forge_authority(world, by=root)
    trust = trusting(world, certifier, anchors=[root])
    check_path(forge(certifier), others=[certifier.certificate], trust=trust, purpose=UNIT_SEAL, at=NOW)


def test_every_error_has_an_indication_of_its_own() -> None:
    expected = {
        "path-not-found": ("INDETERMINATE", "NO_CERTIFICATE_CHAIN_FOUND"),
        "path-malformed": ("INDETERMINATE", "CERTIFICATE_CHAIN_GENERAL_FAILURE"),
        "certificate-expired": ("INDETERMINATE", "OUT_OF_BOUNDS_NO_POE"),
        "certificate-not-yet-valid": ("TOTAL-FAILED", "NOT_YET_VALID"),
        "certificate-revoked": ("TOTAL-FAILED", "REVOKED"),
        "revocation-unknown": ("INDETERMINATE", "TRY_LATER"),
        "purpose-wrong": ("INDETERMINATE", "CHAIN_CONSTRAINTS_FAILURE"),
        "algorithm-refused": ("INDETERMINATE", "CRYPTO_CONSTRAINTS_FAILURE"),
    }
    pending, found = list(PathError.__subclasses__()), {}
    while pending:
        one = pending.pop()
        pending += one.__subclasses__()
        if not one.__name__.startswith("_"):
            found[one.code] = (one.indication, one.sub_indication)
    assert found == expected


def test_nine_certificates_are_refused_unread(world: PkiWorld) -> None:
    """T9: path building over many certificates is where time goes."""
    unit = world.unit()
    eight = [world.unit().seal.certificate for _ in range(8)]
    assert len({one.subject for one in eight}) == 8
    check(unit.seal, world.trust(), others=eight)
    with pytest.raises(PathMalformed):
        check(unit.seal, world.trust(), others=[*eight, world.seals.certificate])


def test_three_certificates_of_one_subject_are_refused(world: PkiWorld) -> None:
    unit = world.unit()
    same = [forge_authority(world).certificate for _ in range(3)]
    with pytest.raises(PathMalformed):
        check(unit.seal, world.trust(), others=same)
    check(unit.seal, world.trust(), others=same[:2])


def test_same_certificate_twice_counts_once(world: PkiWorld) -> None:
    unit = world.unit()
    check(unit.seal, world.trust(), others=[world.seals.certificate] * 8)


def test_same_named_certificates_that_certify_each_other_end(world: PkiWorld) -> None:
    """T9 at the limit: two certificates each for three names that certify in a ring."""
    signers = [SoftwareSigner.generate() for _ in range(2)]
    ring = [
        forge_authority(
            world, by=Certifier(forge_authority(world, signer=one).certificate, other, ""), signer=one
        )
        for one in signers
        for other in signers
    ]
    leaf = forge(ring[0])
    with pytest.raises(PathError):
        check_path(
            leaf,
            others=[one.certificate for one in ring[:2]],
            trust=world.trust().with_extra(intermediates=[one.certificate for one in ring]),
            purpose=UNIT_SEAL,
            at=NOW,
        )


def test_no_anchor_at_all_is_no_path(world: PkiWorld) -> None:
    with pytest.raises(PathNotFound):
        check(world.unit().seal, TrustStore.of([], [world.seals.certificate], world.crls()))


def test_self_signed_certificate_in_the_document_is_no_anchor(world: PkiWorld) -> None:
    stranger = PkiWorld()
    unit = stranger.unit()
    trust = TrustStore.of([world.root.certificate], [], stranger.crls())
    with pytest.raises(PathNotFound):
        check(unit.seal, trust, others=[stranger.seals.certificate, stranger.root.certificate])


def test_period_counts_to_the_second_and_beyond(world: PkiWorld) -> None:
    unit = world.unit(begins=NOW - DAY, ends=NOW + DAY)
    trust = TrustStore.of([world.root.certificate], [], world.crls(NOW - 2 * DAY, period=5 * DAY))
    check(unit.seal, trust, at=NOW - DAY)
    check(unit.seal, trust, at=NOW + DAY)
    with pytest.raises(CertificateNotYetValid) as early:
        check(unit.seal, trust, at=NOW - DAY - timedelta(microseconds=1))
    with pytest.raises(CertificateExpired) as late:
        check(unit.seal, trust, at=NOW + DAY + timedelta(microseconds=1))
    assert early.value.bound == NOW - DAY
    assert late.value.bound == NOW + DAY


# --- anchors ----------------------------------------------------------------------------------


def test_anchor_kept_for_one_purpose_serves_that_one_alone(world: PkiWorld) -> None:
    unit, hub, stamper = world.unit(), world.hub(), world.time_stamper()
    intermediates = [one.certificate for one in world.certifiers[1:]]
    root = [world.root.certificate]
    stores = {
        "seals": TrustStore.of([], intermediates, world.crls(), seals=root),
        "evidence": TrustStore.of([], intermediates, world.crls(), evidence=root),
        "time": TrustStore.of([], intermediates, world.crls(), time=root),
    }
    for kind, store in stores.items():
        for purpose, credential in ((UNIT_SEAL, unit.seal), (HUB_EVIDENCE, hub.seal), (TIME_STAMP, stamper)):
            if purpose.anchors == kind:
                check(credential, store, purpose)
            else:
                with pytest.raises(PathNotFound):
                    check(credential, store, purpose)
        with pytest.raises(PathNotFound):
            check(unit.tls, store, TLS_CLIENT)


def test_issuing_authority_may_be_the_anchor(world: PkiWorld) -> None:
    unit = world.unit()
    trust = TrustStore.of([world.seals.certificate], [], world.crls())
    assert len(check(unit.seal, trust).certificates) == 2


def test_pinned_end_entity_needs_neither_path_nor_revocation(world: PkiWorld) -> None:
    stranger = PkiWorld().unit()
    trust = TrustStore.of([stranger.seal.certificate])
    path = check(stranger.seal, trust, HUB_EVIDENCE)
    assert path.certificates == (stranger.seal.certificate,)
    assert path.revocation == ()
    assert path.expires == stranger.seal.certificate.not_valid_after_utc


def test_pinned_end_entity_must_be_in_its_period(world: PkiWorld) -> None:
    unit = world.unit(begins=NOW - DAY, ends=NOW)
    trust = TrustStore.of([unit.seal.certificate])
    with pytest.raises(CertificateExpired):
        check(unit.seal, trust, at=NOW + SECOND)
    with pytest.raises(CertificateNotYetValid):
        check(unit.seal, trust, at=NOW - DAY - SECOND)


def test_pinned_end_entity_certifies_nobody(world: PkiWorld) -> None:
    unit = world.unit()
    leaf = forge(Certifier(unit.seal.certificate, unit.seal.signer, world.seals.url))
    trust = TrustStore.of([unit.seal.certificate], [], world.crls())
    with pytest.raises(PathError):
        check_path(leaf, others=[], trust=trust, purpose=UNIT_SEAL, at=NOW)


def test_authority_among_the_anchors_does_not_seal_itself(world: PkiWorld) -> None:
    with pytest.raises(PurposeWrong):
        check_path(world.root.certificate, others=[], trust=world.trust(), purpose=SEAL_ANY, at=NOW)


def test_two_certificates_of_one_authority_stand_side_by_side(world: PkiWorld) -> None:
    """The first is revoked, or lacks the policy; the renewed one carries the path."""
    unit = world.unit()
    crippled = forge_authority(world, signer=world.seals.signer, policies=None)
    # The same name and key as the good one, so that it fits everywhere in its place.
    leaf_issuer = Certifier(crippled.certificate, world.seals.signer, world.seals.url)
    leaf = forge(leaf_issuer)
    renewed = forge_authority(world, signer=world.seals.signer)
    assert renewed.certificate.subject == crippled.certificate.subject
    trust = TrustStore.of(
        [world.root.certificate],
        [crippled.certificate, renewed.certificate],
        [*world.crls(), renewed.revocation_list(NOW)],
    )
    for others in ([], [crippled.certificate], [renewed.certificate, crippled.certificate]):
        path = check_path(leaf, others=others, trust=trust, purpose=UNIT_SEAL, at=NOW)
        assert path.certificates[1] == renewed.certificate
    check(unit.seal, world.trust())


def test_old_and_new_root_stand_side_by_side(world: PkiWorld) -> None:
    renewed = PkiWorld()
    lists = (*world.crls(), *renewed.crls())
    trust = TrustStore.of([renewed.root.certificate, world.root.certificate], [], lists)
    for one in (world, renewed):
        check(one.unit().seal, trust)


def test_store_is_named_by_what_is_in_it(world: PkiWorld) -> None:
    root, seals = world.root.certificate, world.seals.certificate
    plain = TrustStore.of([root], [seals])
    assert plain.digest == TrustStore.of([root, root], [seals, seals]).digest
    assert plain.digest.startswith("sha256:")
    variants = [
        plain,
        TrustStore.of([root]),
        TrustStore.of([seals], [root]),
        TrustStore.of([], [seals], seals=[root]),
        TrustStore.of([], [seals], time=[root]),
        plain.with_extra(crls=world.crls()),
    ]
    assert len({store.digest for store in variants}) == len(variants)


# --- revocation -------------------------------------------------------------------------------


def test_revoked_certificate_fails_then_and_later_but_not_before(world: PkiWorld) -> None:
    unit = world.unit()
    world.revoke(unit.seal.certificate, NOW, RevocationReason.KEY_COMPROMISE)
    trust = TrustStore.of([world.root.certificate], [], world.crls(NOW + DAY))
    check(unit.seal, trust, at=NOW - SECOND)
    for at in (NOW, NOW + DAY):
        with pytest.raises(CertificateRevoked) as caught:
            check(unit.seal, trust, at=at)
        assert caught.value.revoked_at == NOW
        assert caught.value.reason == "keyCompromise"


def test_revocation_does_not_depend_on_a_distribution_point(world: PkiWorld) -> None:
    """T1, the most dangerous default of all."""
    leaf = forge(world.seals, point=None)
    others = [world.seals.certificate]
    check_path(leaf, others=others, trust=world.trust(), purpose=UNIT_SEAL, at=NOW)
    world.revoke(leaf, NOW)
    with pytest.raises(CertificateRevoked):
        check_path(leaf, others=others, trust=world.trust(), purpose=UNIT_SEAL, at=NOW)
    trust = TrustStore.of([world.root.certificate], [], [world.root.revocation_list(NOW)])
    with pytest.raises(RevocationUnknown):
        check_path(leaf, others=others, trust=trust, purpose=UNIT_SEAL, at=NOW)


def test_every_reason_counts_even_a_hold(world: PkiWorld) -> None:
    for reason in RevocationReason:
        unit = world.unit()
        world.revoke(unit.seal.certificate, NOW, reason)
        with pytest.raises(CertificateRevoked) as caught:
            check(unit.seal, world.trust())
        assert caught.value.reason == reason.value


def test_list_of_each_authority_in_the_path_is_needed(world: PkiWorld) -> None:
    unit = world.unit()
    for missing in (world.root, world.seals):
        lists = [one.revocation_list(NOW) for one in world.certifiers if one is not missing]
        with pytest.raises(RevocationUnknown):
            check(unit.seal, TrustStore.of([world.root.certificate], [], lists))


def test_ended_list_knows_nothing(world: PkiWorld) -> None:
    unit = world.unit()
    trust = world.trust()
    ends = min(one.next_update for one in world.crls())
    check(unit.seal, trust, at=ends)
    with pytest.raises(RevocationUnknown):
        check(unit.seal, trust, at=ends + SECOND)


def test_later_list_answers_for_an_earlier_instant(world: PkiWorld) -> None:
    """A receipt of last month is judged with today's list, as long as the certificate had not ended."""
    unit = world.unit(ends=NOW + 10 * DAY)
    trust = TrustStore.of([world.root.certificate], [], world.crls(NOW + 9 * DAY))
    check(unit.seal, trust, at=NOW - 20 * DAY)


def test_list_from_after_the_certificates_end_does_not_answer(world: PkiWorld) -> None:
    """Authorities drop entries of ended certificates: silence there means nothing."""
    unit = world.unit(ends=NOW + 10 * DAY)
    world.revoke(unit.seal.certificate, NOW - DAY)
    silent = build_crl(
        world.seals.certificate,
        world.seals.signer,
        entries=(),
        number=99,
        this_update=NOW + 11 * DAY,
        next_update=NOW + 18 * DAY,
    )
    trust = TrustStore.of([world.root.certificate], [], [world.root.revocation_list(NOW), silent])
    with pytest.raises(RevocationUnknown):
        check(unit.seal, trust)


def test_one_list_that_says_revoked_outweighs_those_that_do_not(world: PkiWorld) -> None:
    unit = world.unit()
    before = world.crls(NOW)
    world.revoke(unit.seal.certificate, NOW - SECOND)
    after = world.crls(NOW)
    for lists in ((*before, *after), (*after, *before)):
        with pytest.raises(CertificateRevoked):
            check(unit.seal, TrustStore.of([world.root.certificate], [], lists))
    # An old list that the document brings along does not help either.
    with pytest.raises(CertificateRevoked):
        check(unit.seal, TrustStore.of([world.root.certificate], [], after).with_extra(crls=before))


def test_list_signed_by_another_key_of_that_name_is_not_believed(world: PkiWorld) -> None:
    unit, impostor = world.unit(), PkiWorld()
    assert impostor.seals.certificate.subject == world.seals.certificate.subject
    lists = [world.root.revocation_list(NOW), impostor.seals.revocation_list(NOW)]
    with pytest.raises(RevocationUnknown):
        check(unit.seal, TrustStore.of([world.root.certificate], [], lists))


def test_list_of_a_foreign_authority_revokes_nobody_here(world: PkiWorld) -> None:
    """Whoever brings a list may not revoke other people's certificates with it."""
    unit, impostor = world.unit(), PkiWorld()
    from pki.revocation import Revoked

    impostor.seals.revoked.append(Revoked(unit.seal.certificate.serial_number, NOW - DAY))
    trust = world.trust().with_extra(crls=[impostor.seals.revocation_list(NOW)])
    check(unit.seal, trust)


def partitioned(world: PkiWorld, point: str) -> RevocationList:
    return build_crl(
        world.seals.certificate,
        world.seals.signer,
        entries=world.seals.revoked,
        number=1,
        this_update=NOW - SECOND,
        next_update=NOW + DAY,
        distribution_point=point,
    )


def test_partitioned_list_answers_for_its_own_address_alone(world: PkiWorld) -> None:
    unit = world.unit()
    root_list = world.root.revocation_list(NOW)
    mine = partitioned(world, world.seals.url)
    check(unit.seal, TrustStore.of([world.root.certificate], [], [root_list, mine]))
    others = partitioned(world, "http://crl.example.gov/another.crl")
    with pytest.raises(RevocationUnknown):
        check(unit.seal, TrustStore.of([world.root.certificate], [], [root_list, others]))
    without_point = forge(world.seals, point=None)
    with pytest.raises(RevocationUnknown):
        check_path(
            without_point,
            others=[world.seals.certificate],
            trust=TrustStore.of([world.root.certificate], [], [root_list, mine]),
            purpose=UNIT_SEAL,
            at=NOW,
        )


def test_revoked_authority_fails_every_path_under_it(world: PkiWorld) -> None:
    unit = world.unit()
    world.revoke(world.seals.certificate, NOW, RevocationReason.CA_COMPROMISE)
    with pytest.raises(CertificateRevoked) as caught:
        check(unit.seal, world.trust())
    assert "CA" in caught.value.subject


# --- policies ---------------------------------------------------------------------------------

ANY = ObjectIdentifier("2.5.29.32.0")
OTHER = ObjectIdentifier("1.2.3.4")
POLICY_LIMITS = {
    "explicit": (x509.PolicyConstraints(0, None), True),
    "inhibit": (x509.InhibitAnyPolicy(0), True),
}


@pytest.mark.parametrize(
    ("authority", "limits", "leaf", "unit_seal", "any_seal"),
    [
        ([UNIT_SEAL_POLICY], [], [UNIT_SEAL_POLICY], True, True),
        ([ANY], [], [UNIT_SEAL_POLICY], True, True),
        ([ANY, OTHER], [], [UNIT_SEAL_POLICY, OTHER], True, True),
        ([OTHER], [], [UNIT_SEAL_POLICY], False, True),
        ([], [], [UNIT_SEAL_POLICY], False, True),
        ([UNIT_SEAL_POLICY], [], [ANY], False, True),
        ([UNIT_SEAL_POLICY], [], [OTHER], False, True),
        ([OTHER], ["explicit"], [UNIT_SEAL_POLICY], False, False),
        ([OTHER], ["explicit"], [OTHER], False, True),
        ([UNIT_SEAL_POLICY], ["explicit"], [UNIT_SEAL_POLICY], True, True),
        ([UNIT_SEAL_POLICY], ["explicit", "inhibit"], [ANY], False, False),
        ([UNIT_SEAL_POLICY], ["explicit"], [ANY], False, True),
        ([UNIT_SEAL_POLICY], ["explicit"], [], False, False),
    ],
)
def test_policies_hold_along_the_path(
    world: PkiWorld,
    authority: list[ObjectIdentifier],
    limits: list[str],
    leaf: list[ObjectIdentifier],
    unit_seal: bool,
    any_seal: bool,
) -> None:
    certifier = forge_authority(
        world,
        policies=policies(*authority) if authority else None,
        **{name: POLICY_LIMITS[name] for name in limits},
    )
    certificate = forge(certifier, policies=policies(*leaf) if leaf else None)
    trust = trusting(world, certifier)
    for purpose, good in ((UNIT_SEAL, unit_seal), (SEAL_ANY, any_seal)):
        if good:
            check_path(certificate, others=[certifier.certificate], trust=trust, purpose=purpose, at=NOW)
        else:
            with pytest.raises(PurposeWrong):
                check_path(certificate, others=[certifier.certificate], trust=trust, purpose=purpose, at=NOW)


def test_inhibited_any_policy_of_a_lower_authority_is_void(world: PkiWorld) -> None:
    upper = forge_authority(
        world, basic=(x509.BasicConstraints(True, 1), True), inhibit=POLICY_LIMITS["inhibit"]
    )
    lower = forge_authority(world, by=upper, role="sub CA", policies=policies(ANY))
    leaf = forge(lower)
    facts = [facts_of(one) for one in (leaf, lower.certificate, upper.certificate)]
    with pytest.raises(PurposeWrong):
        check_policies(facts, UNIT_SEAL)
    upper = forge_authority(world, basic=(x509.BasicConstraints(True, 1), True))
    facts[2] = facts_of(upper.certificate)
    check_policies(facts, UNIT_SEAL)


# --- the cache --------------------------------------------------------------------------------


def test_cache_gives_the_same_answer(world: PkiWorld) -> None:
    unit, trust = world.unit(), world.trust()
    cache = PathCache(trust)
    first = cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW)
    assert first == check(unit.seal, trust)
    again = load_certificate(encode_certificate(unit.seal.certificate))
    assert cache.check(again, list(unit.seal.others), UNIT_SEAL, NOW + SECOND) is first


def test_cache_forgets_at_the_end_and_never_answers_for_earlier(world: PkiWorld) -> None:
    unit = world.unit()
    cache = PathCache(world.trust())
    path = cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW)
    with pytest.raises(RevocationUnknown):
        cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, path.expires + SECOND)
    with pytest.raises(CertificateNotYetValid):
        cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, world.begins - SECOND)


def test_cache_expires_when_an_announced_revocation_comes(world: PkiWorld) -> None:
    unit = world.unit()
    from pki.revocation import Revoked

    announced = Revoked(unit.seal.certificate.serial_number, NOW + timedelta(hours=1))
    one = build_crl(
        world.seals.certificate,
        world.seals.signer,
        entries=[announced],
        number=5,
        this_update=NOW,
        next_update=NOW + DAY,
    )
    cache = PathCache(TrustStore.of([world.root.certificate], [], [one, world.root.revocation_list(NOW)]))
    assert cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW).expires == announced.at
    with pytest.raises(CertificateRevoked):
        cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, announced.at)


def test_cache_judges_by_the_new_store_at_once(world: PkiWorld) -> None:
    unit = world.unit()
    cache = PathCache(world.trust())
    cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW)
    world.revoke(unit.seal.certificate, NOW)
    cache.replace(world.trust())
    with pytest.raises(CertificateRevoked):
        cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW)


def test_cache_keeps_purposes_apart_and_stays_small(world: PkiWorld) -> None:
    unit = world.unit()
    cache = PathCache(world.trust(), size=2)
    cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW)
    with pytest.raises(PurposeWrong):
        cache.check(unit.seal.certificate, unit.seal.others, HUB_EVIDENCE, NOW)
    paths = [
        cache.check(member.seal.certificate, member.seal.others, UNIT_SEAL, NOW)
        for member in (unit, world.unit(), world.unit())
    ]
    assert cache.check(unit.seal.certificate, unit.seal.others, UNIT_SEAL, NOW) is not paths[0]


def test_utc_is_what_everything_is_reported_in(world: PkiWorld) -> None:
    path = check(world.unit().seal, world.trust())
    assert path.expires.tzinfo is UTC
