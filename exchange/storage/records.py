"""Reading what was committed, as the values of the journey. Ports ``Records``, ``Grants``, ``Directory``.

Rows become values by plain functions. Receipts are not stored: they are made anew
from the stored bytes of evidence, signature, salt, entry and checkpoint, and are
the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.journey.stages import Accepted, Acted, Consignment, KeptDispatch, NewConsignment, Pending
from exchange.protocol.dispatch import decode_dispatch
from exchange.protocol.events import EVENTS
from exchange.protocol.identifiers import (
    ConsignmentId,
    Digest,
    EvidenceId,
    format_time,
    parse_time,
)
from exchange.protocol.states import READABLE, TRANSITIONS, VISIBLE, Aggregate, State, aggregate
from exchange.storage import tables as t
from exchange.storage.database import Database
from exchange.storage.directory import HeldDirectory
from exchange.storage.ledger import LedgerFiles
from exchange.storage.views import Credential, DispatchRecord, EvidenceRecord, UnitRecord
from pki.names import UnitId

SqlRow = Row[*tuple[Any, ...]]
"""A row of whatever was selected; the functions below are the only readers of it."""


class SqlRecords:
    """All reading of the hub's database but the ledger's own files."""

    def __init__(self, database: Database, files: LedgerFiles) -> None:
        self._database = database
        self._files = files
        self.directory = HeldDirectory(database)

    async def schema(self) -> tuple[str | None, str | None]:
        """The revision of the database's schema, and the one this program needs."""
        return await self._database.revision()

    # -- submissions -----------------------------------------------------------------------------

    async def accepted(self, sender: UnitId, dispatch_id: str) -> tuple[Digest, Accepted] | None:
        async with self._database.read() as connection:
            row = await _dispatch_row(connection, sender, dispatch_id)
            if row is None:
                return None
            consignments = await connection.execute(
                select(t.consignment.c.consignment_id, t.consignment.c.recipient, t.consignment.c.role)
                .where(t.consignment.c.sender == sender, t.consignment.c.dispatch_id == dispatch_id)
                .order_by(t.consignment.c.role.desc(), t.consignment.c.consignment_id)
            )
            laid_out = tuple(
                NewConsignment(ConsignmentId(one[0]), UnitId(one[1]), one[2]) for one in consignments
            )
        receipt = await self._files.receipt(row.evidence_id)
        return Digest(row.digest), Accepted(
            dispatch_id=dispatch_id,
            evidence_id=EvidenceId(row.evidence_id),
            consignments=laid_out,
            receipt=receipt,
            repeated=True,
        )

    async def rejected(self, sender: UnitId, envelope: Digest, signature: Digest) -> bytes | None:
        async with self._database.read() as connection:
            evidence_id = await connection.scalar(
                select(t.rejection.c.evidence_id).where(
                    t.rejection.c.sender == sender,
                    t.rejection.c.envelope_digest == envelope,
                    t.rejection.c.signature_digest == signature,
                )
            )
        return None if evidence_id is None else await self._files.receipt(evidence_id)

    async def dispatch(self, sender: UnitId, dispatch_id: str) -> KeptDispatch | None:
        async with self._database.read() as connection:
            row = await _dispatch_row(connection, sender, dispatch_id)
        return None if row is None else _kept(row)

    async def envelope(self, sender: UnitId, dispatch_id: str) -> tuple[bytes, bytes] | None:
        """The signed envelope, exactly as it came: ``dispatch.json`` and ``dispatch.p7s``."""
        async with self._database.read() as connection:
            row = await _dispatch_row(connection, sender, dispatch_id)
        return None if row is None else (row.envelope, row.signature)

    # -- consignments ----------------------------------------------------------------------------

    async def consignment(self, consignment_id: ConsignmentId) -> Consignment | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(t.consignment).where(t.consignment.c.consignment_id == consignment_id)
                )
            ).one_or_none()
        return None if row is None else consignment_of(row)

    async def acted(self, posted: Digest, consignment_id: ConsignmentId) -> Acted | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(t.evidence.c.evidence_id, t.evidence.c.event).where(
                        t.evidence.c.consignment_id == consignment_id, t.evidence.c.posted_digest == posted
                    )
                )
            ).one_or_none()
        if row is None:
            return None
        # The state that the act led to then, not where the consignment stands now: the same
        # statement gets the same answer for ever. Every act leads to one state from wherever it may start.
        (state,) = set(TRANSITIONS[EVENTS[row.event]].values())
        receipt = await self._files.receipt(row.evidence_id)
        return Acted(EvidenceId(row.evidence_id), consignment_id, state, receipt, repeated=True)

    async def receipt(self, evidence_id: str) -> bytes | None:
        return await self._files.find_receipt(evidence_id)

    async def to_consign(self, limit: int) -> Sequence[Pending]:
        return await self._pending(t.consignment.c.state == State.ACCEPTED.value, limit)

    async def to_expire(self, now: datetime, limit: int) -> Sequence[Pending]:
        expirable = [state.value for state in TRANSITIONS[EVENTS["AcceptanceRejectionExpiry"]]]
        return await self._pending(
            and_(t.consignment.c.state.in_(expirable), t.consignment.c.expires_at < format_time(now)), limit
        )

    async def _pending(self, which: ColumnElement[bool], limit: int) -> list[Pending]:
        joined = t.consignment.join(
            t.dispatch,
            and_(
                t.dispatch.c.sender == t.consignment.c.sender,
                t.dispatch.c.dispatch_id == t.consignment.c.dispatch_id,
            ),
        )
        async with self._database.read() as connection:
            rows = (
                await connection.execute(
                    select(
                        t.consignment, t.dispatch.c.envelope, t.dispatch.c.digest, t.dispatch.c.accepted_at
                    )
                    .select_from(joined)
                    .where(which)
                    .order_by(t.consignment.c.consignment_id)
                    .limit(limit)
                )
            ).all()
        # Consignments of one dispatch share its value: it is decoded once.
        kept: dict[str, KeptDispatch] = {}
        for row in rows:
            if row.digest not in kept:
                kept[row.digest] = _kept(row)
        return [Pending(consignment_of(row), kept[row.digest]) for row in rows]

    # -- what the parties see --------------------------------------------------------------------

    async def inbox(self, unit: UnitId, *, after: int, state: State | None, limit: int) -> list[Consignment]:
        """Consignments of the recipient that changed after the cursor, oldest change first."""
        states = [state] if state in VISIBLE else [] if state else list(VISIBLE)
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(t.consignment)
                .where(
                    t.consignment.c.recipient == unit,
                    t.consignment.c.changed_index > after,
                    t.consignment.c.state.in_([one.value for one in states]),
                )
                .order_by(t.consignment.c.changed_index)
                .limit(limit)
            )
            return [consignment_of(row) for row in rows]

    async def outbox(
        self, unit: UnitId, *, before: str | None, state: Aggregate | None, limit: int
    ) -> tuple[list[DispatchRecord], str | None]:
        """Dispatches of the sender, newest first, and the cursor of the next page."""
        found: list[DispatchRecord] = []
        cursor = before
        while len(found) < limit:
            page = await self._outbox_page(unit, before=cursor, limit=limit)
            for record in page:
                if state is None or aggregate(one.state for one in record.consignments) is state:
                    found.append(record)
                    if len(found) == limit:
                        break
            if len(page) < limit:
                return found, None if len(found) < limit else found[-1].kept.dispatch.dispatch_id
            cursor = page[-1].kept.dispatch.dispatch_id
        return found, found[-1].kept.dispatch.dispatch_id

    async def _outbox_page(self, unit: UnitId, *, before: str | None, limit: int) -> list[DispatchRecord]:
        where = [t.dispatch.c.sender == unit]
        if before is not None:
            where.append(t.dispatch.c.dispatch_id < before)
        async with self._database.read() as connection:
            rows = (
                await connection.execute(
                    select(t.dispatch).where(*where).order_by(t.dispatch.c.dispatch_id.desc()).limit(limit)
                )
            ).all()
            consignments = await connection.execute(
                select(t.consignment)
                .where(
                    t.consignment.c.sender == unit,
                    t.consignment.c.dispatch_id.in_([row.dispatch_id for row in rows]),
                )
                .order_by(t.consignment.c.role.desc(), t.consignment.c.consignment_id)
            )
            by_dispatch: dict[str, list[Consignment]] = {row.dispatch_id: [] for row in rows}
            for row in consignments:
                by_dispatch[row.dispatch_id].append(consignment_of(row))
        return [
            DispatchRecord(_kept(row), row.evidence_id, tuple(by_dispatch[row.dispatch_id])) for row in rows
        ]

    async def dispatch_record(self, sender: UnitId, dispatch_id: str) -> DispatchRecord | None:
        """One dispatch with its consignments, for its sender."""
        async with self._database.read() as connection:
            row = await _dispatch_row(connection, sender, dispatch_id)
            if row is None:
                return None
            consignments = await connection.execute(
                select(t.consignment)
                .where(t.consignment.c.sender == sender, t.consignment.c.dispatch_id == dispatch_id)
                .order_by(t.consignment.c.role.desc(), t.consignment.c.consignment_id)
            )
            return DispatchRecord(
                _kept(row), row.evidence_id, tuple(consignment_of(one) for one in consignments)
            )

    async def evidence_of(
        self, sender: UnitId, dispatch_id: str, *, consignment_ids: Sequence[str] | None = None
    ) -> list[EvidenceRecord]:
        """Evidence of a dispatch in the ledger's order; of those consignments and of the dispatch itself only."""
        where = [t.evidence.c.sender == sender, t.evidence.c.dispatch_id == dispatch_id]
        # E02 for the same id (a conflict) is between the hub and the sender; it is no part of the dispatch.
        where.append(t.evidence.c.event != "SubmissionRejection")
        if consignment_ids is not None:
            where.append(
                or_(t.evidence.c.consignment_id.is_(None), t.evidence.c.consignment_id.in_(consignment_ids))
            )
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(
                    t.evidence.c.evidence_id,
                    t.evidence.c.consignment_id,
                    t.evidence.c.body,
                    t.ledger_entry.c.body.label("entry"),
                )
                .select_from(
                    t.evidence.join(
                        t.ledger_entry,
                        and_(
                            t.ledger_entry.c.ledger == self._files.ledger,
                            t.ledger_entry.c.idx == t.evidence.c.entry_index,
                        ),
                    )
                )
                .where(*where)
                .order_by(t.evidence.c.entry_index)
            )
            return [EvidenceRecord(row.evidence_id, row.consignment_id, row.body, row.entry) for row in rows]

    async def is_evidence_party(self, unit: UnitId, evidence_id: str) -> bool:
        """Whether the evidence may be read by the unit: sender and recipient, and both for E01 of their dispatch."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(
                        t.evidence.c.sender,
                        t.evidence.c.recipient,
                        t.evidence.c.dispatch_id,
                        t.evidence.c.event,
                    ).where(t.evidence.c.evidence_id == evidence_id)
                )
            ).one_or_none()
            if row is None:
                return False
            if row.sender == unit:
                return True
            if row.event == "SubmissionRejection":
                return False
            where = [
                t.consignment.c.sender == row.sender,
                t.consignment.c.dispatch_id == row.dispatch_id,
                t.consignment.c.recipient == unit,
                t.consignment.c.state.in_([state.value for state in VISIBLE]),
            ]
            if row.recipient not in (None, unit):
                return False
            found = await connection.scalar(select(func.count()).select_from(t.consignment).where(*where))
            return bool(found)

    # -- grants ----------------------------------------------------------------------------------

    async def granted(self, unit: UnitId, digests: Sequence[Digest]) -> Mapping[Digest, int]:
        async with self._database.read() as connection:
            rows = (
                await connection.execute(
                    select(t.content_grant.c.digest, t.content_grant.c.size).where(
                        t.content_grant.c.unit == unit, t.content_grant.c.digest.in_(digests)
                    )
                )
            ).all()
            sizes = {Digest(row.digest): int(row.size) for row in rows}
            rest = [digest for digest in digests if digest not in sizes]
            if rest:
                received = await connection.execute(
                    select(t.dispatch_document.c.digest, t.content_grant.c.size)
                    .select_from(
                        t.dispatch_document.join(
                            t.consignment,
                            and_(
                                t.consignment.c.sender == t.dispatch_document.c.sender,
                                t.consignment.c.dispatch_id == t.dispatch_document.c.dispatch_id,
                            ),
                        ).join(
                            t.content_grant,
                            and_(
                                t.content_grant.c.unit == t.dispatch_document.c.sender,
                                t.content_grant.c.digest == t.dispatch_document.c.digest,
                            ),
                        )
                    )
                    .where(
                        t.dispatch_document.c.digest.in_(rest),
                        t.consignment.c.recipient == unit,
                        t.consignment.c.state.in_([state.value for state in READABLE]),
                    )
                )
                sizes.update({Digest(row.digest): int(row.size) for row in received})
        return sizes

    async def is_granted(self, digest: Digest) -> bool:
        """Whether the content exists for any unit at all."""
        async with self._database.read() as connection:
            found = await connection.scalar(
                select(t.content_grant.c.unit).where(t.content_grant.c.digest == digest).limit(1)
            )
        return found is not None

    # -- directory -------------------------------------------------------------------------------

    async def can_receive(self, units: Sequence[UnitId]) -> frozenset[UnitId]:
        """Known, active, with a seal certificate that is not revoked."""
        return (await self.directory.view()).able & frozenset(units)

    async def units(self, query: str | None) -> list[UnitRecord]:
        """Units of the directory by code; with a query those whose name or code holds it."""
        statement = select(t.unit).order_by(t.unit.c.unit)
        if query:
            pattern = "%" + query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            statement = statement.where(
                or_(t.unit.c.name.like(pattern, escape="\\"), t.unit.c.unit.like(pattern, escape="\\"))
            )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.limit(1000))).all()
        able = await self.can_receive([UnitId(row.unit) for row in rows])
        return [UnitRecord(UnitId(row.unit), row.name, row.active, UnitId(row.unit) in able) for row in rows]

    async def credential(self, fingerprint: Digest) -> Credential | None:
        """Whose certificate it is, by its fingerprint."""
        return (await self.directory.view()).credentials.get(fingerprint)


async def _dispatch_row(connection: AsyncConnection, sender: UnitId, dispatch_id: str) -> SqlRow | None:
    found = await connection.execute(
        select(t.dispatch).where(t.dispatch.c.sender == sender, t.dispatch.c.dispatch_id == dispatch_id)
    )
    return found.one_or_none()


def consignment_of(row: SqlRow) -> Consignment:
    """A row of ``consignment`` as a value."""
    return Consignment(
        consignment_id=ConsignmentId(row.consignment_id),
        sender=UnitId(row.sender),
        dispatch_id=row.dispatch_id,
        recipient=UnitId(row.recipient),
        role=row.role,
        state=State(row.state),
        last_evidence=EvidenceId(row.last_evidence),
        changed_index=row.changed_index,
        changed_at=parse_time(row.changed_at),
        expires_at=parse_time(row.expires_at),
    )


def _kept(row: SqlRow) -> KeptDispatch:
    return KeptDispatch(decode_dispatch(row.envelope), Digest(row.digest), parse_time(row.accepted_at))
