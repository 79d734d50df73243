"""The one writer: group commit of rows and ledger entries, then the signature, then release.

Changes that arrive while a commit is under way share the next one; there is no
timer. For each batch, in this order:

    (1) one transaction: guards, rows, ledger entries and nodes, the boundary of
        the batch, the new ledger state (compare-and-swap on size and epoch); COMMIT
    (2) the signer recomputes the head, remembers it durably, and signs
    (3) receipts are made and the waiting callers answered

A crash before (1) is done leaves nothing. After it everything of the batch is
there; at the next start the boundary rows say where the signer still has to sign,
and because Ed25519 is deterministic the receipts come out the same. Whether a
COMMIT of unknown outcome happened is read from the database, never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Table, bindparam, delete, exists, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from exchange.journey.ports import AlreadyAccepted, AlreadyActed, AlreadyRefused, Change, Move
from exchange.journey.stages import Appended, Consignment, Refused
from exchange.ledger.errors import LeavesMissing, LedgerError, LedgerInconsistent
from exchange.ledger.merkle import Frontier, leaf_hash
from exchange.ledger.tiles import Tile, edge_of_size, encode_tile
from exchange.ledger.tree import MemoryTree
from exchange.protocol.entry import Entry, commitment, encode_entry
from exchange.protocol.errors import (
    ActOverdue,
    ActRefused,
    Broken,
    DeadlinePassed,
    DuplicateIdConflict,
    ExchangeError,
    Overloaded,
    StorageFull,
    Unavailable,
    WrongState,
)
from exchange.protocol.evidence import Evidence
from exchange.protocol.identifiers import (
    Digest,
    EvidenceId,
    digest_of,
    format_time,
    parse_time,
    to_milliseconds,
)
from exchange.protocol.judge import TOLERANCE
from exchange.protocol.receipt import assemble_receipt
from exchange.protocol.states import allowed_events, next_state
from exchange.storage import tables as t
from exchange.storage.database import Database, unavailable
from exchange.storage.ledger import LedgerFiles, read_tile
from exchange.storage.records import SqlRecords, consignment_of
from exchange.storage.signer import CheckpointSigner
from pki.names import UnitId

MAX_BATCH: Final = 512
MAX_WAITING: Final = 4096
_HASH = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """A content that a unit has uploaded."""

    unit: UnitId
    digest: Digest
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that go in as they are: registrations of units and their certificates."""

    table: Table
    rows: Sequence[Mapping[str, object]]
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Forget:
    """A content that a unit shall no longer have, unless a dispatch of its own names it."""

    unit: UnitId
    digest: Digest


Work = Change | Grant | Forget | Rows


@dataclass(slots=True)
class _Waiting:
    work: Work
    done: asyncio.Future[Appended | None]


@dataclass(slots=True)
class _Written:
    """What one transaction wrote, kept until the signer has signed it."""

    size: int
    root: bytes
    t: datetime
    leaves: list[bytes]
    entries: list[tuple[_Waiting, Change, int, bytes]] = field(default_factory=list)
    """Caller, change, index, entry body."""
    refused: list[tuple[_Waiting, Exception]] = field(default_factory=list)
    """Those whom this batch refuses. They are told when the others are: the first answer that a repeat
    gets, and the winner whose receipt a loser is shown, must be there by then."""

    def fail(self, error: Exception) -> None:
        """Committed, and not signed: nobody is told anything, and nobody waits any longer."""
        _fail([waiting for waiting, *_ in self.entries], error)
        _fail([waiting for waiting, _ in self.refused], error)
        self.entries.clear()
        self.refused.clear()


class _Repeated(Exception):
    """The bytes were committed before; the caller reads the first answer."""


class Committer:
    """The writer of one hub process. Port :class:`exchange.journey.ports.Ledger`."""

    def __init__(
        self,
        database: Database,
        files: LedgerFiles,
        records: SqlRecords,
        signer: CheckpointSigner,
        *,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
        released: Callable[[Iterable[UnitId]], None] = lambda _units: None,
        retry_seconds: float = 1,
    ) -> None:
        """Nothing is read or written yet; :meth:`start` does. ``retry_seconds`` is how long after the signer
        failed it is tried again when nobody asks for anything."""
        self._database = database
        self._files = files
        self._records = records
        self._signer = signer
        self._clock = clock
        self._random = random
        self._released = released
        self._retry_seconds = retry_seconds
        # None ends the loop, after everything that stands before it.
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "committer")
        self._closing = False
        self._tree = MemoryTree()
        self._epoch = 0
        self._last_t = datetime.min.replace(tzinfo=UTC)
        self._streams: dict[str, tuple[str, int]] = {}
        self._revocation_known: set[Digest] = set()
        self._unsigned: list[_Written] = []
        self.broken: str | None = None
        """Why nothing is written any more; None while all is well."""
        self.stopped = asyncio.Event()
        """Set when the writer has broken."""

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check that state, nodes, entries and the signer agree; sign what a crash left unsigned; begin.

        Raises:
            Broken: they do not agree. Nothing is written; a person has to look.
        """
        await self._load()
        try:
            await self._recover()
        except LedgerError as error:
            raise Broken(detail=str(error)) from error
        self._task = asyncio.create_task(self._run(), name="committer")

    async def close(self) -> None:
        """Write what waits, then stop. Notes that are not in their rows yet are put there."""
        self._closing = True
        if self._task is not None:
            await self._queue.put(None)
            await self._task
        if self.broken is None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._flush_notes)
        self._thread.shutdown()

    def _flush_notes(self) -> None:
        # What does not get there now is signed again, to the same bytes, at the next start.
        with contextlib.suppress(DBAPIError), self._database.writer.begin() as connection:
            self._write_notes(connection)

    @property
    def size(self) -> int:
        """How many entries the ledger has."""
        return self._tree.size

    @property
    def waiting(self) -> int:
        """How many changes wait for the next commit."""
        return self._queue.qsize()

    # -- port ------------------------------------------------------------------------------------

    async def commit(self, change: Change) -> Appended:
        """As the port promises."""
        try:
            appended = await self._submit(change)
        except _Repeated:
            raise await self._first_answer(change) from None
        if appended is None:
            raise Broken(detail="a change came back without an entry")
        return appended

    async def grant(self, unit: UnitId, digest: Digest, size: int, *, at: datetime) -> None:
        """As the port promises."""
        await self._submit(Grant(unit, digest, size, at))

    async def forget(self, unit: UnitId, digest: Digest) -> None:
        """Take an uploaded content from the unit again, unless an accepted dispatch of its own names it."""
        await self._submit(Forget(unit, digest))

    async def add(self, *rows: Rows) -> None:
        """Write plain rows. Durable on return; a row that is there already stays unless ``replace``."""
        await asyncio.gather(*(self._submit(one) for one in rows))

    async def _submit(self, work: Work) -> Appended | None:
        if self.broken is not None:
            raise Broken(detail=self.broken)
        if self._closing:
            raise Unavailable(detail="the hub is stopping")
        waiting = _Waiting(work, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise Overloaded from None
        # A caller that goes away does not take its work back: it is in a batch with others.
        return await asyncio.shield(waiting.done)

    async def _first_answer(self, change: Change) -> Exception:
        if change.dispatch is not None:
            new = change.dispatch
            found = await self._records.accepted(new.dispatch.sender, new.dispatch.dispatch_id)
            if found is None:
                return Broken(detail="a repeated dispatch is not there")
            digest, answer = found
            if digest != new.digest:
                return DuplicateIdConflict(dispatch_id=new.dispatch.dispatch_id)
            return AlreadyAccepted(answer)
        if change.move is not None and change.signed.posted is not None:
            acted = await self._records.acted(change.signed.posted, change.move.consignment.consignment_id)
            if acted is not None:
                return AlreadyActed(acted)
        if change.rejection is not None:
            key = change.rejection
            receipt = await self._records.rejected(key.sender, key.envelope_digest, key.signature_digest)
            if receipt is not None:
                return AlreadyRefused(Refused(receipt))
        return Broken(detail="a repeated request has no first answer")

    # -- the loop --------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self.broken is None and (first := await self._next()) is not None:
            batch = [first]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                waiting = self._queue.get_nowait()
                if waiting is None:
                    self._queue.put_nowait(None)
                    break
                batch.append(waiting)
            try:
                await self._write(batch)
            except Exception as error:
                # Whatever this is, it is not one of the failures we know how to survive.
                self._break(f"{type(error).__name__}: {error}")
                _fail(batch, Broken(detail=self.broken))
        while not self._queue.empty():
            left = self._queue.get_nowait()
            if left is not None:
                _fail([left], Broken(detail=self.broken))

    async def _next(self) -> _Waiting | None:
        """The next work; meanwhile what is committed and not signed is tried again, for those who repeat."""
        while self._unsigned and self.broken is None:
            try:
                return await asyncio.wait_for(self._queue.get(), self._retry_seconds)
            except TimeoutError:
                try:
                    await self._sign_waiting()
                except Exception as error:
                    self._break(f"{type(error).__name__}: {error}")
        return None if self.broken is not None else await self._queue.get()

    def _break(self, why: str) -> None:
        self.broken = why
        self.stopped.set()

    async def _write(self, batch: list[_Waiting]) -> None:
        if self._unsigned and not await self._sign_waiting():
            _fail(batch, Unavailable(detail="the ledger's signer cannot be reached"))
            return
        written = await self._transact(batch)
        if written is None:
            return
        self._unsigned.append(written)
        await self._sign_waiting()

    async def _transact(self, batch: list[_Waiting]) -> _Written | None:
        """Step (1). Callers that fail alone are told here; the others stand in what is returned."""
        plan, error = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._commit_batch, batch
        )
        if error is not None:
            # The tree ran ahead of a transaction that may not be there: take everything from the database.
            await self._load()
        if plan is None and isinstance(error, IntegrityError | DataError) and len(batch) > 1:
            # A row that the database will not have: whose it is shows when each is written alone.
            for one in batch:
                await self._write([one])
            return None
        if plan is None or (error is not None and (self._tree.size, self._tree.root) != plan.head):
            _fail(batch, unavailable(error) if error is not None else Broken(detail="nothing was planned"))
            return None
        self._adopt(plan)
        if any(isinstance(waiting.work, Rows) for waiting in plan.done):
            self._records.directory.forget()
        for waiting in plan.done:
            _answer(waiting, None)
        if plan.written.entries:
            return plan.written
        _refuse(plan.written)
        return None

    def _commit_batch(self, batch: list[_Waiting]) -> tuple[_Plan | None, DBAPIError | None]:
        """The whole transaction, in the writing thread. A plan together with an error: COMMIT itself raised."""
        plan = None
        with self._database.writer.connect() as connection:
            try:
                with connection.begin() as transaction:
                    plan = self._apply(connection, batch)
                    transaction.commit()
            except DBAPIError as error:
                # Whether a COMMIT that raised has happened is for the database to say, never for us to
                # guess. The transaction may still be open on this connection: it is not used again.
                if plan is not None:
                    connection.invalidate(error)
                return plan, error
        return plan, None

    def _adopt(self, plan: _Plan) -> None:
        """Memory follows the database, only after the commit."""
        self._last_t = max(self._last_t, plan.written.t)
        self._epoch = plan.epoch
        self._streams.update(plan.streams)
        self._revocation_known.update(plan.revocation)
        for size in plan.noted:
            # The last one stays: it is the newest checkpoint that readers are given.
            if size != max(self._files.fresh_notes):
                del self._files.fresh_notes[size]

    async def _sign_waiting(self) -> bool:
        """Steps (2) and (3) for every batch that is committed and not signed, in order."""
        while self._unsigned:
            written = self._unsigned[0]
            try:
                note = await self._signer.sign(leaves=written.leaves, size=written.size, root=written.root)
            except (LedgerInconsistent, LeavesMissing) as error:
                self._break(str(error))
                for one in self._unsigned:
                    one.fail(Broken(detail=self.broken))
                return False
            except OSError:
                # Committed and not signed: nothing is released. The next batch tries again first;
                # a caller that repeats finds its first receipt then.
                for one in self._unsigned:
                    one.fail(StorageFull())
                return False
            self._files.fresh_notes[written.size] = note
            self._unsigned.pop(0)
            self._release(written, note)
        return True

    def _release(self, written: _Written, note: bytes) -> None:
        entries = written.entries
        if not entries:
            return
        proofs = self._tree.inclusion_proofs([index for _, _, index, _ in entries], written.size)
        units: set[UnitId] = set()
        for (waiting, change, index, body), hashes in zip(entries, proofs, strict=True):
            signed = change.signed
            receipt = assemble_receipt(
                evidence=signed.body,
                signature=signed.signature,
                entry=body,
                salt=signed.salt,
                index=index,
                hashes=hashes,
                checkpoint=note,
                revocation=signed.revocation,
            )
            _answer(waiting, Appended(signed.evidence.evidence_id, index, written.t, receipt, signed))
            units.add(signed.evidence.sender)
            if signed.evidence.recipient is not None:
                units.add(signed.evidence.recipient)
        _refuse(written)
        self._released(units)

    # -- inside the transaction ------------------------------------------------------------------

    def _apply(self, connection: Connection, batch: list[_Waiting]) -> _Plan:
        """Everything of step (1) but the commit. Memory is not touched, but for the tree."""
        now = max(self._last_t, to_milliseconds(self._clock()))
        self._check_state(connection)
        plan = _Plan(_Written(self._tree.size, self._tree.root, now, []), epoch=self._epoch)
        plan.noted = self._write_notes(connection)
        guards = _Guards(connection, batch, now)
        for waiting in batch:
            try:
                guards.check(waiting.work)
            except (_Repeated, ExchangeError) as error:
                plan.written.refused.append((waiting, error))
                continue
            if isinstance(waiting.work, Change):
                plan.changes.append((waiting, waiting.work))
            else:
                plan.done.append(waiting)
        self._insert_plain(connection, [waiting.work for waiting in plan.done])
        if plan.changes:
            self._append(connection, plan, now)
        return plan

    def _check_state(self, connection: Connection) -> None:
        row = connection.execute(
            select(t.ledger_state.c.size, t.ledger_state.c.root, t.ledger_state.c.epoch)
            .where(t.ledger_state.c.ledger == self._files.ledger)
            .with_for_update()
        ).one()
        if (row.size, row.root, row.epoch) != (self._tree.size, self._tree.root, self._epoch):
            raise Broken(detail=f"the ledger moved from {self._tree.size} to {row.size} without us")

    def _append(self, connection: Connection, plan: _Plan, now: datetime) -> None:
        first = self._tree.size
        self._load_streams(connection, plan)
        rows = _RowLists()
        for offset, (waiting, change) in enumerate(plan.changes):
            signed = change.signed
            party = party_of(signed.evidence)
            stream, n = plan.streams.get(party) or self._streams[party]
            plan.streams[party] = (stream, n + 1)
            body = encode_entry(
                Entry(
                    commit=commitment(salt=signed.salt, evidence=signed.body, signature=signed.signature),
                    kind=signed.evidence.event.kind,
                    n=n + 1,
                    rid=signed.rid,
                    stream=stream,
                    t=now,
                )
            )
            plan.written.leaves.append(leaf_hash(body))
            plan.written.entries.append((waiting, change, first + offset, body))
            rows.add(change, index=first + offset, now=now, ledger=self._files.ledger, body=body)
        # The tree runs ahead of the commit here. Should the commit fail, it is loaded anew.
        finished = self._tree.extend(plan.written.leaves)
        plan.written.size, plan.written.root = self._tree.size, self._tree.root
        rows.entries = [
            {"ledger": self._files.ledger, "idx": index, "leaf": leaf, "body": body}
            for (_, _, index, body), leaf in zip(plan.written.entries, plan.written.leaves, strict=True)
        ]
        rows.nodes = [
            {
                "ledger": self._files.ledger,
                "level": tile.level + 1,
                "n": tile.index,
                "hash": self._tree.node(8 * (tile.level + 1), tile.index),
            }
            for tile in finished
        ]
        plan.revocation = rows.revocation.keys() - self._revocation_known
        rows.write(connection, new_revocation=plan.revocation)
        self._write_streams(connection, plan)
        self._write_state(connection, plan, now)

    def _load_streams(self, connection: Connection, plan: _Plan) -> None:
        parties = {party_of(change.signed.evidence) for _, change in plan.changes} - self._streams.keys()
        if not parties:
            return
        rows = connection.execute(select(t.ledger_stream).where(t.ledger_stream.c.party.in_(parties)))
        known = {row.party: (row.stream, row.n) for row in rows}
        self._streams.update(known)
        new = {party: (self._random(16).hex(), 0) for party in sorted(parties - known.keys())}
        if new:
            connection.execute(
                insert(t.ledger_stream),
                [{"party": party, "stream": stream, "n": n} for party, (stream, n) in new.items()],
            )
        plan.streams.update(new)

    def _write_streams(self, connection: Connection, plan: _Plan) -> None:
        connection.execute(
            update(t.ledger_stream)
            .where(t.ledger_stream.c.party == bindparam("key"))
            .values(n=bindparam("count")),
            [{"key": party, "count": n} for party, (_, n) in plan.streams.items()],
        )

    def _write_state(self, connection: Connection, plan: _Plan, now: datetime) -> None:
        written = plan.written
        connection.execute(
            insert(t.ledger_checkpoint),
            {
                "ledger": self._files.ledger,
                "size": written.size,
                "root": written.root,
                "at": format_time(now),
            },
        )
        plan.epoch = self._epoch + 1
        swapped = connection.execute(
            update(t.ledger_state)
            .where(t.ledger_state.c.ledger == self._files.ledger, t.ledger_state.c.epoch == self._epoch)
            .values(
                size=written.size,
                root=written.root,
                frontier=b"".join(self._tree.frontier.hashes),
                epoch=plan.epoch,
                at=format_time(now),
            )
        )
        if swapped.rowcount != 1:
            raise Broken(detail="another writer replaced the ledger's state")

    def _insert_plain(self, connection: Connection, works: Sequence[Work]) -> None:
        grants = [
            {"unit": one.unit, "digest": one.digest, "size": one.size, "granted_at": format_time(one.at)}
            for one in works
            if isinstance(one, Grant)
        ]
        _insert_new(connection, t.content_grant, grants)
        for one in works:
            if isinstance(one, Forget):
                _forget(connection, one)
            elif isinstance(one, Rows):
                if one.replace:
                    _replace(connection, one.table, one.rows)
                else:
                    _insert_new(connection, one.table, one.rows)

    def _write_notes(self, connection: Connection) -> list[int]:
        """Put signed notes into their boundary rows; returns the sizes."""
        notes = self._files.fresh_notes
        if notes:
            connection.execute(
                update(t.ledger_checkpoint)
                .where(
                    t.ledger_checkpoint.c.ledger == self._files.ledger,
                    t.ledger_checkpoint.c.size == bindparam("at_size"),
                )
                .values(note=bindparam("the_note")),
                [{"at_size": size, "the_note": note} for size, note in notes.items()],
            )
        return list(notes)

    # -- loading and recovery --------------------------------------------------------------------

    async def _load(self) -> None:
        """Take the state from the database and check it against nodes and entries (ledger.md §5.11).

        Raises:
            Broken: what is stored does not agree with itself.
        """
        try:
            await self._take_state()
        except (LedgerError, ValueError, TypeError) as error:
            # A hash, an entry or a time that is not even one.
            raise Broken(detail=f"what is stored of the ledger is damaged: {error}") from error

    async def _take_state(self) -> None:
        ledger = self._files.ledger
        async with self._database.read() as connection:
            state = (
                await connection.execute(select(t.ledger_state).where(t.ledger_state.c.ledger == ledger))
            ).one_or_none()
            if state is None:
                raise Broken(detail=f"there is no ledger {ledger}; gongwen hub init makes one")
            edge: dict[Tile, bytes] = {}
            for tile in edge_of_size(state.size):
                hashes = await read_tile(connection, ledger, tile)
                if len(hashes) != tile.width:
                    raise Broken(detail=f"{tile.path} is incomplete")
                edge[tile] = encode_tile(hashes)
            last = max(state.size - 256, 0)
            entries = await connection.execute(
                select(t.ledger_entry.c.leaf, t.ledger_entry.c.body).where(
                    t.ledger_entry.c.ledger == ledger, t.ledger_entry.c.idx >= last
                )
            )
            count = 0
            for entry in entries:
                count += 1
                if leaf_hash(entry.body) != entry.leaf:
                    raise Broken(detail="an entry does not hash to its leaf")
            if count != state.size - last:
                raise Broken(detail="entries stand beyond the ledger's size, or are missing")
        tree = MemoryTree.restore(state.size, edge)
        stored = Frontier(
            state.size,
            tuple(state.frontier[at : at + _HASH] for at in range(0, len(state.frontier), _HASH)),
        )
        if tree.root != state.root or stored.root != state.root:
            raise Broken(detail="the stored root is not that of the stored entries")
        self._tree, self._epoch = tree, state.epoch
        self._last_t = max(self._last_t, parse_time(state.at))
        self._streams.clear()
        self._revocation_known.clear()

    async def _recover(self) -> None:
        """Sign the boundaries that a crash left unsigned; refuse when the signer knows more than we do."""
        signed = await self._signer.last()
        if signed.size > self._tree.size:
            raise Broken(
                detail=f"the signer has signed {signed.size} entries and the database holds {self._tree.size}: "
                "it was rolled back or lost data"
            )
        async with self._database.read() as connection:
            rows = (
                await connection.execute(
                    select(t.ledger_checkpoint)
                    .where(
                        t.ledger_checkpoint.c.ledger == self._files.ledger,
                        t.ledger_checkpoint.c.note.is_(None),
                    )
                    .order_by(t.ledger_checkpoint.c.size)
                )
            ).all()
            for row in rows:
                last = (await self._signer.last()).size
                leaves = await connection.scalars(
                    select(t.ledger_entry.c.leaf)
                    .where(
                        t.ledger_entry.c.ledger == self._files.ledger,
                        t.ledger_entry.c.idx >= last,
                        t.ledger_entry.c.idx < row.size,
                    )
                    .order_by(t.ledger_entry.c.idx)
                )
                self._files.fresh_notes[row.size] = await self._signer.sign(
                    leaves=list(leaves), size=row.size, root=row.root
                )
        state = await self._signer.last()
        if state.size != self._tree.size or state.root != self._tree.root:
            raise Broken(detail="the signer and the database disagree about the ledger's head")


@dataclass(slots=True)
class _Plan:
    """A transaction being put together."""

    written: _Written
    epoch: int
    changes: list[tuple[_Waiting, Change]] = field(default_factory=list)
    done: list[_Waiting] = field(default_factory=list)
    streams: dict[str, tuple[str, int]] = field(default_factory=dict)
    revocation: set[Digest] = field(default_factory=set)
    noted: list[int] = field(default_factory=list)

    @property
    def head(self) -> tuple[int, bytes] | None:
        """The ledger's head that the transaction leads to; None when it adds no entry."""
        return (self.written.size, self.written.root) if self.written.entries else None


class _Guards:
    """What a change must find as it expects; earlier changes of the same batch count."""

    def __init__(self, connection: Connection, batch: list[_Waiting], now: datetime) -> None:
        changes = [waiting.work for waiting in batch if isinstance(waiting.work, Change)]
        self._now = now
        ids = [(c.dispatch.dispatch.sender, c.dispatch.dispatch.dispatch_id) for c in changes if c.dispatch]
        self._dispatches: dict[tuple[str, str], Digest] = {}
        if ids:
            rows = connection.execute(
                select(t.dispatch.c.sender, t.dispatch.c.dispatch_id, t.dispatch.c.digest).where(
                    tuple_(t.dispatch.c.sender, t.dispatch.c.dispatch_id).in_(ids)
                )
            )
            self._dispatches = {(row.sender, row.dispatch_id): Digest(row.digest) for row in rows}
        moved = [c.move.consignment.consignment_id for c in changes if c.move]
        self._consignments: dict[str, Consignment] = {}
        if moved:
            rows = connection.execute(select(t.consignment).where(t.consignment.c.consignment_id.in_(moved)))
            self._consignments = {row.consignment_id: consignment_of(row) for row in rows}
        rejected = [(r.sender, r.envelope_digest, r.signature_digest) for c in changes if (r := c.rejection)]
        self._rejections: set[tuple[str, str, str]] = set()
        if rejected:
            rows = connection.execute(
                select(
                    t.rejection.c.sender, t.rejection.c.envelope_digest, t.rejection.c.signature_digest
                ).where(
                    tuple_(
                        t.rejection.c.sender, t.rejection.c.envelope_digest, t.rejection.c.signature_digest
                    ).in_(rejected)
                )
            )
            self._rejections = {tuple(row) for row in rows}
        posted = [c.signed.posted for c in changes if c.signed.posted]
        self._posted: set[str] = set()
        self._evidence: set[str] = set()
        if posted:
            self._posted = set(
                connection.scalars(
                    select(t.evidence.c.posted_digest).where(t.evidence.c.posted_digest.in_(posted))
                )
            )
            # Actors choose the ids of their statements; ours are fresh.
            chosen = [c.signed.evidence.evidence_id for c in changes if c.signed.posted]
            self._evidence = set(
                connection.scalars(
                    select(t.evidence.c.evidence_id).where(t.evidence.c.evidence_id.in_(chosen))
                )
            )

    def check(self, work: Work) -> None:
        """Let the work through, and count it as done for those that come after it."""
        if not isinstance(work, Change):
            return
        self._check_first(work)
        evidence = work.signed.evidence
        self._check_time(work)
        if evidence.evidence_id in self._evidence:
            raise ActRefused(detail="evidence_id stands for another evidence")
        if work.move is not None:
            self._check_move(work, work.move)
        self._evidence.add(evidence.evidence_id)
        if work.dispatch is not None:
            key = (work.dispatch.dispatch.sender, work.dispatch.dispatch.dispatch_id)
            self._dispatches[key] = work.dispatch.digest
        if work.rejection is not None:
            refused = (work.rejection.sender, work.rejection.envelope_digest, work.rejection.signature_digest)
            self._rejections.add(refused)
        if work.signed.posted is not None:
            self._posted.add(work.signed.posted)

    def _check_first(self, work: Change) -> None:
        """The same bytes came before, or other bytes under the same id."""
        if work.dispatch is not None:
            new = work.dispatch
            known = self._dispatches.get((new.dispatch.sender, new.dispatch.dispatch_id))
            if known is not None:
                raise (
                    _Repeated
                    if known == new.digest
                    else DuplicateIdConflict(dispatch_id=new.dispatch.dispatch_id)
                )
        if work.rejection is not None:
            refused = (work.rejection.sender, work.rejection.envelope_digest, work.rejection.signature_digest)
            if refused in self._rejections:
                raise _Repeated
        if work.signed.posted is not None and work.signed.posted in self._posted:
            raise _Repeated

    def _check_time(self, work: Change) -> None:
        """The entry lies near what the evidence says, or its receipt would not be valid (``protocol.judge``).

        So it is when the hub's clock was set back, or when the work waited for very long.
        """
        stated = work.signed.evidence.event_time
        if abs(self._now - stated) <= TOLERANCE:
            return
        if work.signed.posted is not None:
            raise ActOverdue(
                claimed=format_time(stated),
                tolerance=int(TOLERANCE.total_seconds()),
                now=format_time(self._now),
            )
        raise Unavailable(
            detail=f"stated at {format_time(stated)}, and the ledger is at {format_time(self._now)}"
        )

    def _check_move(self, work: Change, move: Move) -> None:
        current = self._consignments[move.consignment.consignment_id]
        after = next_state(current.state, move.event, evidence_id=current.last_evidence)
        if current.last_evidence != move.consignment.last_evidence:
            raise WrongState(
                event=move.event.wire,
                current=current.state.value,
                allowed=allowed_events(current.state),
                evidence_id=current.last_evidence,
            )
        if move.by is not None and self._now > move.by:
            raise DeadlinePassed(event=move.event.wire, expires_at=format_time(move.by))
        if move.after is not None and self._now <= move.after:
            raise WrongState(
                event=move.event.wire,
                current=current.state.value,
                allowed=allowed_events(current.state),
                evidence_id=current.last_evidence,
            )
        self._consignments[current.consignment_id] = Consignment(
            consignment_id=current.consignment_id,
            sender=current.sender,
            dispatch_id=current.dispatch_id,
            recipient=current.recipient,
            role=current.role,
            state=after,
            last_evidence=work.signed.evidence.evidence_id,
            changed_index=current.changed_index,
            changed_at=self._now,
            expires_at=current.expires_at,
        )


class _RowLists:
    """Rows of one batch, table by table, to be written in bulk."""

    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []
        self.nodes: list[dict[str, object]] = []
        self.revocation: dict[Digest, bytes] = {}
        self._evidence: list[dict[str, object]] = []
        self._dispatches: list[dict[str, object]] = []
        self._documents: list[dict[str, object]] = []
        self._consignments: list[dict[str, object]] = []
        self._rejections: list[dict[str, object]] = []
        self._grants: list[dict[str, object]] = []
        self._moves: list[dict[str, object]] = []

    def add(self, change: Change, *, index: int, now: datetime, ledger: str, body: bytes) -> None:
        signed, evidence = change.signed, change.signed.evidence
        digests = {digest_of(data): data for data in signed.revocation}
        self.revocation.update(digests)
        self._evidence.append(
            {
                "evidence_id": evidence.evidence_id,
                "sender": evidence.sender,
                "dispatch_id": evidence.dispatch_id,
                "consignment_id": evidence.consignment_id,
                "recipient": evidence.recipient,
                "event": evidence.event.wire,
                "body": signed.body,
                "signature": signed.signature,
                "posted_digest": signed.posted,
                "salt": signed.salt,
                "entry_index": index,
                "revocation": ",".join(digests),
            }
        )
        if change.dispatch is not None:
            self._add_dispatch(change, evidence.evidence_id, index=index, now=now)
        if change.rejection is not None:
            self._rejections.append(
                {
                    "sender": change.rejection.sender,
                    "envelope_digest": change.rejection.envelope_digest,
                    "signature_digest": change.rejection.signature_digest,
                    "evidence_id": evidence.evidence_id,
                }
            )
        if change.move is not None:
            after = next_state(change.move.consignment.state, change.move.event)
            self._moves.append(
                {
                    "key": change.move.consignment.consignment_id,
                    "new_state": after.value,
                    "new_evidence": evidence.evidence_id,
                    "new_index": index,
                    "new_at": format_time(now),
                }
            )

    def _add_dispatch(self, change: Change, evidence_id: EvidenceId, *, index: int, now: datetime) -> None:
        new = change.dispatch
        if new is None:
            return
        dispatch = new.dispatch
        key = {"sender": dispatch.sender, "dispatch_id": dispatch.dispatch_id}
        self._dispatches.append(
            {
                **key,
                "digest": new.digest,
                "envelope": new.envelope,
                "signature": new.signature,
                # What E01 says, so that later evidence can repeat it to the millisecond.
                "accepted_at": format_time(change.signed.evidence.submitted_at),
                "evidence_id": evidence_id,
            }
        )
        for digest, size in {document.digest: document.size for document in dispatch.documents}.items():
            self._documents.append({**key, "digest": digest})
            # What it received from others and sends on is its own from now on: its recipients read it by
            # this grant, whatever becomes of the consignment by which it came.
            self._grants.append(
                {"unit": dispatch.sender, "digest": digest, "size": size, "granted_at": format_time(now)}
            )
        for one in new.consignments:
            self._consignments.append(
                {
                    **key,
                    "consignment_id": one.consignment_id,
                    "recipient": one.recipient,
                    "role": one.role,
                    "state": "ACCEPTED",
                    "last_evidence": evidence_id,
                    "changed_index": index,
                    "changed_at": format_time(now),
                    "expires_at": format_time(dispatch.expires_at),
                }
            )

    def write(self, connection: Connection, *, new_revocation: Iterable[Digest]) -> None:
        revocation = [{"digest": digest, "body": self.revocation[digest]} for digest in new_revocation]
        _insert_new(connection, t.revocation_data, revocation)
        _insert_new(connection, t.content_grant, self._grants)
        for table, rows in (
            (t.dispatch, self._dispatches),
            (t.dispatch_document, self._documents),
            (t.consignment, self._consignments),
            (t.rejection, self._rejections),
            (t.evidence, self._evidence),
            (t.ledger_entry, self.entries),
            (t.ledger_node, self.nodes),
        ):
            if rows:
                connection.execute(insert(table), rows)
        if self._moves:
            connection.execute(
                update(t.consignment)
                .where(t.consignment.c.consignment_id == bindparam("key"))
                .values(
                    state=bindparam("new_state"),
                    last_evidence=bindparam("new_evidence"),
                    changed_index=bindparam("new_index"),
                    changed_at=bindparam("new_at"),
                ),
                self._moves,
            )


def _forget(connection: Connection, one: Forget) -> None:
    named = exists().where(
        t.dispatch_document.c.sender == one.unit, t.dispatch_document.c.digest == one.digest
    )
    connection.execute(
        delete(t.content_grant).where(
            t.content_grant.c.unit == one.unit, t.content_grant.c.digest == one.digest, ~named
        )
    )


def party_of(evidence: Evidence) -> str:
    """Whose stream an evidence counts in: one per pair of sender and recipient, and one per sender for
    what concerns a dispatch as a whole. Both parties of a pair see every number of it."""
    return f"{evidence.sender}|{evidence.recipient or ''}"


def _insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows; those that are there already stay as they are."""
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def _replace(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    for row in rows:
        changed = {name: statement.excluded[name] for name in row if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), row)


def _fail(batch: Iterable[_Waiting], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
            # Nobody may be waiting any more; that is no reason for a warning.
            waiting.done.exception()


def _refuse(written: _Written) -> None:
    for waiting, refusal in written.refused:
        _fail([waiting], refusal)


def _answer(waiting: _Waiting, appended: Appended | None) -> None:
    if not waiting.done.done():
        waiting.done.set_result(appended)
