"""What the port ``Ledger`` promises, over the committer.

The committer's rows are SQLite's; PostgreSQL joins ``tests.worlds.hub`` when the hub runs on it.
"""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from exchange.journey.notary import posted_digest
from exchange.journey.ports import (
    AlreadyAccepted,
    AlreadyActed,
    AlreadyRefused,
    Change,
    Ledger,
    Move,
    NewDispatch,
    NewRejection,
)
from exchange.journey.stages import Appended, NewConsignment
from exchange.ledger.policy import parse_policy
from exchange.protocol.errors import Broken, DeadlinePassed, DuplicateIdConflict, Overloaded, WrongState
from exchange.protocol.events import Event
from exchange.protocol.evidence import Reason, decode_evidence
from exchange.protocol.identifiers import ConsignmentId, Digest, digest_of, uuid7
from exchange.protocol.receipt import decode_receipt, read_proof
from exchange.storage import committer as committer_module
from tests.worlds.hub import Letter, World
from tests.worlds.hub_checks import Rows


def submission(world: World, letter: Letter, *, digest: Digest | None = None) -> Change:
    """The change of an accepted submission; stated anew each time, as by two handlers at once."""
    dispatch = letter.dispatch
    digest = digest or digest_of(letter.envelope)
    now = world.clock()
    signed = world.notary.state(
        Event.SUBMISSION_ACCEPTANCE,
        at=now,
        dispatch=dispatch,
        digest=digest,
        sender=dispatch.sender,
        submitted_at=now,
    )
    consignments = tuple(
        NewConsignment(ConsignmentId(uuid7(now, world._chance.randbytes(10))), unit, "main")
        for unit in dispatch.main
    )
    return Change(
        signed, dispatch=NewDispatch(dispatch, digest, letter.envelope, letter.signature, consignments)
    )


def refusal(world: World, *, envelope: bytes = b"x", signature: bytes = b"y") -> Change:
    now = world.clock()
    signed = world.notary.state(
        Event.SUBMISSION_REJECTION,
        at=now,
        dispatch=None,
        digest=digest_of(envelope),
        sender=world.first.unit,
        submitted_at=now,
        reasons=(Reason("envelope-malformed", "no"),),
    )
    return Change(signed, rejection=NewRejection(world.first.unit, digest_of(envelope), digest_of(signature)))


async def act(world: World, one: ConsignmentId, event: Event = Event.CONSIGNMENT_ACCEPTANCE) -> Change:
    consignment = await world.records.consignment(one)
    assert consignment is not None
    actor = world.first if event is Event.RECALL else world.second
    statement = await world.statement(actor, one, event)
    signed = world.notary.countersign(
        decode_evidence(statement.body), statement.body, statement.signature, at=world.clock(), revocation=()
    )
    assert signed.posted == posted_digest(statement.body, statement.signature)
    return Change(signed, move=Move(consignment, event))


async def check(world: World) -> None:
    """These changes went around the journey: their receipts are known to the world by reading."""
    await world.check_everything()


async def test_on_return_it_is_durable_signed_and_complete(world: World) -> None:
    ledger: Ledger = world.committer
    change = submission(world, await world.letter())
    appended = await ledger.commit(change)
    # Another program sees it at once.
    with sqlite3.connect(world.sqlite) as connection:
        found = connection.execute("SELECT body, entry_index FROM evidence").fetchall()
        assert connection.execute("SELECT count(*) FROM dispatch").fetchone() == (1,)
    connection.close()
    assert found == [(change.signed.body, appended.index)]
    receipt = decode_receipt(appended.receipt)
    assert receipt.evidence == change.signed.body
    proof, extra = read_proof(receipt)
    checkpoint = parse_policy(world.policy).check(proof.checkpoint).checkpoint
    assert checkpoint.size > appended.index == proof.index
    assert extra.salt == change.signed.salt
    assert await world.records.receipt(appended.evidence_id) == appended.receipt
    await check(world)


async def test_callers_at_once_share_commits(world: World) -> None:
    changes = [submission(world, await world.letter()) for _ in range(50)]
    appended = await asyncio.gather(*(world.committer.commit(change) for change in changes))
    assert sorted(one.index for one in appended) == list(range(50))
    assert len(Rows(world)["ledger_checkpoint"]) <= 3
    # One instant for all that one commit holds.
    assert len({one.recorded_at for one in appended}) <= 3
    await check(world)


async def test_a_batch_has_a_largest_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "MAX_BATCH", 4)
    changes = [submission(world, await world.letter()) for _ in range(10)]
    await asyncio.gather(*(world.committer.commit(change) for change in changes))
    sizes = [row["size"] for row in Rows(world)["ledger_checkpoint"]]
    assert max(b - a for a, b in zip([0, *sizes], sizes, strict=False)) <= 4
    await check(world)


async def test_more_than_it_will_hold_is_refused_at_once(world: World) -> None:
    changes = [submission(world, await world.letter()) for _ in range(5)]
    world.committer._queue = asyncio.Queue(3)
    world.committer._task.cancel()  # type: ignore[union-attr]
    await asyncio.gather(world.committer._task, return_exceptions=True)  # type: ignore[arg-type]
    world.committer._task = asyncio.create_task(world.committer._run())
    results = await asyncio.gather(
        *(world.committer.commit(change) for change in changes), return_exceptions=True
    )
    assert sum(isinstance(one, Overloaded) for one in results) == 2
    assert world.size == 3
    await check(world)


@pytest.mark.parametrize("at_once", [False, True], ids=["after", "at-once"])
async def test_the_same_submission_carries_the_first_answer(world: World, at_once: bool) -> None:
    letter = await world.letter(main=list(world.units[1:]))
    changes = [submission(world, letter) for _ in range(4)]
    if at_once:
        results = await asyncio.gather(*map(world.committer.commit, changes), return_exceptions=True)
    else:
        results = [await _result(world, change) for change in changes]
    (first,) = [one for one in results if not isinstance(one, BaseException)]
    others = [one for one in results if isinstance(one, BaseException)]
    assert len(others) == 3
    for one in others:
        assert isinstance(one, AlreadyAccepted)
        assert one.answer.receipt == first.receipt
        assert one.answer.evidence_id == first.evidence_id
        assert one.answer.repeated
    await check(world)


async def _result(world: World, change: Change) -> Appended | BaseException:
    try:
        return await world.committer.commit(change)
    except Exception as error:
        return error


@pytest.mark.parametrize("at_once", [False, True], ids=["after", "at-once"])
async def test_an_id_that_stands_for_other_bytes(world: World, at_once: bool) -> None:
    letter = await world.letter()
    other = Digest("sha256:" + 64 * "0")
    changes = [submission(world, letter), submission(world, letter, digest=other)]
    if at_once:
        results = await asyncio.gather(*map(world.committer.commit, changes), return_exceptions=True)
    else:
        results = [await _result(world, change) for change in changes]
    assert not isinstance(results[0], BaseException)
    assert isinstance(results[1], DuplicateIdConflict)
    assert world.size == 1
    await check(world)


@pytest.mark.parametrize("at_once", [False, True], ids=["after", "at-once"])
async def test_the_same_refusal_carries_the_first_receipt(world: World, at_once: bool) -> None:
    changes = [refusal(world) for _ in range(3)]
    if at_once:
        results = await asyncio.gather(*map(world.committer.commit, changes), return_exceptions=True)
    else:
        results = [await _result(world, change) for change in changes]
    (first,) = [one for one in results if not isinstance(one, BaseException)]
    for one in results:
        if isinstance(one, BaseException):
            assert isinstance(one, AlreadyRefused)
            assert one.answer.receipt == first.receipt
    # Either file makes another refusal.
    await world.committer.commit(refusal(world, signature=b"z"))
    await world.committer.commit(refusal(world, envelope=b"z"))
    assert world.size == 3
    await check(world)


@pytest.mark.parametrize("at_once", [False, True], ids=["after", "at-once"])
async def test_the_same_act_carries_the_first_answer(world: World, at_once: bool) -> None:
    (one,) = await world.consign()
    change = await act(world, one)
    if at_once:
        results = await asyncio.gather(
            *(world.committer.commit(change) for _ in range(3)), return_exceptions=True
        )
    else:
        results = [await _result(world, change) for _ in range(3)]
    (first,) = [result for result in results if not isinstance(result, BaseException)]
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, AlreadyActed)
            assert result.answer.receipt == first.receipt
    await check(world)


async def test_a_consignment_that_moved_since_it_was_read(world: World) -> None:
    (one,) = await world.consign()
    stale = await act(world, one, Event.CONTENT_HANDOVER)
    late = await act(world, one, Event.RECALL)
    won = await world.committer.commit(stale)
    with pytest.raises(WrongState) as moved:
        await world.committer.commit(late)
    assert moved.value.evidence_id == won.evidence_id
    assert moved.value.current == "HANDED_OVER"
    await check(world)


async def test_a_loser_of_the_same_batch_is_shown_a_winner_who_is_there(world: World) -> None:
    (one,) = await world.consign()
    changes = [await act(world, one, event) for event in (Event.CONTENT_HANDOVER, Event.RECALL)]

    async def commit(change: Change) -> bytes:
        try:
            return (await world.committer.commit(change)).receipt
        except WrongState as error:
            # At this very moment, not a little later.
            receipt = await world.records.receipt(error.evidence_id or "")
            return receipt or b"the winner is not there yet"

    first, second = await asyncio.gather(*map(commit, changes))
    assert first == second
    await check(world)


async def test_by_and_after_are_judged_by_the_entrys_own_time(world: World) -> None:
    (one,) = await world.consign()
    world.clock.stop()
    now = world.clock.now.replace(microsecond=world.clock.now.microsecond // 1000 * 1000)
    world.clock.now = now
    consignment = await world.records.consignment(one)
    assert consignment is not None
    in_time = (await act(world, one)).signed
    closing = world.notary.state_about(
        Event.ACCEPTANCE_REJECTION_EXPIRY,
        (await world.records.to_expire(now.replace(year=2027), 1))[0],
        at=now,
        reasons=(Reason("expired-unsigned", "no"),),
    )
    with pytest.raises(WrongState):
        await world.committer.commit(
            Change(closing, move=Move(consignment, Event.ACCEPTANCE_REJECTION_EXPIRY, after=now))
        )
    world.clock.advance(milliseconds=1)
    with pytest.raises(DeadlinePassed):
        await world.committer.commit(
            Change(in_time, move=Move(consignment, Event.CONSIGNMENT_ACCEPTANCE, by=now))
        )
    await world.committer.commit(
        Change(closing, move=Move(consignment, Event.ACCEPTANCE_REJECTION_EXPIRY, after=now))
    )
    assert await world.state(one) == "EXPIRED"
    await check(world)


async def test_a_grant_is_durable_and_repeating_it_changes_nothing(world: World) -> None:
    digest = digest_of(b"x")
    for size in (1, 1):
        await world.committer.grant(world.first.unit, digest, size, at=world.clock())
    rows = [row for row in Rows(world)["content_grant"] if row["digest"] == digest]
    assert len(rows) == 1


async def test_a_caller_that_goes_away_takes_nothing_back(world: World) -> None:
    changes = [submission(world, await world.letter()) for _ in range(3)]
    tasks = [asyncio.create_task(world.committer.commit(change)) for change in changes]
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    await world.committer.commit(submission(world, await world.letter()))
    assert world.size == 4
    await check(world)


async def test_a_writer_that_has_stopped_says_so(world: World) -> None:
    world.fail_once("release", kept=False)
    with pytest.raises(Broken):
        await world.committer.commit(submission(world, await world.letter()))
    assert world.committer.stopped.is_set()
    with pytest.raises(Broken):
        await world.committer.commit(refusal(world))
    with pytest.raises(Broken):
        await world.committer.grant(world.first.unit, digest_of(b"x"), 1, at=world.clock())
    await world.restart()
    await check(world)


async def test_those_who_wait_when_the_writer_stops_are_told(world: World) -> None:
    changes = [refusal(world, envelope=bytes([at])) for at in range(10)]
    world.fail_once("release", kept=False)
    results = await asyncio.gather(*map(world.committer.commit, changes), return_exceptions=True)
    assert all(isinstance(one, Broken) for one in results)
    await world.restart()
    await check(world)
