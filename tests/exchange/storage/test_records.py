"""Reading: what each party sees, page by page, and the ledger's files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.ledger.policy import parse_policy
from exchange.ledger.tiles import Bundle, Tile, bundles_of_size, decode_bundle, decode_tile, tiles_of_size
from exchange.protocol.errors import NotFound
from exchange.protocol.events import Event
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.identifiers import digest_of, uuid7
from exchange.protocol.states import Aggregate, State
from exchange.storage import tables as t
from exchange.storage.committer import Rows
from pki.asn1 import encode_certificate
from pki.names import UnitId
from tests.reference.merkle import ReferenceTree
from tests.worlds.hub import SENT_IN_ERROR, World
from tests.worlds.hub_checks import Rows as AllRows


async def test_the_inbox_is_a_feed_of_changes(world: World) -> None:
    accepted = await world.submit(await world.letter(main=[world.second, world.third]))
    one, other = [each.consignment_id for each in accepted.consignments]

    async def inbox(after: int = -1, *, state: State | None = None, limit: int = 10) -> list[str]:
        found = await world.records.inbox(world.second.unit, after=after, state=state, limit=limit)
        return [each.consignment_id for each in found]

    assert await inbox() == []  # not delivered yet
    await world.deliver()
    assert await inbox() == [one]
    (seen,) = await world.records.inbox(world.second.unit, after=-1, state=None, limit=10)
    assert await inbox(seen.changed_index) == []
    await world.act(world.second, one, Event.CONTENT_HANDOVER)
    assert await inbox(seen.changed_index) == [one]
    assert await inbox(state=State.HANDED_OVER) == [one]
    assert await inbox(state=State.CONSIGNED) == []
    assert await inbox(state=State.ACCEPTED) == []
    more = [(await world.consign())[0] for _ in range(4)]
    assert await inbox() == [one, *more]
    # Page by page nothing is missed and nothing comes twice.
    pages, after = [], -1
    while found := await world.records.inbox(world.second.unit, after=after, state=None, limit=2):
        pages += [each.consignment_id for each in found]
        after = found[-1].changed_index
    assert pages == [one, *more]
    assert other not in pages


async def test_the_outbox_pages_backwards_and_filters(world: World) -> None:
    ids = []
    for number in range(7):
        (one,) = await world.consign()
        consignment = await world.records.consignment(one)
        assert consignment is not None
        ids.append(consignment.dispatch_id)
        if number % 2:
            await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
        world.clock.advance(milliseconds=5)
    newest_first = ids[::-1]

    async def outbox(limit: int, state: Aggregate | None = None) -> list[str]:
        found: list[str] = []
        before: str | None = None
        while True:
            page, before = await world.records.outbox(
                world.first.unit, before=before, state=state, limit=limit
            )
            assert len(page) <= limit
            found += [record.kept.dispatch.dispatch_id for record in page]
            if before is None:
                return found

    for limit in range(1, 9):
        assert await outbox(limit) == newest_first
        assert await outbox(limit, Aggregate.COMPLETED) == [one for one in newest_first if ids.index(one) % 2]
        assert await outbox(limit, Aggregate.IN_PROGRESS) == [
            one for one in newest_first if not ids.index(one) % 2
        ]
        assert await outbox(limit, Aggregate.WITHDRAWN) == []
    found, _ = await world.records.outbox(world.second.unit, before=None, state=None, limit=5)
    assert found == []


async def test_a_dispatch_is_its_senders_alone(world: World) -> None:
    letter = await world.letter(main=[world.third, world.second])
    accepted = await world.submit(letter)
    dispatch_id = letter.dispatch.dispatch_id
    record = await world.records.dispatch_record(world.first.unit, dispatch_id)
    assert record is not None
    assert record.evidence_id == accepted.evidence_id
    assert [one.consignment_id for one in record.consignments] == [
        one.consignment_id for one in accepted.consignments
    ]
    assert await world.records.envelope(world.first.unit, dispatch_id) == (letter.envelope, letter.signature)
    for unit in world.units[1:]:
        assert await world.records.dispatch_record(unit.unit, dispatch_id) is None
        assert await world.records.envelope(unit.unit, dispatch_id) is None
        assert await world.records.dispatch(unit.unit, dispatch_id) is None
        assert await world.records.accepted(unit.unit, dispatch_id) is None


async def test_who_may_read_which_receipt(world: World) -> None:
    """Sender: all. Recipient: E01 and its own, once it is delivered. Everybody else: none."""
    letter = await world.letter(main=[world.second, world.third])
    accepted = await world.submit(letter)
    one, _ = [each.consignment_id for each in accepted.consignments]

    async def readers(evidence_id: str) -> list[bool]:
        return [await world.records.is_evidence_party(unit.unit, evidence_id) for unit in world.units]

    assert await readers(accepted.evidence_id) == [True, False, False, False]
    await world.deliver()
    assert await readers(accepted.evidence_id) == [True, True, True, False]
    acted = await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    assert await readers(acted.evidence_id) == [True, True, False, False]
    refused = await world.letter(origin="other.example.gov")
    with pytest.raises(Exception, match="origin-mismatch"):
        await world.submit(refused)
    (rejection,) = AllRows(world)["rejection"]
    assert await readers(rejection["evidence_id"]) == [True, False, False, False]
    assert await readers(uuid7(world.clock.now, bytes(10))) == [False] * 4


async def test_evidence_of_a_dispatch_in_the_ledgers_order(world: World) -> None:
    letter = await world.letter(main=[world.second, world.third])
    accepted = await world.submit(letter)
    await world.deliver()
    one, other = [each.consignment_id for each in accepted.consignments]
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.act(world.first, other, Event.RECALL, reasons=SENT_IN_ERROR)
    dispatch_id = letter.dispatch.dispatch_id

    async def events(*consignments: str) -> list[str]:
        found = await world.records.evidence_of(
            world.first.unit, dispatch_id, consignment_ids=consignments or None
        )
        return [decode_evidence(record.body).event.number for record in found]

    assert await events() == ["E01", "E05", "E05", "E10", "E13"]
    assert await events(one) == ["E01", "E05", "E10"]
    assert await events(other) == ["E01", "E05", "E13"]
    assert await world.records.evidence_of(world.second.unit, dispatch_id) == []


async def test_a_conflict_is_no_evidence_of_the_dispatch(world: World) -> None:

    letter = await world.letter()
    await world.submit(letter)
    other = world.sign(
        replace(letter.dispatch, metadata=replace(letter.dispatch.metadata, title="x")),
        world.first.seal,
        unit=world.first.unit,
    )
    with pytest.raises(Exception, match="duplicate-id-conflict"):
        await world.submit(other)
    records = await world.records.evidence_of(world.first.unit, letter.dispatch.dispatch_id)
    assert [decode_evidence(one.body).event.number for one in records] == ["E01"]


# --- the directory


async def test_who_can_receive(world: World) -> None:
    units = [unit.unit for unit in world.units]
    assert await world.records.can_receive(units) == frozenset(units)
    assert await world.records.can_receive([]) == frozenset()
    assert await world.records.can_receive([world.hub.unit]) == frozenset()
    await world.set_active(world.second, False)
    # A TLS certificate is no seal.
    row = {
        "fingerprint": digest_of(encode_certificate(world.third.seal.certificate)),
        "unit": world.third.unit,
        "purpose": "seal",
        "certificate": encode_certificate(world.third.seal.certificate),
        "revoked_at": "2026-11-21T20:00:00.000Z",
    }
    await world.committer.add(Rows(t.credential, [row], replace=True))
    assert await world.records.can_receive(units) == {world.first.unit, world.stranger.unit}
    # As many as one dispatch may have.
    many = [UnitId(f"{world.first.unit}/{number}") for number in range(5000)]
    assert await world.records.can_receive([*many, world.first.unit]) == {world.first.unit}


async def test_whose_certificate_it_is(world: World) -> None:
    fingerprint = digest_of(b"")
    for purpose, credential in (("seal", world.second.seal), ("tls", world.second.tls)):
        fingerprint = digest_of(encode_certificate(credential.certificate))
        found = await world.records.credential(fingerprint)
        assert found is not None
        assert (found.unit, found.purpose, found.usable) == (world.second.unit, purpose, True)
    await world.set_active(world.second, False)
    found = await world.records.credential(fingerprint)
    assert found is not None
    assert not found.usable
    assert await world.records.credential(digest_of(b"nobody")) is None


@pytest.mark.parametrize(
    ("query", "count"), [(None, 4), ("县", 2), ("丁大学", 1), ("%", 0), ("_", 0), ("\\", 0)]
)
async def test_searching_the_directory(world: World, query: str | None, count: int) -> None:
    found = await world.records.units(query)
    assert len(found) == count
    assert all(one.can_receive and one.active for one in found)
    assert [one.unit for one in found] == sorted(one.unit for one in found)


# --- the ledger's files


async def test_every_tile_and_bundle_of_the_signed_size(world: World) -> None:
    for _ in range(3):
        await world.consign()
    note = await world.files.checkpoint()
    assert note is not None
    head = parse_policy(world.policy).check(note).checkpoint
    assert head.size == world.size == 6
    bodies: list[bytes] = []
    for bundle in bundles_of_size(head.size):
        data = await world.files.bundle(bundle)
        assert data is not None
        bodies += decode_bundle(data, bundle.width)
    tree = ReferenceTree(bodies)
    assert tree.mth(0, head.size) == head.root
    for tile in tiles_of_size(head.size):
        data = await world.files.tile(tile)
        assert data is not None
        assert decode_tile(data, tile.width) == tuple(tree.mth(at, at + 1) for at in range(head.size))
    # Every smaller partial tile too; none that is larger or elsewhere.
    for width in range(1, 7):
        assert await world.files.tile(Tile(0, 0, width)) is not None
        assert await world.files.bundle(Bundle(0, width)) is not None
    for missing in (Tile(0, 0, 7), Tile(0, 0), Tile(0, 1, 1), Tile(1, 0, 1)):
        assert await world.files.tile(missing) is None
    assert await world.files.bundle(Bundle(0, 7)) is None


async def test_before_anything_was_signed_there_is_no_checkpoint(world: World) -> None:
    assert await world.files.checkpoint() is None


async def test_a_receipt_that_is_not_there(world: World) -> None:
    nowhere = uuid7(world.clock.now, bytes(10))
    assert await world.records.receipt(nowhere) is None
    with pytest.raises(NotFound):
        await world.files.receipt(nowhere)


async def test_the_schema_is_the_programs(world: World) -> None:
    current, head = await world.records.schema()
    assert current == head is not None
