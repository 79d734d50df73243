"""The whole world checks itself: every stored byte against every promise.

Reads the database by ``sqlite3`` and the files by name, beside the hub's own code, and computes
the tree with the slow reference. The numbers are those of the functions below.

    (1) tree       entries dense and hashed right, nodes, state and frontier are those of the reference
    (2) notes      every checkpoint signed under the policy, each a prefix of the next; t never decreases
    (3) evidence   one entry for each evidence and the other way round; commitment, kind, columns
    (4) receipts   judged good, the same bytes at every reading, and those that were handed out
    (5) streams    n dense in every stream, one stream for each pair of parties
    (6) states     the previous chain and the state of each consignment follow from its evidence
    (7) dispatches envelope, signature, E01, consignments, documents on the disk
    (8) contents   every file is what its name says
    (9) signer     the journal ends where the database does
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

from exchange.ledger.merkle import check_consistency
from exchange.ledger.policy import parse_policy
from exchange.protocol.dispatch import decode_dispatch
from exchange.protocol.entry import commitment, decode_entry
from exchange.protocol.events import Event
from exchange.protocol.evidence import Evidence, decode_evidence
from exchange.protocol.identifiers import digest_of, format_time
from exchange.protocol.judge import digests_of, judge_receipt
from exchange.protocol.states import State, next_state
from exchange.storage.contents import LocalContents
from exchange.storage.ledger import LedgerFiles
from exchange.storage.records import SqlRecords
from exchange.storage.signer import Journal
from pki.purpose import UNIT_SEAL
from signing.detached import judge_detached
from signing.report import Verdict
from tests.reference.merkle import ReferenceTree
from tests.worlds.clock import Clock
from tests.worlds.pki import Member, PkiWorld

GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)
Table = list[dict[str, Any]]


class Checked(Protocol):
    """What of a world is looked at; ``tests.worlds.hub.World`` is one."""

    folder: Path
    policy: bytes
    pki: PkiWorld
    hub: Member
    clock: Clock
    files: LedgerFiles
    records: SqlRecords
    contents: LocalContents
    handed_out: dict[str, bytes]
    verified: set[str]

    @property
    def sqlite(self) -> Path:
        """The database's file."""

    @property
    def journal(self) -> Path:
        """The signer's journal."""


class Rows:
    """Every row of the database, table by table."""

    def __init__(self, world: Checked) -> None:
        connection = sqlite3.connect(f"file:{world.sqlite}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            names = [
                row[0]
                for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if row[0] != "alembic_version"
            ]
            self.tables: dict[str, Table] = {
                name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names
            }
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        finally:
            connection.close()

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]


async def check_world(world: Checked) -> None:
    """Check everything; nothing may be left that no check has looked at."""
    rows = Rows(world)
    entries = sorted(rows["ledger_entry"], key=lambda row: row["idx"])
    tree = ReferenceTree([row["body"] for row in entries])
    _check_tree(rows, entries, tree)
    _check_notes(world, rows, entries, tree)
    evidence = _check_evidence(world, rows, entries)
    await _check_receipts(world, rows, evidence)
    _check_streams(rows, entries, evidence)
    _check_states(rows, evidence)
    _check_dispatches(world, rows, evidence)
    _check_contents(world)
    _check_signer(world, tree)


def _check_tree(rows: Rows, entries: Table, tree: ReferenceTree) -> None:
    """(1)"""
    size = len(entries)
    assert [row["idx"] for row in entries] == list(range(size))
    for row in entries:
        assert hashlib.sha256(b"\x00" + row["body"]).digest() == row["leaf"]
    (state,) = rows["ledger_state"]
    assert (state["size"], state["root"]) == (size, tree.mth(0, size))
    expected = {}
    level, width = 1, 256
    while size >= width:
        for n in range(size // width):
            expected[level, n] = tree.mth(n * width, (n + 1) * width)
        level, width = level + 1, width * 256
    assert {(row["level"], row["n"]): row["hash"] for row in rows["ledger_node"]} == expected
    frontier, start = b"", 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            frontier += tree.mth(start, start + (1 << bit))
            start += 1 << bit
    assert state["frontier"] == frontier


def _check_notes(world: Checked, rows: Rows, entries: Table, tree: ReferenceTree) -> None:
    """(2)"""
    policy = parse_policy(world.policy)
    points = sorted(rows["ledger_checkpoint"], key=lambda row: row["size"])
    (state,) = rows["ledger_state"]
    assert (points[-1]["size"] if points else 0) == state["size"]
    before, last_t = 0, ""
    for point in points:
        size = point["size"]
        assert size > before
        assert point["root"] == tree.mth(0, size)
        note = point["note"] or world.files.fresh_notes.get(size)
        assert note is not None, f"the checkpoint of {size} entries is not signed"
        if point["note"] is not None and size in world.files.fresh_notes:
            assert world.files.fresh_notes[size] == note
        verified = policy.check(note)
        verified.check_no_unknown_lines()
        assert (verified.checkpoint.size, verified.checkpoint.root) == (size, point["root"])
        if before:
            check_consistency(
                old_size=before,
                old_root=tree.mth(0, before),
                new_size=size,
                new_root=point["root"],
                proof=tuple(tree.proof(before, size)),
            )
        for row in entries[before:size]:
            # One batch, one instant; and it never goes back.
            assert format_time(decode_entry(row["body"]).t) == point["at"]
        assert point["at"] >= last_t
        before, last_t = size, point["at"]
    if points:
        assert state["at"] == last_t


def _check_evidence(world: Checked, rows: Rows, entries: Table) -> list[tuple[dict[str, Any], Evidence]]:
    """(3) The evidence in the ledger's order."""
    found = sorted(rows["evidence"], key=lambda row: row["entry_index"])
    assert [row["entry_index"] for row in found] == list(range(len(entries)))
    rids = set()
    result = []
    for row, entry_row in zip(found, entries, strict=True):
        evidence, entry = decode_evidence(row["body"]), decode_entry(entry_row["body"])
        assert entry.kind == evidence.event.kind
        assert entry.commit == commitment(salt=row["salt"], evidence=row["body"], signature=row["signature"])
        rids.add(entry.rid)
        for column in ("evidence_id", "sender", "dispatch_id", "consignment_id", "recipient"):
            assert row[column] == getattr(evidence, column)
        assert row["event"] == evidence.event.wire
        # What the hub states alone was posted by nobody.
        assert (row["posted_digest"] is None) == (evidence.actor.unit == world.hub.unit)
        result.append((row, evidence))
    assert len(rids) == len(entries)
    assert len({row["salt"] for row in found}) == len(found)
    digests = {digest for row in found for digest in row["revocation"].split(",") if digest}
    stored = {row["digest"]: row["body"] for row in rows["revocation_data"]}
    assert digests == set(stored)
    assert all(digest_of(body) == digest for digest, body in stored.items())
    return result


async def _check_receipts(
    world: Checked, rows: Rows, evidence: list[tuple[dict[str, Any], Evidence]]
) -> None:
    """(4)"""
    trust = world.pki.trust(world.clock.now)
    for row, one in evidence:
        receipt = await world.records.receipt(one.evidence_id)
        assert receipt is not None
        assert await world.records.receipt(one.evidence_id) == receipt
        assert world.handed_out.setdefault(one.evidence_id, receipt) == receipt
        digest = digest_of(receipt)
        if digest not in world.verified:
            judged = judge_receipt(
                receipt,
                name=one.event.wire,
                trust=trust,
                policy=world.policy,
                now=world.clock.now,
            )
            assert judged.report.verdict in GOOD, judged.report
            assert judged.index == row["entry_index"]
            assert judged.evidence == one
            world.verified.add(digest)
    assert set(world.handed_out) == {one.evidence_id for _, one in evidence}


def _check_streams(rows: Rows, entries: Table, evidence: list[tuple[dict[str, Any], Evidence]]) -> None:
    """(5)"""
    numbers: dict[str, list[int]] = defaultdict(list)
    pairs: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
    for row, (_, one) in zip(entries, evidence, strict=True):
        entry = decode_entry(row["body"])
        numbers[entry.stream].append(entry.n)
        pairs[entry.stream].add((one.sender, one.recipient))
    for stream, counted in numbers.items():
        assert counted == list(range(1, len(counted) + 1))
        assert len(pairs[stream]) == 1
    assert len({next(iter(pair)) for pair in pairs.values()}) == len(pairs)
    stored = {row["stream"]: row["n"] for row in rows["ledger_stream"]}
    assert stored == {stream: len(counted) for stream, counted in numbers.items()}


def _check_states(rows: Rows, evidence: list[tuple[dict[str, Any], Evidence]]) -> None:
    """(6)"""
    entries = {row["idx"]: decode_entry(row["body"]) for row in rows["ledger_entry"]}
    by_id = {one.evidence_id: row for row, one in evidence}
    first = {
        (one.sender, one.dispatch_id): one.evidence_id
        for _, one in evidence
        if one.event is Event.SUBMISSION_ACCEPTANCE
    }
    stories: dict[str, list[tuple[dict[str, Any], Evidence]]] = defaultdict(list)
    for row, one in evidence:
        if one.consignment_id is not None:
            stories[one.consignment_id].append((row, one))
    for consignment in rows["consignment"]:
        state = State.ACCEPTED
        last = first[consignment["sender"], consignment["dispatch_id"]]
        for row, one in stories.pop(consignment["consignment_id"], []):
            assert one.previous == last
            assert (one.sender, one.recipient) == (consignment["sender"], consignment["recipient"])
            assert one.dispatch_id == consignment["dispatch_id"]
            state = next_state(state, one.event)
            last = one.evidence_id
            assert consignment["changed_index"] >= row["entry_index"]
        assert consignment["state"] == state.value
        assert consignment["last_evidence"] == last
        assert consignment["changed_index"] == by_id[last]["entry_index"]
        assert consignment["changed_at"] == format_time(entries[consignment["changed_index"]].t)
    assert not stories, "evidence about consignments that are not there"


def _check_dispatches(world: Checked, rows: Rows, evidence: list[tuple[dict[str, Any], Evidence]]) -> None:
    """(7)"""
    trust = world.pki.trust(world.clock.now)
    accepted = {one.evidence_id: one for _, one in evidence if one.event is Event.SUBMISSION_ACCEPTANCE}
    for row in rows["dispatch"]:
        one = accepted.pop(row["evidence_id"])
        dispatch = decode_dispatch(row["envelope"])
        assert digest_of(row["envelope"]) == row["digest"] == one.dispatch
        assert (row["sender"], row["dispatch_id"]) == (dispatch.sender, dispatch.dispatch_id)
        assert (one.sender, one.dispatch_id) == (dispatch.sender, dispatch.dispatch_id)
        assert row["accepted_at"] == format_time(one.submitted_at)
        key = digest_of(row["envelope"] + row["signature"])
        if key not in world.verified:
            (seal,) = judge_detached(
                row["signature"],
                digests_of(row["envelope"]),
                trust=trust,
                purpose=UNIT_SEAL,
                now=world.clock.now,
                at=one.submitted_at,
            )
            assert seal.verdict in GOOD
            assert seal.unit == dispatch.sender
            world.verified.add(key)
        mine = [
            (c["recipient"], c["role"], c["expires_at"])
            for c in rows["consignment"]
            if (c["sender"], c["dispatch_id"]) == (dispatch.sender, dispatch.dispatch_id)
        ]
        expires = format_time(dispatch.expires_at)
        assert sorted(mine) == sorted(
            [(unit, "main", expires) for unit in dispatch.main]
            + [(unit, "copy", expires) for unit in dispatch.copy]
        )
        documents = [
            d["digest"]
            for d in rows["dispatch_document"]
            if (d["sender"], d["dispatch_id"]) == (dispatch.sender, dispatch.dispatch_id)
        ]
        assert sorted(documents) == sorted({document.digest for document in dispatch.documents})
        for document in dispatch.documents:
            body = world.contents.path(document.digest).read_bytes()
            assert (digest_of(body), len(body)) == (document.digest, document.size)
    assert not accepted, "E01 without its dispatch"
    keys = {(row["sender"], row["dispatch_id"]) for row in rows["dispatch"]}
    assert {(row["sender"], row["dispatch_id"]) for row in rows["consignment"]} <= keys
    assert {(row["sender"], row["dispatch_id"]) for row in rows["dispatch_document"]} <= keys
    refused = {one.evidence_id for _, one in evidence if one.event is Event.SUBMISSION_REJECTION}
    assert sorted(refused) == sorted(row["evidence_id"] for row in rows["rejection"])


def _check_contents(world: Checked) -> None:
    """(8)"""
    for file in (world.folder / "contents" / "objects").glob("*/*"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
        assert file.parent.name == file.name[:2]


def _check_signer(world: Checked, tree: ReferenceTree) -> None:
    """(9)"""
    state = Journal(world.journal).state
    size = len(tree.entries)
    assert (state.size, state.root) == (size, tree.mth(0, size))
