"""Dispatch packages: everything about one dispatch, and nothing that was put in or taken out."""

from __future__ import annotations

import io
import random
import struct
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest

from exchange.protocol import package as package_module
from exchange.protocol.dispatch import decode_dispatch, encode_dispatch
from exchange.protocol.package import (
    ENVELOPE,
    MANIFEST,
    SIGNATURE,
    JudgedPackage,
    Part,
    judge_package,
    package_parts,
)
from exchange.protocol.receipt import decode_receipt, encode_receipt
from pki.text import N_, text
from pki.trust import TrustStore
from signing.cms import CadesSigner
from signing.container import decode_container, encode_container
from signing.report import FileReport, Finding, Indication, Result, Severity, Verdict, file_report
from tests.exchange.protocol.papers import Papers, the_papers

GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


@pytest.fixture(scope="module")
def papers() -> Papers:
    return the_papers()


@pytest.fixture(scope="module")
def package(papers: Papers) -> bytes:
    return papers.package()


def judged(data: bytes, papers: Papers, **options: object) -> JudgedPackage:
    values: dict[str, object] = {"trust": papers.trust, "policy": papers.policy, "now": papers.now}
    return judge_package(io.BytesIO(data), name="a.asice", **(values | options))  # type: ignore[arg-type]


def verdict(data: bytes, papers: Papers, **options: object) -> Verdict:
    return judged(data, papers, **options).report.verdict


def codes(found: JudgedPackage) -> set[str]:
    return {finding.code for finding in found.report.findings}


def test_a_package_is_good_with_all_that_it_holds(papers: Papers, package: bytes) -> None:
    found = judged(package, papers)
    assert found.report.verdict is Verdict.VALID_WITH_REMARKS
    assert codes(found) == set()
    assert found.dispatch == decode_dispatch(papers.envelope[0])
    assert [one.evidence.event.wire for one in found.receipts if one.evidence] == list(papers.receipts)
    # The hub's over the manifest, the sender's over the envelope, and those of each receipt.
    assert len(found.report.seals) == 2 + sum(len(one.report.seals) for one in found.receipts)
    assert verdict(package, papers, at=papers.now) is Verdict.VALID
    names = [name for name, _ in decode_container(package)]
    assert names[0] == "mimetype"
    assert names[-2:] == [MANIFEST, SIGNATURE]


# --- not one byte


def structural(data: bytes) -> set[int]:
    """Places of every header of the zip: what is not the content of an entry."""
    places = set(range(len(data)))
    at = 0
    while data[at : at + 4] == b"PK\x03\x04":
        size, name, extra = (
            struct.unpack_from("<I", data, at + 18)[0],
            *struct.unpack_from("<2H", data, at + 26),
        )
        start = at + 30 + name + extra
        places -= set(range(start, start + size))
        at = start + size
    return places


def flipped(data: bytes, place: int, mask: int) -> bytes:
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def test_no_byte_of_the_file_can_be_changed(papers: Papers, package: bytes) -> None:
    chance = random.Random(3)
    zipped = structural(package)
    assert 500 < len(zipped) < 5000
    content = chance.sample(sorted(set(range(len(package))) - zipped), 1500)
    for place in (*sorted(zipped), *content):
        assert verdict(flipped(package, place, 1 << chance.randrange(8)), papers) not in GOOD, place


def test_no_byte_of_a_part_can_be_changed(papers: Papers, package: bytes) -> None:
    """With the container made anew around it: its CRC-32 is no help."""
    chance = random.Random(5)
    entries = list(decode_container(package))
    for number, (name, body) in enumerate(entries):
        for place in chance.sample(range(len(body)), min(len(body), 60)):
            changed = [*entries]
            changed[number] = (name, flipped(body, place, chance.randrange(1, 256)))
            assert verdict(encode_container(changed), papers) not in GOOD, (name, place)


@pytest.mark.parametrize("cut", [1, 22, 1000, 10_000])
def test_cut_off_or_lengthened(papers: Papers, package: bytes, cut: int) -> None:
    for changed in (package[:-cut], package[cut:], package + bytes(cut), bytes(cut) + package, b""):
        assert verdict(changed, papers) is Verdict.NOT_VALID


# --- put in, taken out, exchanged


def test_an_entry_taken_out_put_in_or_moved(papers: Papers, package: bytes) -> None:
    entries = list(decode_container(package))
    for number in range(1, len(entries)):
        without = entries[:number] + entries[number + 1 :]
        assert verdict(encode_container(without), papers) is Verdict.NOT_VALID, entries[number][0]
        if number + 1 < len(entries):
            moved = [*entries]
            moved[number], moved[number + 1] = moved[number + 1], moved[number]
            assert verdict(encode_container(moved), papers) is Verdict.NOT_VALID
    for name in ("documents/附件9.txt", "evidence/x.receipt.asics", "META-INF/signature002.p7s", "other.txt"):
        for place in (1, 3, len(entries) - 2, len(entries)):
            added = [*entries[:place], (name, b"x"), *entries[place:]]
            assert verdict(encode_container(added), papers) is Verdict.NOT_VALID


def test_receipts_of_another_dispatch_even_under_the_hubs_signature(papers: Papers) -> None:
    for event in papers.receipts:
        mixed = papers.package(papers.receipts | {event: papers.others[event]})
        found = judged(mixed, papers)
        assert found.report.verdict is Verdict.NOT_VALID
        assert codes(found) == {"evidence-foreign"}


def test_a_broken_receipt_under_the_hubs_signature(papers: Papers) -> None:
    event = "ConsignmentAcceptance"
    bare = encode_receipt(replace(decode_receipt(papers.receipts[event]), proof=None))
    assert verdict(papers.package(papers.receipts | {event: bare}), papers) is Verdict.UNDECIDED


def test_a_missing_document_even_under_the_hubs_signature(papers: Papers) -> None:
    for name in papers.documents:
        less = {key: body for key, body in papers.documents.items() if key != name}
        assert verdict(papers.package(documents=less), papers) is Verdict.NOT_VALID


def test_another_document_even_under_the_hubs_signature(papers: Papers) -> None:
    for name, body in papers.documents.items():
        for other in (body + b"x", flipped(body, 0, 1), b""):
            assert (
                verdict(papers.package(documents=papers.documents | {name: other}), papers)
                is Verdict.NOT_VALID
            )


def test_an_envelope_that_lies_about_a_size_is_malformed(papers: Papers) -> None:
    """The hub would not have accepted it; whoever makes such a package is not followed into a large file."""
    dispatch = decode_dispatch(papers.envelope[0])
    lying = replace(dispatch, contents=replace(dispatch.contents, size=1))
    envelope = encode_dispatch(lying)
    seal = papers.units[0].seal
    signature = CadesSigner(seal.signer, seal.chain).sign(envelope, at=papers.now)
    found = judged(
        papers.package(envelope=(envelope, signature)), papers, max_document=2, judge_document=_nothing_found
    )
    assert found.report.verdict is Verdict.NOT_VALID
    assert codes(found) == {"package-malformed"}


def _nothing_found(name: str, _body: bytes) -> FileReport:
    return file_report(name, [])


def test_a_receipt_that_is_too_large_raises_nothing(papers: Papers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_module, "MAX_RECEIPT", 1000)
    found = judged(papers.package(), papers)
    assert found.report.verdict is Verdict.NOT_VALID
    assert codes(found) == {"package-malformed"}


def test_another_sender_than_the_envelope_names(papers: Papers) -> None:
    envelope = papers.envelope[0]
    seal = papers.units[2].seal
    signature = CadesSigner(seal.signer, seal.chain).sign(envelope, at=papers.now)
    found = judged(papers.package(envelope=(envelope, signature)), papers)
    assert found.report.verdict is Verdict.NOT_VALID
    assert "sender-mismatch" in codes(found)


def test_only_the_hub_signs_packages(papers: Papers) -> None:
    found = judged(papers.package(signer=papers.units[1]), papers)
    assert found.report.verdict not in GOOD
    failed = {
        step.step for seal in found.report.seals for step in seal.steps if step.result is not Result.PASSED
    }
    assert "purpose" in failed


def test_without_evidence_it_is_not_valid(papers: Papers) -> None:
    found = judged(papers.package({}), papers)
    assert found.report.verdict is Verdict.NOT_VALID
    assert codes(found) == {"no-evidence"}


def test_an_extra_part_even_under_the_hubs_signature(papers: Papers) -> None:
    for name in ("notes/x.txt", "evidence/x.txt", "documents/x.txt", "dispatch2.json"):
        extra = Part.of(name, "text/plain", b"x")
        assert verdict(papers.package(extra=(extra,)), papers) is Verdict.NOT_VALID


# --- trust, policy, time


def test_without_policy_or_anchors_it_is_undecided(papers: Papers, package: bytes) -> None:
    assert verdict(package, papers, policy=None) is Verdict.UNDECIDED
    assert verdict(package, papers, trust=TrustStore.of([])) is Verdict.UNDECIDED


def test_later_it_is_judged_at_a_time_that_is_given(papers: Papers, package: bytes) -> None:
    later = papers.now + timedelta(days=3650)
    assert verdict(package, papers, now=later) is Verdict.UNDECIDED
    assert verdict(package, papers, now=later, at=papers.now) is Verdict.VALID


# --- documents


def test_documents_are_judged_by_whoever_can(papers: Papers, package: bytes) -> None:
    asked = []

    def judge(name: str, body: bytes) -> FileReport:
        asked.append((name, body))
        finding = Finding("active-content", Severity.ERROR, text(N_("it holds a program")))
        return file_report(name, [], [finding])

    found = judged(package, papers, judge_document=judge)
    # Text has no seal; the main document is a PDF by its envelope.
    assert asked == [("正文.pdf", papers.documents["正文.pdf"])]
    assert found.report.verdict is Verdict.NOT_VALID
    assert codes(found) == {"active-content"}


def test_a_document_that_is_too_large_is_said_not_to_be_judged(papers: Papers, package: bytes) -> None:
    found = judged(package, papers, judge_document=_nothing_found, max_document=3)
    assert codes(found) == {"document-not-judged"}
    assert found.report.verdict is Verdict.VALID_WITH_REMARKS
    assert found.documents == ()


def test_a_main_document_without_a_seal_is_no_good_package(papers: Papers, package: bytes) -> None:
    found = judged(package, papers, judge_document=_nothing_found)
    assert len(found.documents) == 1
    assert found.report.verdict is Verdict.NO_SEAL


def test_a_document_that_could_not_be_judged_leaves_the_package_undecided(
    papers: Papers, package: bytes
) -> None:
    def judge(name: str, _body: bytes) -> FileReport:
        return FileReport(name, Verdict.UNDECIDED, Indication.INDETERMINATE, None)

    assert verdict(package, papers, judge_document=judge) is Verdict.UNDECIDED


def test_parts_know_their_digest_and_crc() -> None:
    (first, *_) = package_parts(b"{}", b"sig", [], [])
    assert first.name == ENVELOPE
    assert first.crc == zlib.crc32(b"{}")
    assert first.size == 2
