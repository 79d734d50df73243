"""Each write is lost once, and once kept but reported lost; then we go on, or restart, and look.

Writes of one change, in their order: it enters the queue (enqueue), the transaction commits
(sequence), the signer remembers and signs (sign), the caller is answered (release).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from exchange.protocol.errors import Broken, Unavailable
from exchange.protocol.events import Event
from tests.worlds.hub import WRITES, SubmissionRefused, World, Write

Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Deed:
    """Something that is written once however often it is tried: the step, and the entries of its doing."""

    step: Step
    entries: int


async def submitting(world: World) -> Deed:
    letter = await world.letter(main=[world.second, world.third])
    return Deed(lambda: world.submit(letter), 1)


async def refusing(world: World) -> Deed:
    letter = await world.letter(origin="other.example.gov")

    async def step() -> bytes:
        with pytest.raises(SubmissionRefused) as refused:
            await world.submit(letter)
        return refused.value.receipt

    return Deed(step, 1)


async def delivering(world: World) -> Deed:
    await world.submit(await world.letter(main=[world.second, world.third]))
    return Deed(world.deliver, 2)


async def signing_for(world: World) -> Deed:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    return Deed(lambda: world.post(world.second.unit, one, statement), 1)


async def recalling(world: World) -> Deed:
    (one,) = await world.consign()
    statement = await world.statement(world.first, one, Event.RECALL)
    return Deed(lambda: world.post(world.first.unit, one, statement), 1)


async def refusing_a_recall(world: World) -> Deed:
    (one,) = await world.consign()
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    return Deed(lambda: world.refuse_recall(one), 1)


async def expiring(world: World) -> Deed:
    await world.consign(main=[world.second, world.third])
    world.clock.advance(days=31)
    return Deed(world.expire, 2)


DEEDS = [submitting, refusing, delivering, signing_for, recalling, refusing_a_recall, expiring]


@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "going-on"])
@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept-but-reported-lost"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("making", DEEDS, ids=lambda making: making.__name__)
async def test_after_a_failed_write(
    world: World,
    making: Callable[[World], Awaitable[Deed]],
    write: Write,
    kept: bool,
    restarted: bool,
) -> None:
    deed = await making(world)
    size = world.size
    world.fail_once(write, kept=kept)
    # A COMMIT that happened although it raised is no failure: the database is asked, and says so.
    silent = write == "sequence" and kept
    if silent:
        await deed.step()
    else:
        with pytest.raises((Unavailable, Broken)):
            await deed.step()
    # Only where the writer itself no longer knows what it has said is it stopped.
    assert (world.committer.broken is not None) == (write == "release")
    if restarted or world.committer.broken is not None:
        await world.restart()
    else:
        await world.settle()
    await world.check_everything()
    first = await deed.step()
    assert world.size == size + deed.entries
    await world.check_everything()
    again = await deed.step()
    assert world.size == size + deed.entries
    if isinstance(first, bytes):
        assert again == first
    await world.check_everything()


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept-but-reported-lost"])
@pytest.mark.parametrize("write", WRITES)
async def test_resubmission_after_a_failed_write_gets_one_receipt(
    world: World, write: Write, kept: bool
) -> None:
    """The table of STYLE, told once more for a submission."""
    letter = await world.letter()
    world.fail_once(write, kept=kept)
    try:
        await world.submit(letter)
    except (Unavailable, Broken):
        pass
    else:
        assert (write, kept) == ("sequence", True)
    await world.restart()
    await world.check_everything()
    first = await world.submit(letter)
    assert (await world.submit(letter)).receipt == first.receipt
    assert world.size == 1
    await world.check_everything()


@pytest.mark.parametrize("failures", [1, 2, 5])
async def test_a_signer_that_fails_for_a_while(world: World, failures: int) -> None:
    """Committed and not signed: nothing is released, nothing more is written, and then all of it is."""
    letter = await world.letter()
    world.signer.failing += [False] * failures
    with pytest.raises(Unavailable):
        await world.submit(letter)
    assert world.committer.broken is None
    # Nobody asks for anything else: it is signed all the same, as soon as that can be done.
    await world.settle()
    # The batch that was committed is one entry, however often it was repeated.
    first = await world.submit(letter)
    assert first.repeated
    assert world.size == 1
    await world.check_everything()


async def test_while_nothing_can_be_signed_nobody_is_promised_anything(world: World) -> None:
    letter = await world.letter()
    world.signer.failing += [False] * 1000
    with pytest.raises(Unavailable):
        await world.submit(letter)
    assert await world.files.checkpoint() is None
    with pytest.raises(Unavailable):
        await world.records.accepted(letter.unit, letter.dispatch.dispatch_id)
    other = await _try_letter(world)
    assert other is None
    await world.restart()
    assert (await world.submit(letter)).repeated
    await world.check_everything()


async def _try_letter(world: World) -> object | None:
    """Even an upload's grant waits for the signer: a batch is written when the last one is signed."""
    try:
        return await world.letter()
    except Unavailable:
        return None


async def test_a_crash_between_commit_and_signature_is_signed_at_the_next_start(world: World) -> None:
    letter = await world.letter()
    world.signer.failing.append(False)
    with pytest.raises(Unavailable):
        await world.submit(letter)
    await world.restart()
    # Nobody has asked yet, and it is complete.
    await world.check_everything()
    assert (await world.submit(letter)).repeated


async def test_receipts_are_the_same_whenever_they_are_made(world: World) -> None:
    """The first checkpoint that covers an entry is its receipt's for ever, also one signed after a crash."""
    await world.consign()
    for _ in range(3):
        world.signer.failing.append(True)
        with pytest.raises(Unavailable):
            await world.submit(await world.letter())
        await world.restart()
        await world.check_everything()
        await world.consign()
        await world.check_everything()


async def test_stopping_in_good_order_and_starting_again(world: World) -> None:
    await world.consign()
    await world.stop()
    with pytest.raises(Unavailable):
        await world.committer.grant(world.first.unit, "sha256:" + 64 * "0", 1, at=world.clock.now)  # type: ignore[arg-type]
    await world.start()
    await world.check_everything()
    await world.consign()
    await world.check_everything()


async def test_failing_losers_of_a_batch_are_told_nothing_before_the_winner_is_safe(world: World) -> None:
    """A repeat in the same batch as its first: when that batch is lost, neither was accepted."""
    letter = await world.letter()
    world.fail_commit(False)
    results = await asyncio.gather(*(world.submit(letter) for _ in range(6)), return_exceptions=True)
    # Some may have come in the next batch and were first there.
    assert all(isinstance(one, Unavailable) or not isinstance(one, BaseException) for one in results)
    await world.submit(letter)
    assert world.size == 1
    await world.check_everything()
