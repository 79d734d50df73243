"""One dispatch from end to end, and every other way that it can go; the world is whole after each move."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exchange.protocol.errors import ActOverdue, DeadlinePassed, Unavailable, WrongState
from exchange.protocol.events import Event
from exchange.protocol.identifiers import to_milliseconds
from tests.worlds.hub import SENT_IN_ERROR, World, a_seal


async def test_signed_for(world: World) -> None:
    letter = await world.letter(main=[world.second], copy=[world.third])
    accepted = await world.submit(letter)
    await world.check_everything()
    assert await world.deliver() == 2
    await world.check_everything()
    first, second = [one.consignment_id for one in accepted.consignments]
    assert await world.state(first) == await world.state(second) == "CONSIGNED"
    acted = await world.act(world.second, first, Event.CONTENT_HANDOVER)
    assert acted.state == "HANDED_OVER"
    await world.check_everything()
    acted = await world.act(world.second, first, Event.CONSIGNMENT_ACCEPTANCE)
    assert acted.state == "SIGNED_FOR"
    await world.check_everything()
    # 抄送 may sign for it without taking the content first.
    await world.act(world.third, second, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()
    assert world.size == 6


async def test_returned_with_a_reason(world: World) -> None:
    (one,) = await world.consign()
    await world.check_everything()
    await world.act(world.second, one, Event.CONTENT_HANDOVER)
    acted = await world.act(world.second, one, Event.CONSIGNMENT_REJECTION)
    assert acted.state == await world.state(one) == "RETURNED"
    await world.check_everything()


@pytest.mark.parametrize("when", ["accepted", "consigned", "handed over"])
async def test_recalled_while_it_is_open(world: World, when: str) -> None:
    accepted = await world.submit(await world.letter())
    one = accepted.consignments[0].consignment_id
    if when != "accepted":
        await world.deliver()
    if when == "handed over":
        await world.act(world.second, one, Event.CONTENT_HANDOVER)
    acted = await world.act(world.first, one, Event.RECALL, reasons=SENT_IN_ERROR)
    assert acted.state == await world.state(one) == "RECALLED"
    await world.check_everything()
    assert await world.deliver() == 0
    assert await world.state(one) == "RECALLED"


async def test_a_recall_after_signing_is_refused_with_evidence(world: World) -> None:
    (one,) = await world.consign()
    signed = await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    with pytest.raises(WrongState) as refused:
        await world.act(world.first, one, Event.RECALL)
    assert refused.value.evidence_id == signed.evidence_id
    evidence = await world.refuse_recall(one)
    assert evidence.event is Event.RECALL_REFUSED
    assert evidence.previous == signed.evidence_id
    assert await world.state(one) == "SIGNED_FOR"
    await world.check_everything()


async def test_a_late_recall_that_is_repeated_gets_the_same_refusal(world: World) -> None:
    (one,) = await world.consign()
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    first = await world.refuse_recall(one)
    size = world.size
    assert await world.refuse_recall(one) == first
    assert world.size == size
    await world.check_everything()


async def test_a_recall_cannot_be_refused_before_signing(world: World) -> None:
    (one,) = await world.consign()
    with pytest.raises(WrongState):
        await world.refuse_recall(one)
    await world.check_everything()


async def test_expired(world: World) -> None:
    (one,) = await world.consign()
    world.clock.advance(days=31)
    assert await world.expire() == 1
    assert await world.state(one) == "EXPIRED"
    await world.check_everything()
    assert await world.expire() == 0


async def test_what_was_never_delivered_expires_too(world: World) -> None:
    accepted = await world.submit(await world.letter())
    world.clock.advance(days=31)
    await world.expire()
    assert await world.state(accepted.consignments[0].consignment_id) == "EXPIRED"
    await world.check_everything()


async def test_the_deadline_itself_is_in_time(world: World) -> None:
    letter = await world.letter()
    (one,) = await world.consign(letter)
    world.clock.stop()
    world.clock.now = letter.dispatch.expires_at
    assert await world.expire() == 0
    acted = await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    assert acted.state == "SIGNED_FOR"
    await world.check_everything()


async def test_at_the_deadline_nothing_expires_and_a_millisecond_later_it_does(world: World) -> None:
    letter = await world.letter()
    (one,) = await world.consign(letter)
    world.clock.stop()
    world.clock.now = letter.dispatch.expires_at
    assert await world.expire() == 0
    assert await world.state(one) == "CONSIGNED"
    world.clock.advance(milliseconds=1)
    assert await world.expire() == 1
    assert await world.state(one) == "EXPIRED"
    await world.check_everything()


async def test_an_act_after_the_deadline_is_too_late_before_the_hub_has_closed_it(world: World) -> None:
    letter = await world.letter()
    (one,) = await world.consign(letter)
    world.clock.stop()
    world.clock.now = letter.dispatch.expires_at
    world.clock.advance(milliseconds=1)
    size = world.size
    for event in (Event.CONTENT_HANDOVER, Event.CONSIGNMENT_ACCEPTANCE, Event.CONSIGNMENT_REJECTION):
        with pytest.raises(DeadlinePassed):
            await world.act(world.second, one, event)
    assert world.size == size
    await world.expire()
    with pytest.raises(WrongState):
        await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()


async def test_the_sender_may_recall_after_the_deadline_until_it_is_closed(world: World) -> None:
    letter = await world.letter()
    (one,) = await world.consign(letter)
    world.clock.now = letter.dispatch.expires_at
    world.clock.advance(seconds=1)
    assert (await world.act(world.first, one, Event.RECALL)).state == "RECALLED"
    await world.check_everything()


async def test_a_recipient_who_can_no_longer_receive_is_undeliverable(world: World) -> None:
    accepted = await world.submit(await world.letter(main=[world.second, world.third]))
    await world.set_active(world.second, False)
    assert await world.deliver() == 2
    states = [await world.state(one.consignment_id) for one in accepted.consignments]
    assert states == ["UNDELIVERABLE", "CONSIGNED"]
    await world.check_everything()


async def test_what_was_received_can_be_sent_on_and_is_there_for_the_next(world: World) -> None:
    first = await world.letter(contents=b"%PDF-1.7 the document")
    world.told.tell(b"%PDF-1.7 the document", a_seal(world.first), a_seal(world.second))
    (one,) = await world.consign(first)
    second = await world.letter(
        sender=world.second, main=[world.third], contents=b"%PDF-1.7 the document", uploaded=False
    )
    digest = second.dispatch.contents.digest
    assert await world.records.granted(world.third.unit, [digest]) == {}
    await world.consign(second)
    await world.check_everything()
    size = first.dispatch.contents.size
    assert await world.records.granted(world.third.unit, [digest]) == {digest: size}
    # Whatever becomes of the first: the second goes on.
    await world.act(world.second, one, Event.CONSIGNMENT_REJECTION)
    assert await world.records.granted(world.third.unit, [digest]) == {digest: size}


async def test_contents_exist_only_for_those_who_uploaded_or_received_them(world: World) -> None:
    letter = await world.letter()
    digest = letter.dispatch.contents.digest
    size = letter.dispatch.contents.size

    async def seen() -> list[bool]:
        found = [await world.records.granted(unit.unit, [digest]) for unit in world.units]
        assert all(one in ({}, {digest: size}) for one in found)
        return [bool(one) for one in found]

    assert await seen() == [True, False, False, False]
    accepted = await world.submit(letter)
    # Accepted and not delivered: it does not exist for the recipient yet.
    assert await seen() == [True, False, False, False]
    await world.deliver()
    assert await seen() == [True, True, False, False]
    await world.act(world.second, accepted.consignments[0].consignment_id, Event.CONSIGNMENT_REJECTION)
    assert await seen() == [True, False, False, False]


async def test_two_documents_may_be_the_same_bytes(world: World) -> None:
    letter = await world.letter(attachments={"附件1.txt": b"same", "附件2.txt": b"same"})
    await world.consign(letter)
    await world.check_everything()


async def test_a_unit_may_send_to_itself(world: World) -> None:
    (one,) = await world.consign(main=[world.first])
    await world.act(world.first, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()


async def test_many_recipients_are_delivered_in_rounds(world: World) -> None:
    letters = [await world.letter(main=[world.second, world.third], copy=[world.stranger]) for _ in range(3)]
    for letter in letters:
        await world.submit(letter)
    assert await world.deliver() == 9
    assert await world.deliver() == 0
    await world.check_everything()


async def test_the_clock_may_step_back_and_the_ledger_does_not(world: World) -> None:
    await world.consign()
    world.clock.advance(minutes=-4)
    (one,) = await world.consign()
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()
    await world.restart()
    await world.consign()
    await world.check_everything()


async def test_with_the_clock_far_behind_the_ledger_nothing_is_stated(world: World) -> None:
    """A statement that lies more than five minutes before its entry makes no valid receipt."""
    (one,) = await world.consign()
    letter = await world.letter()
    world.clock.advance(hours=-1)
    size = world.size
    late = await world.letter()
    with pytest.raises(Unavailable):
        await world.submit(late)
    with pytest.raises(ActOverdue):
        await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    assert world.size == size
    world.clock.advance(hours=1)
    await world.submit(letter)
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()


async def test_an_act_claimed_just_within_five_minutes_makes_a_valid_receipt_or_none(world: World) -> None:
    """What is in time when it arrives may be out of it when its entry is made."""
    (one,) = await world.consign()
    world.clock.stop()
    event_time = world.clock.now - timedelta(minutes=5) + timedelta(milliseconds=1)
    statement = await world.statement(
        world.second, one, Event.CONSIGNMENT_ACCEPTANCE, event_time=to_milliseconds(event_time)
    )
    world.clock.step = timedelta(milliseconds=1)
    size = world.size
    with pytest.raises(ActOverdue):
        await world.post(world.second.unit, one, statement)
    assert world.size == size
    await world.check_everything()
