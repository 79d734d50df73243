"""Shaping answers: records of the database as the models of ``protocol.api``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aiohttp import web
from pydantic import BaseModel

from exchange.journey.stages import Consignment, KeptDispatch
from exchange.protocol.api import ConsignmentView, DispatchView, DocumentView, EvidenceRef
from exchange.protocol.dispatch import Dispatch
from exchange.protocol.entry import decode_entry
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.states import OPEN, aggregate, allowed_events
from exchange.storage.records import SqlRecords
from exchange.storage.views import DispatchRecord, EvidenceRecord


def answer(model: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status,
        body=model.model_dump_json(exclude_none=True).encode(),
        content_type="application/json",
        headers=headers,
    )


def attachment(body: bytes, *, name: str, media_type: str) -> web.Response:
    """Bytes to be saved, never to be shown by a browser."""
    return web.Response(body=body, content_type=media_type, headers=attachment_headers(name))


def attachment_headers(name: str) -> dict[str, str]:
    """Headers under which no browser will run what is sent."""
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }


async def consignment_view(
    records: SqlRecords, consignment: Consignment, kept: KeptDispatch, *, now: datetime
) -> ConsignmentView:
    """A consignment with its documents and evidence, as either party sees it."""
    evidence = await records.evidence_of(
        consignment.sender, consignment.dispatch_id, consignment_ids=[consignment.consignment_id]
    )
    return _consignment_view(consignment, kept, evidence, now=now)


async def dispatch_view(records: SqlRecords, record: DispatchRecord, *, now: datetime) -> DispatchView:
    """A dispatch as its sender sees it."""
    dispatch = record.kept.dispatch
    evidence = await records.evidence_of(dispatch.sender, dispatch.dispatch_id)
    return DispatchView(
        dispatch_id=dispatch.dispatch_id,
        dispatch=record.kept.digest,
        state=aggregate(one.state for one in record.consignments).value,
        title=dispatch.metadata.title,
        issued_number=dispatch.metadata.issued_number,
        urgency=dispatch.metadata.urgency,
        submitted_at=record.kept.accepted_at,
        due_at=dispatch.due_at,
        expires_at=dispatch.expires_at,
        documents=_documents(dispatch),
        consignments=tuple(
            _consignment_view(
                one,
                record.kept,
                [e for e in evidence if e.consignment_id in (None, one.consignment_id)],
                now=now,
            )
            for one in record.consignments
        ),
        evidence=tuple(_evidence_ref(one) for one in evidence if one.consignment_id is None),
    )


def _consignment_view(
    consignment: Consignment, kept: KeptDispatch, evidence: Sequence[EvidenceRecord], *, now: datetime
) -> ConsignmentView:
    dispatch = kept.dispatch
    return ConsignmentView(
        consignment_id=consignment.consignment_id,
        dispatch_id=dispatch.dispatch_id,
        dispatch=kept.digest,
        sender=consignment.sender,
        recipient=consignment.recipient,
        role=consignment.role,
        state=consignment.state.value,
        overdue=consignment.state in OPEN and now > dispatch.due_at,
        title=dispatch.metadata.title,
        issued_number=dispatch.metadata.issued_number,
        urgency=dispatch.metadata.urgency,
        submitted_at=kept.accepted_at,
        due_at=dispatch.due_at,
        expires_at=dispatch.expires_at,
        changed_at=consignment.changed_at,
        documents=_documents(dispatch),
        evidence=tuple(_evidence_ref(one) for one in evidence),
        last_evidence=consignment.last_evidence,
        allowed=allowed_events(consignment.state),
        cursor=consignment.changed_index,
    )


def _documents(dispatch: Dispatch) -> tuple[DocumentView, ...]:
    return tuple(
        DocumentView(
            role="contents" if document is dispatch.contents else "attachment",
            name=document.name,
            media_type=document.media_type,
            size=document.size,
            digest=document.digest,
        )
        for document in dispatch.documents
    )


def _evidence_ref(record: EvidenceRecord) -> EvidenceRef:
    evidence = decode_evidence(record.body)
    return EvidenceRef(
        evidence_id=evidence.evidence_id,
        event=evidence.event.wire,
        event_time=evidence.event_time,
        recorded_at=decode_entry(record.entry).t,
        actor=evidence.actor.unit,
    )
