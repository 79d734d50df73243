"""``/v1/inbox``, ``/v1/consignments``, ``/v1/receipts``: the recipient's side, and the acts of both."""

from __future__ import annotations

import time

from aiohttp import web
from pydantic import Field

from exchange.journey.acknowledge import Statement, acknowledge, is_party, refuse_recall
from exchange.journey.stages import Consignment, KeptDispatch
from exchange.protocol.api import ActAnswer, ActRequest, EnvelopeView, InboxPage, Request
from exchange.protocol.errors import NotFound, WrongState
from exchange.protocol.events import Event
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.receipt import MEDIA_TYPE, SUFFIX
from exchange.protocol.states import READABLE, TRANSITIONS, State
from exchange.web.packages import package_response
from exchange.web.problems import problem_response
from exchange.web.reading import path_consignment, path_id, read_model, read_query
from exchange.web.services import SERVICES, SESSION, Services
from exchange.web.shaping import answer, attachment, consignment_view
from pki.names import UnitId


class InboxQuery(Request):
    """Which consignments are wanted, and how long to wait for news."""

    after: int = Field(default=-1, ge=-1, le=(1 << 53) - 1, description="cursor of the last page")
    wait: float = Field(default=0, ge=0, le=30, description="seconds to wait when there is nothing yet")
    state: State | None = None
    limit: int = Field(default=50, ge=1, le=200)


async def get_inbox(request: web.Request) -> web.StreamResponse:
    """Consignments that changed after the cursor; waits for news when asked to."""
    services, unit = request.app[SERVICES], request[SESSION].unit
    query = read_query(request, InboxQuery)
    until = time.monotonic() + query.wait
    with services.bell.listen(unit) as listener:
        while True:
            found = await services.records.inbox(
                unit, after=query.after, state=query.state, limit=query.limit
            )
            left = until - time.monotonic()
            if found or left <= 0 or not await listener.wait(left):
                break
    now = services.clock()
    items = []
    for consignment in found:
        kept = await _kept(services, consignment)
        items.append(await consignment_view(services.records, consignment, kept, now=now))
    cursor = found[-1].changed_index if found else query.after
    return answer(InboxPage(items=tuple(items), cursor=cursor))


async def get_consignment(request: web.Request) -> web.StreamResponse:
    """One consignment, for its recipient or its sender."""
    services = request.app[SERVICES]
    consignment = await _find(request, services)
    kept = await _kept(services, consignment)
    return answer(await consignment_view(services.records, consignment, kept, now=services.clock()))


async def get_envelope(request: web.Request) -> web.StreamResponse:
    """The sender's signed envelope, exactly as it came."""
    services = request.app[SERVICES]
    consignment = await _find(request, services)
    found = await services.records.envelope(consignment.sender, consignment.dispatch_id)
    if found is None or not _may_read(request[SESSION].unit, consignment):
        raise NotFound(what="envelope")
    return answer(EnvelopeView(envelope=found[0], signature=found[1]))


async def get_consignment_package(request: web.Request) -> web.StreamResponse:
    """The dispatch with its documents and the evidence of this consignment, in one container."""
    consignment = await _find(request, request.app[SERVICES])
    if not _may_read(request[SESSION].unit, consignment):
        raise NotFound(what="package")
    return await package_response(
        request, consignment.sender, consignment.dispatch_id, consignment=consignment.consignment_id
    )


async def post_act(request: web.Request) -> web.StreamResponse:
    """Hand-over, 签收, 退文 or 撤回: a statement that the unit has signed."""
    services, unit = request.app[SERVICES], request[SESSION].unit
    consignment_id = path_consignment(request)
    body = await read_model(request, ActRequest)
    try:
        acted = await acknowledge(
            unit,
            consignment_id,
            Statement(body.evidence, body.signature),
            records=services.records,
            ledger=services.ledger,
            notary=services.notary,
            trust=services.trust,
            now=services.clock(),
        )
    except WrongState as error:
        return problem_response(request, error, receipt=await _winner(request, error, services))
    services.metrics.acts.labels(acted.state.value).inc()
    return answer(
        ActAnswer(
            evidence_id=acted.evidence_id,
            consignment_id=acted.consignment_id,
            state=acted.state.value,
            receipt=acted.receipt,
        ),
        status=200 if acted.repeated else 201,
        headers={"Location": f"/v1/receipts/{acted.evidence_id}"},
    )


async def get_receipt(request: web.Request) -> web.StreamResponse:
    """The receipt of an evidence, for the parties of its dispatch; the same bytes every time."""
    services = request.app[SERVICES]
    evidence_id = path_id(request, "evidence_id", "receipt")
    if not await services.records.is_evidence_party(request[SESSION].unit, evidence_id):
        raise NotFound(what="receipt")
    receipt = await services.records.receipt(evidence_id)
    if receipt is None:
        raise NotFound(what="receipt")
    return attachment(receipt, name=evidence_id + SUFFIX, media_type=MEDIA_TYPE)


async def _winner(request: web.Request, error: WrongState, services: Services) -> bytes | None:
    """The receipt that tells the loser why: the evidence that came first, or E14 for a late recall."""
    consignment = await _find(request, services)
    late = TRANSITIONS[Event.RECALL_REFUSED]
    if error.text.fields[0][1] == Event.RECALL.wire and consignment.state in late:
        refused = await _refused_before(services, consignment)
        if refused is not None:
            return refused
        try:
            return await refuse_recall(
                consignment,
                records=services.records,
                ledger=services.ledger,
                notary=services.notary,
                now=services.clock(),
            )
        except WrongState:
            consignment = await _find(request, services)
    return await services.records.receipt(consignment.last_evidence)


async def _refused_before(services: Services, consignment: Consignment) -> bytes | None:
    """The receipt of E14 where there is one: one is enough, however often the sender asks."""
    evidence = await services.records.evidence_of(
        consignment.sender, consignment.dispatch_id, consignment_ids=[consignment.consignment_id]
    )
    for one in evidence:
        if decode_evidence(one.body).event is Event.RECALL_REFUSED:
            return await services.records.receipt(one.evidence_id)
    return None


async def _find(request: web.Request, services: Services) -> Consignment:
    """The consignment in the path, where it exists for the asking unit."""
    consignment = await services.records.consignment(path_consignment(request))
    if consignment is None or not is_party(request[SESSION].unit, consignment):
        raise NotFound(what="consignment")
    return consignment


async def _kept(services: Services, consignment: Consignment) -> KeptDispatch:
    kept = await services.records.dispatch(consignment.sender, consignment.dispatch_id)
    if kept is None:
        raise NotFound(what="consignment")
    return kept


def _may_read(unit: UnitId, consignment: Consignment) -> bool:
    return unit == consignment.sender or consignment.state in READABLE
