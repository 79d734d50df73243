"""Acts: who may do what and when, what does not fit, and the same act again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exchange.journey.acknowledge import ACTS, Statement
from exchange.protocol.errors import (
    ActOverdue,
    ActRefused,
    DeadlinePassed,
    EvidenceMalformed,
    NotFound,
    RevocationStale,
    WrongState,
)
from exchange.protocol.events import Author, Event
from exchange.protocol.evidence import Actor, Reason
from exchange.protocol.identifiers import ConsignmentId, Digest, EvidenceId, to_milliseconds, uuid7
from exchange.protocol.receipt import decode_receipt
from exchange.protocol.states import TRANSITIONS, State
from pki.names import UnitId
from pki.profile import HUB_EVIDENCE, HUB_EVIDENCE_POLICY
from signing.cms import CadesSigner, decode_cades
from tests.worlds.hub import World
from tests.worlds.pki import PkiWorld

Way = Callable[[World], Awaitable[ConsignmentId]]


async def accepted(world: World) -> ConsignmentId:
    return (await world.submit(await world.letter())).consignments[0].consignment_id


async def consigned(world: World) -> ConsignmentId:
    return (await world.consign())[0]


async def handed_over(world: World) -> ConsignmentId:
    one = await consigned(world)
    await world.act(world.second, one, Event.CONTENT_HANDOVER)
    return one


async def signed_for(world: World) -> ConsignmentId:
    one = await consigned(world)
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    return one


async def returned(world: World) -> ConsignmentId:
    one = await consigned(world)
    await world.act(world.second, one, Event.CONSIGNMENT_REJECTION)
    return one


async def recalled(world: World) -> ConsignmentId:
    one = await consigned(world)
    await world.act(world.first, one, Event.RECALL)
    return one


async def expired(world: World) -> ConsignmentId:
    one = await consigned(world)
    world.clock.advance(days=31)
    await world.expire()
    return one


async def undeliverable(world: World) -> ConsignmentId:
    one = await accepted(world)
    await world.set_active(world.second, False)
    await world.deliver()
    return one


WAYS: dict[State, Way] = {
    State.ACCEPTED: accepted,
    State.CONSIGNED: consigned,
    State.HANDED_OVER: handed_over,
    State.SIGNED_FOR: signed_for,
    State.RETURNED: returned,
    State.RECALLED: recalled,
    State.EXPIRED: expired,
    State.UNDELIVERABLE: undeliverable,
}
"""How a consignment comes into each state that this hub leads to (HELD and REGISTERED are not made yet)."""


@pytest.mark.parametrize("state", WAYS, ids=lambda state: state.value)
async def test_each_act_in_each_state_by_each_unit(world: World, state: State) -> None:
    """Generated from the table: refused unless the table and the event's author allow it, and then nothing is kept.

    The acts that are allowed are tried on consignments of their own, at the end.
    """
    one = await WAYS[state](world)
    assert await world.state(one) == state.value
    size = world.size
    allowed = []
    for actor in (world.first, world.second, world.third):
        for event in sorted(ACTS, key=lambda event: event.number):
            author = world.first if event.author is Author.SENDER else world.second
            if actor is author and state in TRANSITIONS[event]:
                allowed.append((actor, event))
                continue
            wanted: type[Exception] = WrongState if actor is author else ActRefused
            if actor is world.third or (actor is world.second and state is State.ACCEPTED):
                wanted = NotFound
            with pytest.raises(wanted) as refused:
                await world.act(actor, one, event)
            if isinstance(refused.value, WrongState):
                consignment = await world.records.consignment(one)
                assert consignment is not None
                assert refused.value.evidence_id == consignment.last_evidence
                assert refused.value.current == state.value
    assert world.size == size
    await world.check_everything()
    for actor, event in allowed:
        again = await WAYS[state](world)
        assert (await world.act(actor, again, event)).state is TRANSITIONS[event][state]
    await world.check_everything()


async def test_the_same_statement_again_gets_the_first_receipt(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    first = await world.post(world.second.unit, one, statement)
    again = await world.post(world.second.unit, one, statement)
    assert again == replace(first, repeated=True)
    # Also long after, when its time would no longer do, and after a restart.
    world.clock.advance(days=200)
    await world.restart()
    assert await world.post(world.second.unit, one, statement) == again
    await world.check_everything()


async def test_an_earlier_statement_again_tells_the_state_it_led_to(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONTENT_HANDOVER)
    first = await world.post(world.second.unit, one, statement)
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    assert await world.post(world.second.unit, one, statement) == replace(first, repeated=True)
    await world.check_everything()


async def test_the_same_act_in_other_bytes_finds_the_winner(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    first = await world.post(world.second.unit, one, statement)
    other = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    # The same statement under another signature is other bytes as well.
    resigned = world.signed_statement(statement.body, world.second.seal)
    assert resigned.signature != statement.signature
    for late in (other, resigned):
        with pytest.raises(WrongState) as refused:
            await world.post(world.second.unit, one, late)
        assert refused.value.evidence_id == first.evidence_id
    await world.check_everything()


async def test_the_statement_in_the_receipt_is_the_one_that_was_posted(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    acted = await world.post(world.second.unit, one, statement)
    receipt = decode_receipt(acted.receipt)
    assert receipt.evidence == statement.body
    (posted,) = decode_cades(statement.signature).signers
    kept = decode_cades(receipt.signature).signers
    assert len(kept) == 2
    assert posted.raw in [info.raw for info in kept]


# --- statements that do not fit

OTHER_DIGEST = Digest("sha256:" + 64 * "0")


async def refused(world: World, one: ConsignmentId, statement: Statement, unit: UnitId | None = None) -> str:
    """The statement is refused, and nothing of it is kept; what was said."""
    size = world.size
    with pytest.raises(ActRefused) as error:
        await world.post(unit or world.second.unit, one, statement)
    assert world.size == size
    await world.check_everything()
    return str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("origin", "other.example.gov"),
        ("dispatch", OTHER_DIGEST),
        ("contents", (OTHER_DIGEST,)),
        ("issued_number", "乙教发〔2026〕1号"),
        ("issued_number", None),
        ("policy", HUB_EVIDENCE_POLICY.dotted_string),
        ("dispatch_id", "018f6c2e-3d50-7a11-9c7e-5b0c1d2e3f40"),
        ("consignment_id", "018f6c2e-3d50-7a11-9c7e-5b0c1d2e3f40"),
    ],
)
async def test_a_field_that_is_not_the_consignments(world: World, field: str, value: Any) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE, **{field: value})
    assert field in await refused(world, one, statement)


async def test_parties_and_times_that_are_not_the_consignments(world: World) -> None:
    (one,) = await world.consign()
    consignment = await world.records.consignment(one)
    assert consignment is not None
    others: tuple[tuple[str, Any], ...] = (
        ("sender", world.third.unit),
        ("recipient", world.third.unit),
        ("submitted_at", to_milliseconds(world.clock.now)),
    )
    for field, value in others:
        statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE, **{field: value})
        assert field in await refused(world, one, statement)


async def test_a_statement_about_another_consignment(world: World) -> None:
    one, other = await world.consign(main=[world.second, world.third])
    statement = await world.statement(world.third, other, Event.CONSIGNMENT_ACCEPTANCE)
    await refused(world, one, statement)
    with pytest.raises(NotFound):
        await world.post(world.third.unit, one, statement)
    await world.post(world.third.unit, other, statement)
    await world.check_everything()


async def test_a_previous_that_is_not_the_last_evidence(world: World) -> None:
    (one,) = await world.consign()
    stale = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.act(world.second, one, Event.CONTENT_HANDOVER)
    assert "previous" in await refused(world, one, stale)


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_a_time_far_from_the_hubs_clock(world: World, minutes: int) -> None:
    (one,) = await world.consign()
    event_time = to_milliseconds(world.clock.now + timedelta(minutes=minutes))
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE, event_time=event_time)
    size = world.size
    with pytest.raises(ActOverdue):
        await world.post(world.second.unit, one, statement)
    assert world.size == size


async def test_a_signing_time_in_the_future_is_refused_and_one_in_the_past_is_not(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    signer = CadesSigner(world.second.seal.signer, world.second.seal.chain)
    ahead = signer.sign(statement.body, at=world.clock.now + timedelta(minutes=6))
    await refused(world, one, Statement(statement.body, ahead))
    old = signer.sign(statement.body, at=world.clock.now - timedelta(hours=1))
    await world.post(world.second.unit, one, Statement(statement.body, old))
    await world.check_everything()


async def test_another_units_signature(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    forged = world.signed_statement(statement.body, world.third.seal)
    await refused(world, one, forged)
    # Not even when it names itself as the actor, or posts it itself.
    naming = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE, signer=world.third.seal)
    await refused(world, one, naming)
    with pytest.raises(NotFound):
        await world.post(world.third.unit, one, naming)


async def test_an_actor_certificate_that_did_not_sign(world: World) -> None:
    (one,) = await world.consign()
    actor = Actor(world.second.unit, OTHER_DIGEST)
    changed = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE, actor=actor)
    assert "actor.certificate" in await refused(world, one, changed)


async def test_the_hubs_certificate_cannot_state_an_act(world: World) -> None:
    """Another policy: the hub can never pass for a unit, even if it bore the unit's name."""
    (one,) = await world.consign()
    pki = world.pki
    profile_of_hub = pki.credential(HUB_EVIDENCE, pki.evidence, world.second.unit, world.second.name)
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE, signer=profile_of_hub)
    await refused(world, one, statement)
    await refused(world, one, await world.statement(world.hub, one, Event.CONSIGNMENT_ACCEPTANCE))


async def test_a_tls_certificate_cannot_state_an_act(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(
        world.second, one, Event.CONSIGNMENT_ACCEPTANCE, signer=world.second.tls
    )
    await refused(world, one, statement)


async def test_two_signatures_are_one_too_many(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    third = CadesSigner(world.third.seal.signer, world.third.seal.chain)
    both = third.cosign(statement.signature, statement.body, at=world.clock.now)
    await refused(world, one, Statement(statement.body, both))


async def test_a_changed_statement_and_a_changed_signature(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    changed = statement.body.replace(b"ConsignmentAcceptance", b"ConsignmentAcceptancf")
    with pytest.raises(EvidenceMalformed):
        await world.post(world.second.unit, one, Statement(changed, statement.signature))
    other = await world.statement(world.second, one, Event.CONTENT_HANDOVER)
    await refused(world, one, Statement(statement.body, other.signature))
    broken = bytearray(statement.signature)
    broken[-1] ^= 1
    await refused(world, one, Statement(statement.body, bytes(broken)))
    await refused(world, one, Statement(statement.body, b""))


async def test_events_that_are_no_acts_of_units(world: World) -> None:
    (one,) = await world.consign()
    for event in Event:
        if event in ACTS or event in (Event.SUBMISSION_ACCEPTANCE, Event.SUBMISSION_REJECTION):
            continue
        reasons: tuple[Reason, ...] = ()
        if event.needs_reason:
            reasons = (Reason("some-reason", "why"),)
        statement = await world.statement(world.second, one, event, reasons=reasons)
        size = world.size
        with pytest.raises(ActRefused):
            await world.post(world.second.unit, one, statement)
        assert world.size == size
    await world.check_everything()


async def test_a_return_without_a_reason_is_malformed(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_REJECTION)
    start = statement.body.index(b',"reasons"')
    end = statement.body.index(b',"recipient"')
    body = statement.body[:start] + statement.body[end:]
    with pytest.raises(EvidenceMalformed, match="reasons"):
        await world.post(world.second.unit, one, world.signed_statement(body, world.second.seal))


async def test_an_evidence_id_that_was_used_before(world: World) -> None:
    """The actor chooses the id: taking one that exists is refused, and harms nobody else."""
    (one,) = await world.consign()
    (other,) = await world.consign()
    consignment = await world.records.consignment(one)
    assert consignment is not None
    taken = await world.statement(
        world.second, one, Event.CONSIGNMENT_ACCEPTANCE, evidence_id=consignment.last_evidence
    )
    honest = await world.statement(world.second, other, Event.CONSIGNMENT_ACCEPTANCE)
    results = await asyncio.gather(
        world.post(world.second.unit, one, taken),
        world.post(world.second.unit, other, honest),
        return_exceptions=True,
    )
    assert isinstance(results[0], ActRefused)
    assert not isinstance(results[1], BaseException)
    await world.check_everything()


async def test_two_statements_at_once_with_one_evidence_id(world: World) -> None:
    (one,) = await world.consign()
    (other,) = await world.consign()
    chosen = EvidenceId(uuid7(world.clock.now, bytes(10)))
    statements = [
        await world.statement(world.second, id_, Event.CONSIGNMENT_ACCEPTANCE, evidence_id=chosen)
        for id_ in (one, other)
    ]
    results = await asyncio.gather(
        world.post(world.second.unit, one, statements[0]),
        world.post(world.second.unit, other, statements[1]),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, ActRefused) for result in results) == [False, True]
    await world.check_everything()


async def test_a_consignment_that_is_not_there(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    nowhere = ConsignmentId("018f6c2e-3d50-7a11-9c7e-5b0c1d2e3f40")
    with pytest.raises(NotFound):
        await world.post(world.second.unit, nowhere, statement)


async def test_a_revoked_unit_cannot_act_and_without_lists_nothing_is_decided(tmp_path: Path) -> None:
    pki = PkiWorld()
    async with World(tmp_path / "hub", pki=pki) as world:
        (one,) = await world.consign()
        world.trust.stale = True
        world.clock.advance(days=10)
        with pytest.raises(RevocationStale):
            await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
        world.trust.stale = False
        pki.revoke(world.second.seal.certificate, at=world.clock.now)
        world.trust.renew(world.clock.now)
        with pytest.raises(ActRefused):
            await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
        await world.check_everything()


# --- at once


def gathered(results: Sequence[object], *losing: type[Exception]) -> list[object]:
    """Those that won; all others lost as they should."""
    winners = [one for one in results if not isinstance(one, BaseException)]
    for one in results:
        if isinstance(one, BaseException) and not isinstance(one, losing):
            raise one
    return winners


async def test_twenty_times_the_same_statement_at_once(world: World) -> None:
    (one,) = await world.consign()
    statement = await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    size = world.size
    results = await asyncio.gather(*(world.post(world.second.unit, one, statement) for _ in range(20)))
    assert len({result.receipt for result in results}) == 1
    assert sorted(result.repeated for result in results) == [False] + 19 * [True]
    assert world.size == size + 1
    await world.check_everything()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
async def test_of_acts_and_expiry_at_once_exactly_one_wins(world: World, order: tuple[int, ...]) -> None:
    letter = await world.letter()
    (one,) = await world.consign(letter)
    world.clock.stop()
    # The last millisecond: acts are in time; the clock moves on while they are on their way.
    world.clock.now = letter.dispatch.expires_at - timedelta(milliseconds=2)
    statements = {
        "sign": (world.second, await world.statement(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)),
        "return": (world.second, await world.statement(world.second, one, Event.CONSIGNMENT_REJECTION)),
        "recall": (world.first, await world.statement(world.first, one, Event.RECALL)),
    }
    world.clock.step = timedelta(milliseconds=1)
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: world.post(world.second.unit, one, statements["sign"][1]),
        lambda: world.post(world.second.unit, one, statements["return"][1]),
        lambda: world.post(world.first.unit, one, statements["recall"][1]),
        world.expire,
    ]
    size = world.size
    results = await asyncio.gather(*(steps[at]() for at in order), return_exceptions=True)
    acted = [result for result in results if not isinstance(result, int)]
    winners = gathered(acted, WrongState, ActRefused, DeadlinePassed)
    ended = await world.state(one)
    assert len(winners) + (ended == "EXPIRED") == 1
    assert world.size == size + 1
    consignment = await world.records.consignment(one)
    assert consignment is not None
    for result in acted:
        if isinstance(result, WrongState):
            assert result.evidence_id == consignment.last_evidence
    await world.check_everything()


async def test_of_fifty_acts_in_one_batch_each_finds_its_place(world: World) -> None:
    """Independent acts share commits; losers among them disturb nobody."""
    ids = []
    for _ in range(10):
        ids += await world.consign()
    statements = []
    for one in ids:
        for event in (Event.CONTENT_HANDOVER, Event.CONSIGNMENT_ACCEPTANCE, Event.CONSIGNMENT_REJECTION):
            statements.append((world.second, one, await world.statement(world.second, one, event)))
        for _ in range(2):
            statements.append((world.first, one, await world.statement(world.first, one, Event.RECALL)))
    results = await asyncio.gather(
        *(world.post(actor.unit, one, statement) for actor, one, statement in statements),
        return_exceptions=True,
    )
    assert len(gathered(results, WrongState, ActRefused)) == len(ids)
    await world.check_everything()


def test_every_act_is_one_that_a_unit_authors() -> None:
    assert {event.author for event in ACTS} == {Author.SENDER, Author.RECIPIENT}
