"""``/v1/dispatches``: submitting, and what the sender sees of it afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from pydantic import Field

from exchange.journey.append import append, append_rejection
from exchange.journey.receive import receive
from exchange.journey.stages import Accepted, Received
from exchange.journey.store import store
from exchange.journey.verify import verify
from exchange.protocol import i18n
from exchange.protocol.api import (
    Base64,
    ConsignmentRef,
    OutboxPage,
    Request,
    SubmissionAnswer,
)
from exchange.protocol.dispatch import decode_dispatch
from exchange.protocol.errors import (
    Classified,
    ContentMissing,
    DuplicateIdConflict,
    EnvelopeMalformed,
    NotFound,
    Rejected,
)
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.identifiers import Digest, digest_of, is_uuid7
from exchange.protocol.receipt import decode_receipt
from exchange.protocol.states import Aggregate
from exchange.web.packages import package_response
from exchange.web.problems import HttpFault, problem_response
from exchange.web.reading import Submission, malformed, path_id, read_model, read_query, read_submission
from exchange.web.services import SERVICES, SESSION, Services
from exchange.web.shaping import answer, dispatch_view
from pki.errors import Mender
from pki.names import UnitId
from pki.text import text


class SubmissionRequest(Request):
    """A signed envelope whose contents were uploaded before."""

    envelope: Base64 = Field(description="dispatch.json")
    signature: Base64 = Field(description="dispatch.p7s, DER")


class OutboxQuery(Request):
    """Which dispatches are wanted."""

    state: Aggregate | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=36)


class RefusedBefore(HttpFault):
    """The same bytes were refused before; the first refusal stands, with its code and its receipt."""

    @classmethod
    def of(cls, receipt: bytes) -> RefusedBefore:
        """Read from the evidence what the first answer said."""
        reason = decode_evidence(decode_receipt(receipt).evidence).reasons[0]
        status = 409 if reason.code == DuplicateIdConflict.code else 422
        return cls(status, reason.code, text("{detail}", detail=reason.text), mender=Mender.SENDER)


async def post_dispatch(request: web.Request) -> web.StreamResponse:
    """Submit a dispatch: the journey from ``receive`` to ``append``."""
    services, unit = request.app[SERVICES], request[SESSION].unit
    submission = await _read(request, services)
    now = services.clock()
    received = receive(unit, submission.envelope, submission.signature, now=now)
    first = await _first_answer(received, services)
    if first is not None:
        return _accepted(first)
    refused = await services.records.rejected(unit, received.digest, received.signature_digest)
    if refused is not None:
        return problem_response(request, RefusedBefore.of(refused), receipt=refused)
    brought = await _keep_contents(submission, unit, services)
    named = _named(received)
    try:
        async with services.keeper.using(named):
            verified = await verify(received, intake=services.intake)
            accepted = await append(
                store(verified, random=services.random), ledger=services.ledger, notary=services.notary
            )
    except ContentMissing:
        # Not a refusal: the submission is not complete yet. Upload, then repeat the same bytes.
        raise
    except Rejected as error:
        response = await _refuse(request, received, error, services)
        # What came with a refused submission goes with it; what is classified goes however it came
        # (DESIGN §2.8). Contents that were uploaded for themselves may serve a better envelope.
        await services.keeper.forget(unit, named if isinstance(error, Classified) else brought)
        return response
    services.metrics.submissions.labels("accepted").inc()
    services.wake_courier()
    return _accepted(accepted)


async def get_dispatches(request: web.Request) -> web.StreamResponse:
    """The sender's dispatches, newest first."""
    services = request.app[SERVICES]
    query = read_query(request, OutboxQuery)
    if query.cursor is not None and not is_uuid7(query.cursor):
        raise malformed("the cursor is not one that was given")
    found, cursor = await services.records.outbox(
        request[SESSION].unit, before=query.cursor, state=query.state, limit=query.limit
    )
    now = services.clock()
    views = [await dispatch_view(services.records, record, now=now) for record in found]
    return answer(OutboxPage(items=tuple(views), next=cursor))


async def get_dispatch(request: web.Request) -> web.StreamResponse:
    """One dispatch with the state of each consignment."""
    services = request.app[SERVICES]
    dispatch_id = path_id(request, "dispatch_id", "dispatch")
    record = await services.records.dispatch_record(request[SESSION].unit, dispatch_id)
    if record is None:
        raise NotFound(what="dispatch")
    return answer(await dispatch_view(services.records, record, now=services.clock()))


async def get_dispatch_package(request: web.Request) -> web.StreamResponse:
    """The dispatch with its documents and all evidence so far, in one container."""
    dispatch_id = path_id(request, "dispatch_id", "dispatch")
    return await package_response(request, request[SESSION].unit, dispatch_id, consignment=None)


async def _read(request: web.Request, services: Services) -> Submission:
    if request.content_type == "multipart/form-data":
        return await read_submission(request, limit=services.limits.max_small_bytes)
    body = await read_model(request, SubmissionRequest)
    return Submission(body.envelope, body.signature, ())


async def _first_answer(received: Received, services: Services) -> Accepted | None:
    """What the same bytes got before, if they came before."""
    try:
        dispatch = decode_dispatch(received.envelope)
    except EnvelopeMalformed:
        return None
    found = await services.records.accepted(received.unit, dispatch.dispatch_id)
    if found is not None and found[0] == received.digest and dispatch.sender == received.unit:
        return found[1]
    return None


async def _refuse(
    request: web.Request, received: Received, error: Rejected, services: Services
) -> web.Response:
    """E02, once for the same bytes; the receipt travels in the problem document."""
    sentence = i18n.sayer(services.language)(error.text)
    receipt = await append_rejection(
        received, error, sentence=sentence, ledger=services.ledger, notary=services.notary
    )
    services.metrics.submissions.labels(error.code).inc()
    return problem_response(request, error, receipt=receipt)


async def _keep_contents(submission: Submission, unit: UnitId, services: Services) -> list[Digest]:
    """Store the contents that came along; the digests of those that were not here before."""
    brought = []
    for content in submission.contents:
        digest = digest_of(content)
        if digest not in await services.records.granted(unit, [digest]):
            await services.keeper.take(unit, digest, _once(content), offset=0, total=len(content))
            brought.append(digest)
    return brought


def _named(received: Received) -> list[Digest]:
    try:
        return [document.digest for document in decode_dispatch(received.envelope).documents]
    except EnvelopeMalformed:
        return []


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _accepted(accepted: Accepted) -> web.Response:
    body = SubmissionAnswer(
        dispatch_id=accepted.dispatch_id,
        evidence_id=accepted.evidence_id,
        consignments=tuple(
            ConsignmentRef(consignment_id=one.consignment_id, recipient=one.recipient, role=one.role)
            for one in accepted.consignments
        ),
        receipt=accepted.receipt,
    )
    return answer(
        body,
        status=200 if accepted.repeated else 201,
        headers={"Location": f"/v1/dispatches/{accepted.dispatch_id}"},
    )
