"""What PDFs and their seals come to: good ones, old ones, revoked ones, foreign ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
from pyhanko.sign.fields import SigSeedSubFilter

from pki.keys import Algorithm
from pki.path import HUB_EVIDENCE, SEAL_ANY, TrustStore
from signing.pdf_check import judge_pdf
from signing.report import Indication, Severity, TimeSource, Verdict
from tests.signing import attacks
from tests.signing.attacks import Attack
from tests.signing.foreign_pdfs import document_time_stamp, foreign_seal, timed_seal
from tests.signing.pdfs import (
    codes,
    failed_steps,
    judged,
    plain_pdf,
    seal,
    sealed_pdf,
    trust,
    unit,
    world,
)
from tests.worlds.pki import NOW, Credential, PkiWorld

DAY = timedelta(days=1)


def test_a_good_seal_is_valid_at_a_given_time_and_every_step_passes() -> None:
    report = judged(sealed_pdf())
    assert report.verdict is Verdict.VALID
    assert report.indication is Indication.TOTAL_PASSED
    assert report.findings == ()
    (one,) = report.seals
    assert one.format == "PAdES-B-B"
    assert one.signer == "临江市教育局"
    assert one.unit == unit().unit
    assert failed_steps(report) == set()
    assert [step.step for step in one.steps] == [
        "format", "byte-range", "message-digest", "signature-value", "signing-certificate",
        "certification-path", "revocation", "purpose", "signing-time", "embedded-certificates",
        "later-changes", "certification-docmdp", "second-opinion",
    ]  # fmt: skip


def test_a_merely_claimed_time_is_a_remark() -> None:
    report = judged(sealed_pdf(), at=None)
    assert report.verdict is Verdict.VALID_WITH_REMARKS
    assert report.seals[0].time == NOW
    assert report.seals[0].time_source is TimeSource.CLAIMED


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256])
def test_other_kinds_of_keys_seal_as_well(algorithm: Algorithm) -> None:
    assert judged(seal(credential=unit(algorithm).seal)).verdict is Verdict.VALID


def test_without_an_anchor_nothing_is_decided() -> None:
    report = judged(sealed_pdf(), TrustStore.of([]))
    assert report.verdict is Verdict.UNDECIDED
    assert report.sub_indication == "NO_CERTIFICATE_CHAIN_FOUND"
    assert failed_steps(report) == {"certification-path"}


def test_an_unsealed_document_has_no_seal() -> None:
    report = judged(plain_pdf())
    assert report.verdict is Verdict.NO_SEAL
    assert report.indication is Indication.NO_SIGNATURE_FOUND


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"PK\x03\x04", b"%PDF-1.7\n%%EOF\n" * 3, bytes(5000)])
def test_what_is_no_document_is_not_valid(data: bytes) -> None:
    assert judged(data).verdict is Verdict.NOT_VALID


def test_a_document_that_is_too_large_is_undecided() -> None:
    report = judge_pdf(sealed_pdf(), trust=trust(), purpose=SEAL_ANY, now=NOW, max_size=1000)
    assert report.verdict is Verdict.UNDECIDED
    assert codes(report) == {"too-large"}


def test_an_encrypted_document_is_undecided() -> None:
    report = judged(attacks.encrypted(plain_pdf()))
    assert report.verdict is Verdict.UNDECIDED
    assert codes(report) == {"encrypted"}


# --- certificates


def test_a_revoked_certificate_is_not_valid_from_then_on() -> None:
    one = PkiWorld()
    member = one.unit("甲局")
    sealed = seal(credential=member.seal)
    one.revoke(member.seal.certificate, at=NOW - DAY)
    report = judged(sealed, one.trust())
    assert report.verdict is Verdict.NOT_VALID
    assert report.sub_indication == "REVOKED"
    assert failed_steps(report) == {"revocation"}


def test_without_a_revocation_list_nothing_is_decided() -> None:
    one = PkiWorld()
    bare = TrustStore.of([one.root.certificate], [one.seals.certificate])
    report = judged(seal(credential=one.unit().seal), bare)
    assert report.verdict is Verdict.UNDECIDED
    assert failed_steps(report) == {"revocation"}


def test_a_stale_revocation_list_decides_nothing() -> None:
    report = judged(sealed_pdf(), at=None, now=NOW + 30 * DAY)
    assert report.verdict is Verdict.UNDECIDED
    assert failed_steps(report) == {"revocation"}


def test_an_expired_certificate_is_undecided_now_and_valid_then() -> None:
    one = PkiWorld()
    member = one.unit("甲局", ends=NOW + DAY)
    sealed = seal(credential=member.seal)
    later = NOW + 3 * DAY
    assert judged(sealed, one.trust(later), at=None, now=later).verdict is Verdict.UNDECIDED
    assert judged(sealed, one.trust(), at=NOW, now=later).verdict is Verdict.VALID


def test_a_connection_certificate_makes_no_seal() -> None:
    report = judged(seal(credential=unit().tls), purpose=SEAL_ANY)
    assert report.verdict is Verdict.UNDECIDED
    assert failed_steps(report) == {"purpose"}


def test_a_unit_does_not_pass_for_the_hub() -> None:
    report = judged(sealed_pdf(), purpose=HUB_EVIDENCE)
    assert report.verdict is Verdict.UNDECIDED
    assert "purpose" in failed_steps(report)


def test_a_pinned_certificate_is_trusted_as_it_is() -> None:
    pinned = TrustStore.of([unit().seal.certificate])
    assert judged(sealed_pdf(), pinned).verdict is Verdict.VALID
    assert judged(sealed_pdf(), pinned, at=NOW + timedelta(days=4000)).verdict is Verdict.UNDECIDED


def test_the_issuer_may_come_with_the_seal_alone() -> None:
    bare = TrustStore.of([world().root.certificate], [], world().crls())
    assert judged(sealed_pdf(), bare).verdict is Verdict.VALID


# --- changes


@pytest.mark.parametrize("attack", attacks.CHANGED, ids=lambda one: one.__name__)
def test_a_changed_document_is_not_valid(attack: Attack) -> None:
    changed = attack(sealed_pdf())
    assert changed != sealed_pdf()
    report = judged(changed)
    assert report.verdict is Verdict.NOT_VALID
    assert report.indication is Indication.TOTAL_FAILED


@pytest.mark.parametrize(
    "attack",
    [
        attacks.page_content_replaced_later,
        attacks.stamp_picture_replaced_later,
        attacks.annotation_added_later,
    ],
    ids=lambda one: one.__name__,
)
def test_a_change_is_found_though_the_seal_forbids_nothing(attack: Attack) -> None:
    """The same with a seal that allows further ones: the hub's policy alone has to see it."""
    report = judged(attack(seal(further_seals=True)))
    assert report.verdict is Verdict.NOT_VALID
    assert "modified-after-sealing" in codes(report)


def test_an_unhooked_seal_is_reported() -> None:
    report = judged(attacks.form_removed_later(sealed_pdf()))
    assert report.seals == ()
    assert "unlisted-signature" in codes(report)


@pytest.mark.parametrize("later", [attacks.revocation_data_added_later, attacks.info_changed_later])
def test_an_update_that_harms_nothing_and_that_no_seal_covers_is_undecided(later: Attack) -> None:
    report = judged(later(seal(further_seals=True)))
    assert report.verdict is Verdict.UNDECIDED
    assert failed_steps(report) == {"later-changes"}


def test_a_form_that_we_do_not_know_is_signed_and_cannot_be_checked() -> None:
    report = judged(attacks.subfilter_of_a_maker_unknown(sealed_pdf()))
    assert report.verdict is Verdict.UNDECIDED
    assert len(report.seals) == 1
    assert failed_steps(report) == {"format"}


def test_the_seal_of_another_document_does_not_fit() -> None:
    one, other = sealed_pdf(), seal(at=NOW + timedelta(minutes=1))
    a, b, _ = attacks.byte_range(one)
    a2, b2, _ = attacks.byte_range(other)
    assert (a, b) == (a2, b2)
    report = judged(one[:a] + other[a:b] + one[b:])
    assert report.verdict is Verdict.NOT_VALID
    assert "message-digest" in failed_steps(report)


# --- several seals


def test_two_units_seal_one_document() -> None:
    once = seal(further_seals=True)
    twice = seal(once, world().unit("乙局").seal, visible=False)
    report = judged(twice)
    assert [one.verdict for one in report.seals] == [Verdict.VALID, Verdict.VALID]
    assert report.verdict is Verdict.VALID
    assert report.findings == ()


def test_a_change_between_two_seals_is_found() -> None:
    once = attacks.page_content_replaced_later(seal(further_seals=True))
    twice = seal(once, world().unit("乙局").seal, visible=False)
    report = judged(twice)
    assert report.verdict is Verdict.NOT_VALID
    assert report.seals[0].verdict is Verdict.NOT_VALID


def test_an_update_before_the_seal_is_a_remark() -> None:
    report = judged(seal(attacks.info_changed_later(plain_pdf())))
    assert report.verdict is Verdict.VALID_WITH_REMARKS
    assert codes(report) == {"several-revisions"}


# --- other contents

CONTENTS: list[tuple[Attack, str, Severity]] = [
    (attacks.with_program, "javascript", Severity.ERROR),
    (attacks.with_program_in_an_object_stream, "javascript", Severity.ERROR),
    (attacks.with_launch, "launch-action", Severity.ERROR),
    (attacks.with_xfa_form, "xfa-form", Severity.ERROR),
    (attacks.with_external_stream, "external-content", Severity.ERROR),
    (attacks.with_submit_form, "submit-form", Severity.WARNING),
    (attacks.with_embedded_file, "embedded-file", Severity.WARNING),
    (attacks.with_hidden_layer, "hidden-layers", Severity.WARNING),
]


@pytest.mark.parametrize(("make", "code", "severity"), CONTENTS, ids=[one[0].__name__ for one in CONTENTS])
def test_what_a_document_could_do_is_found(
    make: Callable[[bytes], bytes], code: str, severity: Severity
) -> None:
    report = judged(make(plain_pdf()))
    found = [(finding.code, finding.severity) for finding in report.findings]
    assert (code, severity) in found


def test_a_program_makes_a_well_sealed_document_not_valid() -> None:
    report = judged(foreign_seal(attacks.with_program(plain_pdf()), unit().seal))
    assert report.seals[0].verdict is Verdict.VALID
    assert report.verdict is Verdict.NOT_VALID


# --- other makers, time stamps


@pytest.mark.parametrize(
    ("algorithm", "pss"),
    [(Algorithm.ECDSA_P256_SHA256, False), (Algorithm.RSA_SHA256, False), (Algorithm.RSA_SHA256, True)],
    ids=["ecdsa", "rsa", "rsa-pss"],
)
def test_a_seal_made_by_pyhanko_alone_is_valid(algorithm: Algorithm, pss: bool) -> None:
    pdf = foreign_seal(plain_pdf(), unit(algorithm).seal, prefer_pss=pss)
    report = judged(pdf)
    assert report.verdict is Verdict.VALID, failed_steps(report)
    assert report.seals[0].format == "PAdES-B-B"


def test_the_older_form_is_named_as_what_it_is() -> None:
    pdf = foreign_seal(plain_pdf(), unit().seal, subfilter=SigSeedSubFilter.ADOBE_PKCS7_DETACHED)
    report = judged(pdf)
    assert report.verdict is Verdict.VALID
    assert report.seals[0].format == "PKCS7"


def test_a_time_stamp_proves_the_time_and_the_seal_outlives_its_certificate() -> None:
    one = PkiWorld()
    member = one.unit("甲局", ends=NOW + DAY)
    pdf = timed_seal(plain_pdf(), member.seal, one.time_stamper(), at=NOW)
    later = NOW + 3 * DAY
    report = judged(pdf, one.trust(), at=None, now=later)
    assert report.verdict is Verdict.VALID, [str(s.detail) for s in report.seals[0].steps]
    assert report.seals[0].format == "PAdES-B-T"
    assert report.seals[0].time == NOW
    assert report.seals[0].time_source is TimeSource.TIMESTAMP


@pytest.mark.parametrize(
    ("with_issuer", "verdict"), [(False, Verdict.VALID_WITH_REMARKS), (True, Verdict.UNDECIDED)]
)
def test_a_time_stamp_of_a_stranger_proves_nothing(with_issuer: bool, verdict: Verdict) -> None:
    """With an issuer's certificate in it that nobody vouches for, a byte there might be any other."""
    stranger = PkiWorld().time_stamper()
    stamping = stranger if with_issuer else Credential(stranger.signer, stranger.certificate, ())
    report = judged(timed_seal(plain_pdf(), unit().seal, stamping, at=NOW), at=None)
    assert report.verdict is verdict
    assert report.seals[0].format == "PAdES-B-B"
    assert report.seals[0].time_source is TimeSource.CLAIMED


def test_a_time_stamp_later_than_the_asked_time_does_not_count() -> None:
    pdf = timed_seal(plain_pdf(), unit().seal, world().time_stamper(), at=NOW + timedelta(hours=2))
    report = judged(pdf, at=NOW + timedelta(hours=1))
    assert report.seals[0].format == "PAdES-B-B"
    assert report.verdict is Verdict.VALID


def test_a_changed_time_stamp_is_never_valid() -> None:
    pdf = timed_seal(plain_pdf(), unit().seal, world().time_stamper(), at=NOW)
    assert judged(pdf, at=None).verdict is Verdict.VALID
    a, b, _ = attacks.byte_range(pdf)
    end = a + len(pdf[a:b].rstrip(b"0>"))
    # The token is the last thing in the CMS; every 97th digit of the second half.
    for at in range((a + end) // 2, end, 97):
        changed = bytearray(pdf)
        changed[at] = ord("3") if changed[at] != ord("3") else ord("4")
        assert judged(bytes(changed), at=None).verdict in (Verdict.NOT_VALID, Verdict.UNDECIDED), at


def test_a_document_time_stamp_covers_what_was_appended() -> None:
    stamped = document_time_stamp(
        attacks.revocation_data_added_later(seal(further_seals=True)), world().time_stamper(), at=NOW
    )
    report = judged(stamped)
    assert report.verdict is Verdict.VALID, failed_steps(report)
    assert len(report.seals) == 1
    assert [one.severity for one in report.findings if one.code == "document-time-stamp"] == [Severity.INFO]


def test_a_document_time_stamp_over_another_file_is_found() -> None:
    stamped = document_time_stamp(seal(further_seals=True), world().time_stamper(), at=NOW)
    a, b, _ = attacks.byte_range(stamped)
    other = document_time_stamp(seal(further_seals=True), world().time_stamper(), at=NOW)
    report = judged(stamped[:a] + other[a:b] + stamped[b:])
    assert report.verdict is Verdict.NOT_VALID


# --- what is made to exhaust us, and what we cannot read


def test_many_certificates_of_one_name_are_not_tried() -> None:
    """Trap T9: each further one costs pyHanko ten times more."""
    worlds = [PkiWorld() for _ in range(3)]
    credential = unit().seal
    crowd = Credential(
        credential.signer, credential.certificate, tuple(one.seals.certificate for one in worlds)
    )
    report = judged(seal(credential=crowd))
    assert report.verdict is Verdict.UNDECIDED
    assert failed_steps(report) == {"format"}


def test_a_signature_by_sm2_is_named_and_undecided() -> None:
    """GB/T 35275's own content types, as some makers write them into adbe.pkcs7.detached."""
    pdf = foreign_seal(plain_pdf(), unit().seal, subfilter=SigSeedSubFilter.ADOBE_PKCS7_DETACHED)
    a, b, _ = attacks.byte_range(pdf)
    contents = bytes.fromhex(pdf[a + 1 : b - 1].decode("ascii"))
    signed_data = bytes.fromhex("06092a864886f70d010702")
    chinese = bytes.fromhex("060a2a811ccf550601040202")
    assert signed_data in contents
    inner = contents[4:].rstrip(b"\0").replace(signed_data, chinese, 1)
    rebuilt = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    octets = rebuilt.ljust(len(contents), b"\0").hex().upper().encode()
    report = judged(pdf[: a + 1] + octets + pdf[b - 1 :])
    assert report.verdict is Verdict.UNDECIDED
    assert "SM2" in str(report.seals[0].steps[0].detail)


def test_more_seals_than_are_judged_are_undecided() -> None:
    pdf = seal(further_seals=True, visible=False)
    for _ in range(16):
        pdf = seal(pdf, visible=False)
    report = judged(pdf)
    assert report.verdict is Verdict.UNDECIDED
    assert codes(report) == {"too-many-seals"}


def test_judging_works_while_an_event_loop_runs() -> None:
    import asyncio

    async def inside() -> Verdict:
        return judged(sealed_pdf()).verdict

    assert asyncio.run(inside()) is Verdict.VALID


def test_the_reader_is_given_the_bytes_that_were_hashed() -> None:
    """Judging does not depend on the object's identity: a copy comes to the same."""
    assert judged(BytesIO(sealed_pdf()).getvalue()) == judged(sealed_pdf())
