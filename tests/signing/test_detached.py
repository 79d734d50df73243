"""Verdicts on signature files, and the step that each defect is named by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from pki.keys import Algorithm, SoftwareSigner
from pki.path import PathCache, TrustStore
from pki.profile import ISSUING_SEALS
from pki.purpose import HUB_EVIDENCE, SEAL_ANY, UNIT_SEAL, Purpose
from signing import der
from signing.cms import CadesSignerInfo, decode_cades
from signing.detached import (
    ProvenTime,
    SealTime,
    judge_cades,
    judge_detached,
    judge_signer,
    seal_time,
)
from signing.report import Indication, Result, SealReport, TimeSource, Verdict, file_report, report_json
from tests.signing.files import (
    CONTENT,
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

DAY = timedelta(days=1)
GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


@pytest.fixture(scope="module")
def unit(world: PkiWorld) -> Member:
    return world.unit("甲市人民政府")


@pytest.fixture(scope="module")
def hub(world: PkiWorld) -> Member:
    return world.hub()


@pytest.fixture(scope="module")
def trust(world: PkiWorld) -> TrustStore:
    return world.trust()


@pytest.fixture(scope="module")
def good(unit: Member) -> bytes:
    return signed(unit.seal)


@pytest.fixture(scope="module")
def doubly(hub: Member, good: bytes) -> bytes:
    return cades_signer(hub.seal).cosign(good, CONTENT, at=NOW)


def judged(
    file: bytes,
    trust: TrustStore,
    *,
    content: bytes = CONTENT,
    purpose: Purpose = UNIT_SEAL,
    now: datetime = NOW,
    at: datetime | None = None,
    proven: ProvenTime | None = None,
    paths: PathCache | None = None,
) -> SealReport:
    (report,) = judge_detached(
        file, digest_of(content), trust=trust, purpose=purpose, now=now, at=at, proven=proven, paths=paths
    )
    return report


def outcome(report: SealReport) -> tuple[Verdict, str | None]:
    return report.verdict, report.sub_indication


def result(report: SealReport, step: str) -> Result:
    return {one.step: one.result for one in report.steps}[step]


def by_signer(hub: Member) -> Callable[[CadesSignerInfo], Purpose]:
    return lambda info: HUB_EVIDENCE if info.certificate == hub.seal.certificate else UNIT_SEAL


# --- good files


def test_a_good_file_passes_every_step_and_names_its_unit(
    good: bytes, trust: TrustStore, unit: Member
) -> None:
    report = judged(good, trust, at=NOW)
    assert outcome(report) == (Verdict.VALID, None)
    assert report.indication is Indication.TOTAL_PASSED
    assert report.format == "CAdES-B-B"
    assert report.unit == unit.unit
    assert report.signer == "甲市人民政府"
    assert [one.step for one in report.steps] == [
        "format", "message-digest", "signature-value", "signing-certificate", "certification-path",
        "revocation", "purpose", "signing-time", "embedded-certificates",
    ]  # fmt: skip
    assert {one.result for one in report.steps} == {Result.PASSED}


def test_every_sentence_of_a_report_can_be_said(good: bytes, trust: TrustStore) -> None:
    for report in (judged(good, trust), judged(good, trust, content=b""), judged(b"", trust)):
        assert report_json(file_report("a.p7s", [report]))


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256])
def test_other_suites_pass_too(world: PkiWorld, trust: TrustStore, algorithm: Algorithm) -> None:
    report = judged(signed(world.unit(algorithm=algorithm).seal), trust, at=NOW)
    assert outcome(report) == (Verdict.VALID, None)


def test_two_signers_are_judged_each_by_what_it_must_be(
    doubly: bytes, hub: Member, trust: TrustStore
) -> None:
    reports = judge_detached(doubly, digest_of(), trust=trust, purpose=by_signer(hub), now=NOW, at=NOW)
    assert [report.verdict for report in reports] == [Verdict.VALID, Verdict.VALID]


def test_a_unit_never_passes_for_the_hub_nor_the_hub_for_a_unit(
    good: bytes, hub: Member, trust: TrustStore
) -> None:
    assert result(judged(good, trust, purpose=HUB_EVIDENCE, at=NOW), "purpose") is Result.INDETERMINATE
    report = judged(signed(hub.seal), trust, purpose=UNIT_SEAL, at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")


def test_one_signer_can_be_judged_alone(good: bytes, trust: TrustStore) -> None:
    cades = decode_cades(good)
    found = judge_signer(
        cades.signers[0],
        hashlib.sha256(CONTENT).digest(),
        others=cades.certificates,
        trust=trust,
        purpose=UNIT_SEAL,
        time=seal_time(now=NOW, at=NOW),
    )
    assert found.report.verdict is Verdict.VALID
    assert found.path is not None
    assert found.path.certificates[0] == cades.signers[0].certificate


def test_remembered_paths_give_the_same_verdict(good: bytes, trust: TrustStore) -> None:
    paths = PathCache(trust)
    for _ in range(2):
        (report,) = judge_cades(
            decode_cades(good),
            digest_of(),
            trust=trust,
            purpose=UNIT_SEAL,
            time=seal_time(now=NOW, at=NOW),
            paths=paths,
        )
        assert report.verdict is Verdict.VALID


# --- when


def test_a_claimed_time_alone_is_remarked_upon(good: bytes, trust: TrustStore) -> None:
    report = judged(good, trust)
    assert outcome(report) == (Verdict.VALID_WITH_REMARKS, None)
    assert (report.time, report.time_source) == (NOW, TimeSource.CLAIMED)


def test_a_proven_time_makes_it_valid(good: bytes, trust: TrustStore) -> None:
    proven = ProvenTime(NOW + timedelta(seconds=2), TimeSource.LEDGER)
    report = judged(good, trust, now=NOW + timedelta(hours=1), proven=proven)
    assert outcome(report) == (Verdict.VALID, None)
    assert (report.time, report.time_source) == (proven.at, TimeSource.LEDGER)


def test_an_expired_certificate_is_good_where_the_time_is_proven_and_undecided_where_it_is_claimed(
    world: PkiWorld,
) -> None:
    member = world.unit(ends=NOW + DAY)
    file = signed(member.seal)
    later = NOW + 2 * DAY
    trust = world.trust()
    assert (
        judged(file, trust, now=later, proven=ProvenTime(NOW, TimeSource.TIMESTAMP)).verdict is Verdict.VALID
    )
    assert outcome(judged(file, trust, now=later)) == (Verdict.UNDECIDED, "OUT_OF_BOUNDS_NO_POE")
    assert outcome(judged(file, trust, now=later, at=NOW)) == (Verdict.VALID, None)


def test_the_given_instant_counts_for_everything(good: bytes, trust: TrustStore) -> None:
    before = NOW - 60 * DAY
    assert outcome(judged(good, trust, at=before)) == (Verdict.NOT_VALID, "NOT_YET_VALID")
    assert seal_time(now=NOW, at=before, proven=ProvenTime(NOW, TimeSource.LEDGER)) == SealTime(
        before, None, True
    )
    proven = ProvenTime(NOW - DAY, TimeSource.LEDGER)
    assert seal_time(now=NOW + DAY, at=NOW, proven=proven) == SealTime(NOW, proven, True)
    assert seal_time(now=NOW, proven=proven) == SealTime(proven.at, proven, False)


def test_a_proof_from_the_future_is_no_proof(good: bytes, trust: TrustStore) -> None:
    report = judged(good, trust, proven=ProvenTime(NOW + DAY, TimeSource.COSIGNATURE))
    assert report.verdict is Verdict.VALID_WITH_REMARKS
    assert report.time_source is TimeSource.CLAIMED


def test_a_claim_from_the_future_is_remarked_upon(unit: Member, trust: TrustStore) -> None:
    file = cades_signer(unit.seal).sign(CONTENT, at=NOW + timedelta(hours=1))
    assert judged(file, trust, at=NOW).verdict is Verdict.VALID_WITH_REMARKS


# --- the path


def test_revocation_before_the_instant_makes_it_not_valid_and_after_it_does_not() -> None:
    world = PkiWorld()
    member = world.unit()
    file = signed(member.seal)
    world.revoke(member.seal.certificate, at=NOW + DAY)
    trust = world.trust(at=NOW + 2 * DAY)
    proven = ProvenTime(NOW, TimeSource.LEDGER)
    assert judged(file, trust, now=NOW + 2 * DAY, proven=proven).verdict is Verdict.VALID
    report = judged(file, trust, now=NOW + 2 * DAY)
    assert outcome(report) == (Verdict.NOT_VALID, "REVOKED")
    assert result(report, "revocation") is Result.FAILED


def test_not_knowing_about_revocation_is_not_yes(world: PkiWorld, good: bytes) -> None:
    trust = TrustStore.of([world.root.certificate])
    report = judged(good, trust, at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "TRY_LATER")
    assert result(report, "revocation") is Result.INDETERMINATE


def test_without_its_anchor_nothing_is_decided(good: bytes) -> None:
    report = judged(good, PkiWorld().trust(), at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")
    assert judged(good, TrustStore.of([]), at=NOW).verdict is Verdict.UNDECIDED


def test_a_pinned_certificate_is_trusted_as_it_is_while_it_lasts() -> None:
    credential = stranger(SoftwareSigner.generate())
    file = signed(credential)
    trust = TrustStore.of([credential.certificate])
    assert outcome(judged(file, trust, at=NOW)) == (Verdict.VALID, None)
    assert judged(file, trust, now=NOW + 400 * DAY).verdict is Verdict.UNDECIDED


def test_beside_a_pinned_certificate_the_others_must_be_known(
    world: PkiWorld, unit: Member, good: bytes
) -> None:
    # Nobody vouches for the authority's certificate when only the unit's is trusted:
    # it could be another one, and nobody would notice.
    pinned = TrustStore.of([unit.seal.certificate])
    report = judged(good, pinned, at=NOW)
    assert report.verdict is Verdict.UNDECIDED
    assert result(report, "embedded-certificates") is Result.INDETERMINATE
    known = TrustStore.of([unit.seal.certificate], [world.seals.certificate])
    assert judged(good, known, at=NOW).verdict is Verdict.VALID


# --- what was changed


def test_another_content_is_a_hash_failure(good: bytes, trust: TrustStore) -> None:
    report = judged(good, trust, content=CONTENT + b" ", at=NOW)
    assert outcome(report) == (Verdict.NOT_VALID, "HASH_FAILURE")
    assert report.indication is Indication.TOTAL_FAILED
    assert result(report, "signature-value") is Result.PASSED


def test_another_keys_signature_is_a_crypto_failure(unit: Member, good: bytes, trust: TrustStore) -> None:
    info = signer_info(SoftwareSigner.generate(), unit.seal.certificate, attributes_of(good).values())
    report = judged(assembled(good, infos=[info]), trust, at=NOW)
    assert outcome(report) == (Verdict.NOT_VALID, "SIG_CRYPTO_FAILURE")
    assert result(report, "message-digest") is Result.PASSED


@pytest.mark.parametrize(
    "data", [b"", b"not a signature", b"0\x80", b"\x30\x03\x02\x01\x01", b"\x30\x80" * 5000]
)
def test_what_is_no_signature_file_is_a_format_failure(data: bytes, trust: TrustStore) -> None:
    report = judged(data, trust)
    assert outcome(report) == (Verdict.NOT_VALID, "FORMAT_FAILURE")
    assert [one.step for one in report.steps] == ["format"]


def test_no_changed_byte_leaves_the_verdict_good(good: bytes, trust: TrustStore) -> None:
    paths = PathCache(trust)
    assert judged(good, trust, paths=paths).verdict in GOOD
    for position, changed in flips(good, 0x01):
        assert judged(changed, trust, paths=paths).verdict not in GOOD, position


def test_no_changed_byte_of_two_signers_leaves_the_verdict_good(
    doubly: bytes, hub: Member, trust: TrustStore
) -> None:
    paths = PathCache(trust)
    for position, changed in flips(doubly, 0x80):
        reports = judge_detached(changed, digest_of(), trust=trust, purpose=SEAL_ANY, now=NOW, paths=paths)
        assert any(report.verdict not in GOOD for report in reports), position


def test_a_certificate_of_another_spelling_is_never_taken_for_the_one_it_was(
    doubly: bytes, unit: Member, good: bytes, trust: TrustStore
) -> None:
    # A parser that encodes anew what it has read gives back TRUE as ff; a changed byte in an
    # authority's certificate went unnoticed so.
    for file in (doubly, _further_attribute(unit, good)):
        at = -1
        while (at := file.find(b"\x01\x01\xff", at + 1)) >= 0:
            changed = file[: at + 2] + b"\x7f" + file[at + 3 :]
            reports = judge_detached(changed, digest_of(), trust=trust, purpose=SEAL_ANY, now=NOW)
            assert any(report.verdict not in GOOD for report in reports), at


def test_a_certificate_slipped_in_is_a_format_failure(
    world: PkiWorld, good: bytes, trust: TrustStore
) -> None:
    certificates = sorted([*parts(good)[3], *encoded(world.unit().seal.certificate)])
    report = judged(assembled(good, certificates=certificates), trust, at=NOW)
    assert outcome(report) == (Verdict.NOT_VALID, "FORMAT_FAILURE")
    assert result(report, "embedded-certificates") is Result.FAILED


def test_a_renewed_authority_does_not_undo_files_that_carry_the_old_one(world: PkiWorld, good: bytes) -> None:
    old = world.seals
    renewed = _renewed(world)
    assert renewed.subject == old.certificate.subject
    trust = TrustStore.of([world.root.certificate], [renewed], world.crls())
    assert judged(good, trust, at=NOW).verdict is Verdict.VALID
    carrying_new = assembled(good, certificates=sorted([*parts(good)[3], *encoded(renewed)]))
    assert judged(carrying_new, trust, at=NOW).verdict is Verdict.VALID
    broken = bytearray(encoded(renewed)[0])
    broken[-1] ^= 1
    spoilt = assembled(good, certificates=sorted([*parts(good)[3], bytes(broken)]))
    assert judged(spoilt, trust, at=NOW).verdict not in GOOD


def _renewed(world: PkiWorld) -> x509.Certificate:
    return world.certify(
        ISSUING_SEALS, world.seals.signer.public_key, by=world.root, name="演示", begins=NOW - 2 * DAY
    )


# --- other makers' files, made by hand


def _further_attribute(unit: Member, good: bytes) -> bytes:
    hint = attribute("1.2.840.113549.1.9.16.2.4", der.sequence(der.oid("1.2.840.113549.1.7.1")))
    return resigned(unit.seal, good, [*attributes_of(good).values(), hint])


def test_a_file_with_further_signed_attributes_is_judged_as_foreign(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    report = judged(_further_attribute(unit, good), trust, at=NOW)
    assert outcome(report) == (Verdict.VALID, None)
    assert report.format == "CAdES-B-B"


def test_no_changed_byte_of_a_foreign_file_leaves_the_verdict_good(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    paths = PathCache(trust)
    assert judged(_further_attribute(unit, good), trust, paths=paths).verdict in GOOD
    for position, changed in flips(_further_attribute(unit, good), 0x01):
        assert judged(changed, trust, paths=paths).verdict not in GOOD, position


def test_ber_is_read_and_remarked_upon(unit: Member, good: bytes, trust: TrustStore) -> None:
    body = _further_attribute(unit, good)[4:]
    report = judged(b"\x30\x80" + body + b"\x00\x00", trust, at=NOW)
    assert report.verdict is Verdict.VALID_WITH_REMARKS


def test_without_a_binding_to_its_certificate_it_is_undecided(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    kept = [one for name, one in attributes_of(good).items() if name != "signing-certificate"]
    report = judged(resigned(unit.seal, good, kept), trust, at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert report.format == "CMS"


def test_a_binding_to_another_certificate_is_never_good(
    unit: Member, hub: Member, good: bytes, trust: TrustStore
) -> None:
    (other,) = encoded(hub.seal.certificate)
    binding = attribute(
        "1.2.840.113549.1.9.16.2.47",
        der.sequence(der.sequence(der.sequence(der.octet_string(hashlib.sha256(other).digest())))),
    )
    attributes = attributes_of(good) | {"signing-certificate": binding}
    report = judged(resigned(unit.seal, good, attributes.values()), trust, at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "NO_SIGNING_CERTIFICATE_FOUND")


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        ("version", {"version": der.integer(3)}),
        ("digests", {"digests": der.set_of([SHA256, der.sequence(der.oid("2.16.840.1.101.3.4.2.2"))])}),
    ],
)
def test_what_nobody_signs_and_nobody_reads_is_undecided_when_it_is_odd(
    good: bytes, trust: TrustStore, part: str, broken: dict[str, bytes]
) -> None:
    report = judged(assembled(good, **broken), trust, at=NOW)  # type: ignore[arg-type]
    assert outcome(report) == (Verdict.UNDECIDED, "SIG_CONSTRAINTS_FAILURE")


def test_a_signed_content_type_other_than_the_contents_is_a_format_failure(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    other = attribute("1.2.840.113549.1.9.3", der.oid("1.2.840.113549.1.9.16.1.4"))
    attributes = attributes_of(good) | {"content-type": other}
    report = judged(resigned(unit.seal, good, attributes.values()), trust, at=NOW)
    assert outcome(report) == (Verdict.NOT_VALID, "FORMAT_FAILURE")


def test_a_signed_attribute_that_comes_twice_is_a_format_failure(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    later = attributes_of(cades_signer(unit.seal).sign(CONTENT, at=NOW + DAY))["signing-time"]
    report = judged(resigned(unit.seal, good, [*attributes_of(good).values(), later]), trust, at=NOW)
    assert outcome(report) == (Verdict.NOT_VALID, "FORMAT_FAILURE")


def test_unsigned_attributes_leave_it_undecided(unit: Member, good: bytes, trust: TrustStore) -> None:
    unsigned = der.encode(der.CONTEXT_1, attribute("1.2.840.113549.1.9.16.2.14", der.sequence()))
    file = resigned(unit.seal, good, attributes_of(good).values(), unsigned=unsigned)
    assert outcome(judged(file, trust, at=NOW)) == (Verdict.UNDECIDED, "SIG_CONSTRAINTS_FAILURE")


def test_content_inside_is_judged_by_itself_and_beside_another(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    def enveloped(content: bytes) -> bytes:
        inside = der.encode(der.CONTEXT_0, der.octet_string(content))
        return assembled(good, encapsulated=der.sequence(der.oid("1.2.840.113549.1.7.1"), inside))

    (report,) = judge_detached(enveloped(CONTENT), None, trust=trust, purpose=UNIT_SEAL, now=NOW, at=NOW)
    assert report.verdict is Verdict.VALID
    assert judged(enveloped(CONTENT), trust, at=NOW).verdict is Verdict.VALID
    for inside, beside in ((CONTENT, b"other"), (b"other", CONTENT)):
        report = judged(enveloped(inside), trust, content=beside, at=NOW)
        assert outcome(report) == (Verdict.NOT_VALID, "HASH_FAILURE")


def test_without_any_content_it_is_undecided(good: bytes, trust: TrustStore) -> None:
    (report,) = judge_detached(good, None, trust=trust, purpose=UNIT_SEAL, now=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "SIGNED_DATA_NOT_FOUND")


@pytest.mark.parametrize(
    ("digest", "signature_algorithm"),
    [
        pytest.param("1.3.14.3.2.26", "1.2.840.10045.4.1", id="sha-1"),
        pytest.param("1.2.840.113549.2.5", "1.2.840.113549.1.1.4", id="md5"),
        pytest.param("1.2.156.10197.1.401", "1.2.156.10197.1.501", id="sm3-with-sm2"),
        pytest.param("2.16.840.1.101.3.4.2.3", "1.3.101.112", id="ed25519"),
    ],
)
def test_algorithms_that_we_do_not_accept_are_never_good(
    unit: Member, good: bytes, trust: TrustStore, digest: str, signature_algorithm: str
) -> None:
    identifier = der.sequence(der.oid(digest))
    info = signer_info(
        unit.seal.signer,
        unit.seal.certificate,
        attributes_of(good).values(),
        digest=identifier,
        signature_algorithm=der.sequence(der.oid(signature_algorithm)),
    )
    report = judged(assembled(good, digests=der.set_of([identifier]), infos=[info]), trust, at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE")


def test_a_stray_certificate_in_a_foreign_file_leaves_it_undecided(
    unit: Member, good: bytes, trust: TrustStore
) -> None:
    file = _further_attribute(unit, good)
    stray = PkiWorld().unit().seal.certificate
    report = judged(assembled(file, certificates=[*parts(file)[3], *encoded(stray)]), trust, at=NOW)
    assert outcome(report) == (Verdict.UNDECIDED, "CERTIFICATE_CHAIN_GENERAL_FAILURE")


def test_a_root_that_travels_along_in_a_foreign_file_does_no_harm(
    world: PkiWorld, unit: Member, good: bytes, trust: TrustStore
) -> None:
    file = _further_attribute(unit, good)
    report = judged(
        assembled(file, certificates=[*parts(file)[3], *encoded(world.root.certificate)]), trust, at=NOW
    )
    assert report.verdict is Verdict.VALID


def test_a_certificate_for_another_purpose_seals_nothing(world: PkiWorld, trust: TrustStore) -> None:
    member = world.unit()
    report = judged(signed(member.tls), trust, purpose=SEAL_ANY, at=NOW)
    assert report.verdict is Verdict.UNDECIDED
    assert result(report, "purpose") is Result.INDETERMINATE
