"""Submitting: every refusal by its number, the same bytes again, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from exchange.journey.append import append_rejection
from exchange.journey.receive import MAX_SIGNATURE, receive
from exchange.protocol.dispatch import MAX_ENVELOPE, Dispatch
from exchange.protocol.errors import (
    ContentMissing,
    EnvelopeMalformed,
    OriginMismatch,
    RevocationStale,
    Unavailable,
)
from exchange.protocol.events import Event
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.receipt import decode_receipt
from pki.names import UnitId
from pki.profile import HUB_EVIDENCE
from pki.text import N_, text
from signing.cms import CadesSigner
from signing.report import Finding, Severity, Verdict
from tests.worlds.hub import LEDGER, Letter, SubmissionRefused, World, a_seal
from tests.worlds.hub_checks import Rows
from tests.worlds.pki import PkiWorld

Making = Callable[[World], Awaitable[Letter]]
DOCUMENT = b"%PDF-1.7 a document"


async def with_document(world: World, *seals: object, **told: object) -> Letter:
    letter = await world.letter(contents=DOCUMENT)
    world.told.tell(DOCUMENT, *seals, **told)  # type: ignore[arg-type]
    return letter


# (1)
async def not_json(world: World) -> Letter:
    return world.sign_bytes(b"no envelope", world.first.seal, unit=world.first.unit)


async def not_canonical(world: World) -> Letter:
    letter = await world.letter()
    return world.sign_bytes(letter.envelope + b"\n", world.first.seal, unit=world.first.unit)


# (2)
async def signature_empty(world: World) -> Letter:
    return replace(await world.letter(), signature=b"")


async def signature_of_another_envelope(world: World) -> Letter:
    return replace(await world.letter(), signature=(await world.letter()).signature)


async def signed_by_the_tls_key(world: World) -> Letter:
    return await world.letter(signer=world.first.tls)


async def signed_under_the_hubs_policy(world: World) -> Letter:
    """A certificate that names the very unit, issued for evidence: another policy, so no envelope."""
    pki = world.pki
    return await world.letter(
        signer=pki.credential(HUB_EVIDENCE, pki.evidence, world.first.unit, world.first.name)
    )


async def signed_by_two(world: World) -> Letter:
    letter = await world.letter()
    other = CadesSigner(world.second.seal.signer, world.second.seal.chain)
    return replace(letter, signature=other.cosign(letter.signature, letter.envelope, at=world.clock.now))


async def signed_for_tomorrow(world: World) -> Letter:
    letter = await world.letter()
    signer = CadesSigner(world.first.seal.signer, world.first.seal.chain)
    return replace(letter, signature=signer.sign(letter.envelope, at=world.clock.now + timedelta(days=1)))


async def with_a_certificate_that_is_not_on_the_path(world: World) -> Letter:
    letter = await world.letter()
    chain = (*world.first.seal.chain, world.pki.tls.certificate)
    signer = CadesSigner(world.first.seal.signer, chain)
    return replace(letter, signature=signer.sign(letter.envelope, at=world.clock.now))


async def signed_by_another_unit(world: World) -> Letter:
    return await world.letter(signer=world.second.seal)


async def signed_by_a_stranger_to_the_pki(world: World) -> Letter:
    return await world.letter(signer=PkiWorld().unit(unit=world.first.unit).seal)


# (3)
async def submitted_by_another_unit(world: World) -> Letter:
    return await world.letter(unit=world.second.unit)


# (4)
async def for_another_hub(world: World) -> Letter:
    return await world.letter(origin="other.example.gov")


# (5)
async def classified_in_the_metadata(world: World) -> Letter:
    return await world.letter(metadata={"classification": "秘密★1年"})


# (6)
async def to_nobody_we_know(world: World) -> Letter:
    return await world.letter(main=[world.second, world.hub])


async def to_a_suspended_unit(world: World) -> Letter:
    await world.set_active(world.second, False)
    return await world.letter()


# (7)
def deadlines(change: Callable[[Dispatch], Dispatch]) -> Making:
    async def making(world: World) -> Letter:
        dispatch = (await world.letter()).dispatch
        return world.sign(change(dispatch), world.first.seal, unit=world.first.unit)

    return making


# (8)
async def of_another_size(world: World) -> Letter:
    dispatch = (await world.letter()).dispatch
    larger = replace(dispatch.contents, size=dispatch.contents.size + 1)
    return world.sign(replace(dispatch, contents=larger), world.first.seal, unit=world.first.unit)


# (9)
async def main_document_is_no_pdf(world: World) -> Letter:
    dispatch = (await world.letter()).dispatch
    word = replace(dispatch.contents, media_type="application/msword")
    return world.sign(replace(dispatch, contents=word), world.first.seal, unit=world.first.unit)


async def without_a_seal(world: World) -> Letter:
    return await with_document(world)


async def with_another_units_seal(world: World) -> Letter:
    return await with_document(world, a_seal(world.second))


async def with_a_broken_seal(world: World) -> Letter:
    return await with_document(world, a_seal(world.first, verdict=Verdict.NOT_VALID))


async def with_an_undecided_seal(world: World) -> Letter:
    return await with_document(
        world, a_seal(world.first, verdict=Verdict.UNDECIDED, sub_indication="NO_CERTIFICATE_CHAIN_FOUND")
    )


async def with_a_good_and_a_broken_seal(world: World) -> Letter:
    return await with_document(world, a_seal(world.first), a_seal(world.second, verdict=Verdict.NOT_VALID))


async def with_active_content(world: World) -> Letter:
    finding = Finding("active-content", Severity.ERROR, text(N_("it holds a program")))
    return await with_document(world, a_seal(world.first), findings=[finding])


async def with_an_unreadable_first_page(world: World) -> Letter:
    return await with_document(world, a_seal(world.first), page_read=False)


async def with_a_broken_seal_on_an_attachment(world: World) -> Letter:
    letter = await world.letter(attachments={"附件.pdf": DOCUMENT})
    world.told.tell(DOCUMENT, a_seal(world.second, verdict=Verdict.NOT_VALID))
    return letter


# (10)
async def with_a_mark(world: World) -> Letter:
    return await with_document(world, a_seal(world.first), mark="机密")


async def with_a_mark_on_an_attachment(world: World) -> Letter:
    letter = await world.letter(attachments={"附件.pdf": DOCUMENT})
    world.told.tell(DOCUMENT, mark="绝密★")
    return letter


DAY = timedelta(days=1)
REFUSALS: list[tuple[str, Making]] = [
    ("envelope-malformed", not_json),
    ("envelope-malformed", not_canonical),
    ("envelope-seal-invalid", signature_empty),
    ("envelope-seal-invalid", signature_of_another_envelope),
    ("envelope-seal-invalid", signed_by_the_tls_key),
    ("envelope-seal-invalid", signed_under_the_hubs_policy),
    ("envelope-seal-invalid", signed_by_two),
    ("envelope-seal-invalid", signed_for_tomorrow),
    ("envelope-seal-invalid", with_a_certificate_that_is_not_on_the_path),
    ("envelope-seal-invalid", signed_by_another_unit),
    ("envelope-seal-invalid", signed_by_a_stranger_to_the_pki),
    ("sender-mismatch", submitted_by_another_unit),
    ("origin-mismatch", for_another_hub),
    ("classified", classified_in_the_metadata),
    ("recipient-unknown", to_nobody_we_know),
    ("recipient-unknown", to_a_suspended_unit),
    ("deadline-unfit", deadlines(lambda d: replace(d, sent_at=d.sent_at + timedelta(hours=1)))),
    ("deadline-unfit", deadlines(lambda d: replace(d, sent_at=d.sent_at - DAY, due_at=d.sent_at - DAY / 2))),
    ("deadline-unfit", deadlines(lambda d: replace(d, expires_at=d.sent_at + 91 * DAY))),
    ("content-mismatch", of_another_size),
    ("document-refused", main_document_is_no_pdf),
    ("seal-missing", without_a_seal),
    ("seal-foreign", with_another_units_seal),
    ("seal-invalid", with_a_broken_seal),
    ("seal-undecided", with_an_undecided_seal),
    ("seal-invalid", with_a_good_and_a_broken_seal),
    ("document-refused", with_active_content),
    ("document-refused", with_an_unreadable_first_page),
    ("seal-invalid", with_a_broken_seal_on_an_attachment),
    ("classified", with_a_mark),
    ("classified", with_a_mark_on_an_attachment),
]


def name_of(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", "")


@pytest.mark.parametrize(("code", "making"), REFUSALS, ids=name_of)
async def test_refused_with_evidence_and_nothing_else_kept(world: World, code: str, making: Making) -> None:
    letter = await making(world)
    before = Rows(world)
    with pytest.raises(SubmissionRefused) as refused:
        await world.submit(letter)
    assert refused.value.code == code
    evidence = decode_evidence(decode_receipt(refused.value.receipt).evidence)
    assert evidence.event is Event.SUBMISSION_REJECTION
    # Whoever the envelope names: it is the submitting unit that was refused.
    assert evidence.sender == letter.unit
    after = Rows(world)
    for table in ("dispatch", "dispatch_document", "consignment", "content_grant", "unit", "credential"):
        assert after[table] == before[table]
    assert len(after["evidence"]) == len(after["rejection"]) == 1
    await world.check_everything()
    # The same bytes, the same answer; also after a restart.
    for _ in range(2):
        with pytest.raises(SubmissionRefused) as again:
            await world.submit(letter)
        assert again.value.receipt == refused.value.receipt
        await world.restart()
    assert world.size == 1


async def test_documents_are_not_opened_for_somebody_unknown(world: World) -> None:
    for making in (signed_by_another_unit, submitted_by_another_unit, for_another_hub, to_nobody_we_know):
        with pytest.raises(SubmissionRefused):
            await world.submit(await making(world))
    assert world.told.asked == []


async def test_missing_contents_are_no_refusal(world: World) -> None:
    letter = await world.letter(uploaded=False, contents=DOCUMENT)
    world.told.tell(DOCUMENT, a_seal(world.first))
    with pytest.raises(ContentMissing) as missing:
        await world.submit(letter)
    assert missing.value.digests == (letter.dispatch.contents.digest,)
    # Another unit's upload does not count.
    await world.upload(world.second.unit, DOCUMENT)
    with pytest.raises(ContentMissing):
        await world.submit(letter)
    assert world.size == 0
    await world.upload(world.first.unit, DOCUMENT)
    await world.submit(letter)
    await world.check_everything()


async def test_deadlines_at_their_very_limits_fit(world: World) -> None:
    world.clock.stop()
    now = world.clock.now
    dispatch = (await world.letter()).dispatch
    fitting = replace(
        dispatch,
        sent_at=now + timedelta(minutes=5),
        due_at=now + timedelta(minutes=5),
        expires_at=now + timedelta(days=90),
    )
    await world.submit(world.sign(fitting, world.first.seal, unit=world.first.unit))
    await world.check_everything()


async def test_an_envelope_may_wait_in_the_outbox(world: World) -> None:
    letter = await world.letter()
    world.clock.advance(days=2)
    await world.submit(letter)
    await world.check_everything()


async def test_without_revocation_lists_nothing_is_decided(world: World) -> None:
    letter = await world.letter()
    world.trust.stale = True
    world.clock.advance(days=3)
    letter = await world.letter()
    world.clock.advance(days=10)
    with pytest.raises(RevocationStale):
        await world.submit(letter)
    undecided = await with_document(
        world, a_seal(world.first, verdict=Verdict.UNDECIDED, sub_indication="TRY_LATER")
    )
    world.trust.stale = False
    with pytest.raises(RevocationStale):
        await world.submit(undecided)
    assert world.size == 0


async def test_a_revoked_unit_is_refused(tmp_path: Path) -> None:
    pki = PkiWorld()
    async with World(tmp_path / "hub", pki=pki) as world:
        letter = await world.letter()
        pki.revoke(world.first.seal.certificate, at=world.clock.now)
        world.trust.renew(world.clock.now)
        with pytest.raises(SubmissionRefused) as refused:
            await world.submit(letter)
        assert refused.value.code == "envelope-seal-invalid"
        await world.check_everything()


async def test_a_hub_whose_own_certificate_does_not_hold_states_nothing(tmp_path: Path) -> None:
    """Nobody's request is at fault, so nobody is refused."""
    pki = PkiWorld()
    async with World(tmp_path / "hub", pki=pki) as world:
        letter = await world.letter()
        wrong = await for_another_hub(world)
        pki.revoke(world.hub.seal.certificate, at=world.clock.now)
        world.trust.renew(world.clock.now)
        for one in (letter, wrong):
            with pytest.raises(Unavailable):
                await world.submit(one)
        assert world.size == 0


async def test_larger_than_any_envelope_is_not_even_kept_as_evidence(world: World) -> None:
    for envelope, signature in ((bytes(MAX_ENVELOPE + 1), b""), (b"", bytes(MAX_SIGNATURE + 1))):
        with pytest.raises(EnvelopeMalformed):
            receive(world.first.unit, envelope, signature, now=world.clock.now)
    received = receive(world.first.unit, bytes(MAX_ENVELOPE), bytes(MAX_SIGNATURE), now=world.clock.now)
    assert len(received.envelope) == MAX_ENVELOPE


@pytest.mark.parametrize(
    "sentence",
    [
        "two\nlines",
        "a\x00zero",
        "e\u0301 not composed",
        "\ud800 half a character",
        "",
        "長" * 5000,
        "a\u0300" * 1500,
    ],
)
async def test_whatever_the_reason_says_the_refusal_can_be_read(world: World, sentence: str) -> None:
    """Sentences hold what foreign documents and certificates say of themselves."""
    letter = await world.letter()
    received = receive(letter.unit, letter.envelope, letter.signature, now=world.clock())
    receipt = await append_rejection(
        received,
        OriginMismatch(named="a", actual="b"),
        sentence=sentence,
        ledger=world.committer,
        notary=world.notary,
    )
    world.hand_out(receipt)
    await world.check_everything()


# --- again


async def test_the_same_submission_again_gets_the_same_answer(world: World) -> None:
    offices = [world.pki.unit(f"第{n}科", unit=UnitId(f"{world.second.unit}/第{n}科")) for n in range(6)]
    await world.register(*offices)
    letter = await world.letter(main=[*offices[3:], world.third], copy=[*offices[:3], world.stranger])
    first = await world.submit(letter)
    again = await world.submit(letter)
    assert again == replace(first, repeated=True)
    assert [one.recipient for one in first.consignments] == list(letter.dispatch.recipients)
    world.clock.advance(days=400)
    await world.restart()
    assert await world.submit(letter) == again
    assert world.size == 1
    await world.check_everything()


async def test_the_same_id_with_other_bytes_is_a_conflict_with_evidence(world: World) -> None:
    letter = await world.letter()
    await world.submit(letter)
    dispatch = replace(letter.dispatch, metadata=replace(letter.dispatch.metadata, title="另一个标题"))
    other = world.sign(dispatch, world.first.seal, unit=world.first.unit)
    for _ in range(2):
        with pytest.raises(SubmissionRefused) as refused:
            await world.submit(other)
        assert refused.value.code == "duplicate-id-conflict"
    assert world.size == 2
    await world.check_everything()


async def test_the_same_envelope_under_another_signature_gets_the_first_answer(world: World) -> None:
    letter = await world.letter()
    first = await world.submit(letter)
    resigned = world.sign_bytes(letter.envelope, world.first.seal, unit=world.first.unit)
    assert resigned.signature != letter.signature
    assert await world.submit(resigned) == replace(first, repeated=True)
    (row,) = Rows(world)["dispatch"]
    assert row["signature"] == letter.signature
    await world.check_everything()


async def test_two_senders_may_use_one_id(world: World) -> None:
    first = await world.letter()
    second = await world.letter(
        sender=world.second, main=[world.third], dispatch_id=first.dispatch.dispatch_id
    )
    await world.submit(first)
    await world.submit(second)
    await world.deliver()
    await world.check_everything()


# --- at once


async def test_twenty_times_the_same_submission_at_once(world: World) -> None:
    letter = await world.letter(main=list(world.units[1:]))
    results = await asyncio.gather(*(world.submit(letter) for _ in range(20)))
    assert len({result.receipt for result in results}) == 1
    assert len({result.consignments for result in results}) == 1
    assert sorted(result.repeated for result in results) == [False] + 19 * [True]
    assert world.size == 1
    await world.check_everything()


async def test_twenty_times_the_same_refusal_at_once(world: World) -> None:
    letter = await for_another_hub(world)
    results = await asyncio.gather(*(world.submit(letter) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, SubmissionRefused) for result in results)
    assert len({result.receipt for result in results if isinstance(result, SubmissionRefused)}) == 1
    assert world.size == 1
    await world.check_everything()


async def test_a_repeat_waits_for_the_first_ones_receipt(world: World) -> None:
    """While the signer is slow the repeat is in the same batch, or behind it; never without an answer."""
    real = world.signer.signer
    gate = asyncio.Event()

    class Slow:
        async def last(self) -> object:
            return await real.last()

        async def sign(self, **head: object) -> bytes:
            await gate.wait()
            return await real.sign(**head)  # type: ignore[arg-type]

    world.signer.signer = Slow()  # type: ignore[assignment]
    letter = await world.letter()
    tasks = [asyncio.create_task(world.submit(letter)) for _ in range(5)]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in tasks)
    gate.set()
    results = await asyncio.gather(*tasks)
    assert len({result.receipt for result in results}) == 1
    await world.check_everything()


async def test_two_envelopes_of_one_id_at_once(world: World) -> None:
    letter = await world.letter()
    dispatch = replace(letter.dispatch, metadata=replace(letter.dispatch.metadata, title="另一个标题"))
    other = world.sign(dispatch, world.first.seal, unit=world.first.unit)
    results = await asyncio.gather(
        *(world.submit(one) for one in (letter, other) * 5), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, SubmissionRefused)]
    assert len(refused) == 5
    assert {one.code for one in refused} == {"duplicate-id-conflict"}
    assert world.size == 2
    await world.check_everything()


async def test_forty_letters_at_once_share_commits(world: World) -> None:
    letters = [
        await world.letter(sender=world.units[at % 4], main=[world.units[(at + 1) % 4]]) for at in range(40)
    ]
    await asyncio.gather(*(world.submit(letter) for letter in letters))
    assert world.size == 40
    points = Rows(world)["ledger_checkpoint"]
    assert 0 < len(points) < 20
    assert {point["ledger"] for point in points} == {LEDGER}
    await world.deliver()
    await world.check_everything()
