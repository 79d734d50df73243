"""What a unit asks of its hub, each as one operation (sans-I/O, see ``wire``).

Reading operations return the hub's answer. Those that change something return only
after the receipt was verified and kept. What is signed is kept before it is sent, so
every one of them may be repeated after a crash: the same bytes go out again.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from clients.errors import (
    AnswerMalformed,
    ApiError,
    Conflict,
    ContentMissing,
    NotFound,
    OptionUnfit,
    ValidationFailed,
    WrongState,
    problem_error,
)
from clients.files import digest_file
from clients.home import PendingAct, PendingDispatch
from clients.receipts import CheckedReceipt, of_consignment, of_dispatch, of_evidence, of_statement
from clients.session import Session
from clients.upload import upload
from clients.wire import Operation, Progress, Request, Response, call, problem_of, work
from exchange.protocol.api import (
    ActAnswer,
    ActRequest,
    Answer,
    ConsignmentView,
    DirectoryPage,
    DispatchView,
    EnvelopeView,
    InboxPage,
    OutboxPage,
    SubmissionAnswer,
    Whoami,
)
from exchange.protocol.dispatch import Dispatch, Document, Metadata, encode_dispatch
from exchange.protocol.events import REASONS, Event
from exchange.protocol.evidence import Actor, Evidence, Reason, encode_evidence
from exchange.protocol.identifiers import (
    ConsignmentId,
    Digest,
    DispatchId,
    EvidenceId,
    to_milliseconds,
)
from exchange.protocol.states import State
from pki.names import UnitId, parse_unit_id

A = TypeVar("A", bound=Answer)

RECEIPT_TYPE = "application/vnd.etsi.asic-s+zip"
LONGEST_WAIT = 30
"""Seconds of one long poll."""

_FINAL = (NotFound, Conflict, ValidationFailed)
"""Refusals of a statement that its repetition would only meet again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A dispatch that the hub has taken: its answer, and the verified receipt of E01."""

    answer: SubmissionAnswer
    receipt: CheckedReceipt

    @property
    def dispatch_id(self) -> str:
        """The dispatch."""
        return self.answer.dispatch_id


@dataclass(frozen=True, slots=True)
class Acted:
    """An act that the hub has recorded: its answer, and the verified receipt."""

    answer: ActAnswer
    receipt: CheckedReceipt


@dataclass(frozen=True, slots=True)
class RecallOutcome:
    """What became of the recall of one consignment."""

    consignment_id: str
    recipient: str
    state: str
    done: Acted | None
    refused: WrongState | None


# --- reading


def ask(
    session: Session, kind: type[A], path: str, *query: tuple[str, str | int | None], wait: float = 0.0
) -> Operation[A]:
    """GET an answer of the interface."""
    given = tuple((name, str(value)) for name, value in query if value is not None)
    response = yield from call(
        Request("GET", path, given, wait=wait), retries=session.retries, jitter=session.jitter
    )
    return parse(kind, response)


def parse(kind: type[A], response: Response) -> A:
    """The answer as its model; unknown fields are kept.

    Raises:
        AnswerMalformed: it is not one.
    """
    try:
        return kind.model_validate_json(response.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise AnswerMalformed(detail=f"{kind.__name__} {place}: {first['msg']}") from None


def whoami(session: Session) -> Operation[Whoami]:
    """Who the hub takes us for."""
    return (yield from ask(session, Whoami, "/v1/whoami"))


def directory(session: Session, q: str | None = None) -> Operation[DirectoryPage]:
    """Units that the hub knows."""
    return (yield from ask(session, DirectoryPage, "/v1/directory", ("q", q)))


def inbox(
    session: Session,
    *,
    after: int = 0,
    wait: int = 0,
    state: str | None = None,
    limit: int | None = None,
) -> Operation[InboxPage]:
    """Consignments for us that changed after a cursor; with ``wait`` the hub holds the answer so long."""
    seconds = min(wait, LONGEST_WAIT)
    query = (("after", after), ("wait", seconds or None), ("state", state), ("limit", limit))
    return (yield from ask(session, InboxPage, "/v1/inbox", *query, wait=seconds))


def whole_inbox(session: Session, *, state: str | None = None) -> Operation[tuple[ConsignmentView, ...]]:
    """Every consignment for us, oldest change first, each once as it stands now."""
    found: dict[str, ConsignmentView] = {}
    cursor = 0
    while True:
        page = yield from inbox(session, after=cursor, state=state)
        for view in page.items:
            found.pop(view.consignment_id, None)
            found[view.consignment_id] = view
        if not page.items or page.cursor <= cursor:
            return tuple(found.values())
        cursor = page.cursor


def outbox(
    session: Session, *, state: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[OutboxPage]:
    """Our dispatches, newest first."""
    query = (("state", state), ("limit", limit), ("cursor", cursor))
    return (yield from ask(session, OutboxPage, "/v1/dispatches", *query))


def whole_outbox(session: Session, *, state: str | None = None) -> Operation[tuple[DispatchView, ...]]:
    """All our dispatches, newest first."""
    found: list[DispatchView] = []
    cursor: str | None = None
    while True:
        page = yield from outbox(session, state=state, cursor=cursor)
        found += page.items
        if page.next is None or page.next == cursor:
            return tuple(found)
        cursor = page.next


def dispatch(session: Session, dispatch_id: str) -> Operation[DispatchView]:
    """One of our dispatches, with where each consignment stands."""
    return (yield from ask(session, DispatchView, f"/v1/dispatches/{dispatch_id}"))


def consignment(session: Session, consignment_id: str) -> Operation[ConsignmentView]:
    """One consignment that we sent or received."""
    return (yield from ask(session, ConsignmentView, f"/v1/consignments/{consignment_id}"))


def envelope(session: Session, consignment_id: str) -> Operation[EnvelopeView]:
    """The sender's signed envelope, as received; nothing about it is checked here."""
    return (yield from ask(session, EnvelopeView, f"/v1/consignments/{consignment_id}/envelope"))


def receipt(session: Session, evidence_id: str) -> Operation[CheckedReceipt]:
    """The receipt of an evidence of ours, verified and kept."""
    response = yield from call(
        Request("GET", f"/v1/receipts/{evidence_id}", headers=(("Accept", RECEIPT_TYPE),)),
        retries=session.retries,
        jitter=session.jitter,
    )
    return session.check(response.body, name=evidence_id, expected=of_evidence(evidence_id))


# --- sending


def prepare(
    session: Session,
    documents: Sequence[Path],
    *,
    to: Sequence[str],
    copy: Sequence[str] = (),
    metadata: Metadata,
    due_at: datetime,
    expires_at: datetime,
) -> Operation[PendingDispatch]:
    """A signed envelope for these documents, kept under ``outgoing``; nothing is sent yet.

    The first document is the main one. If a kept envelope without a receipt says the
    same of the same documents, that one is given instead of a second: the
    command was run again after a crash.

    Raises:
        EnvelopeMalformed: the envelope would not be one (names, deadlines, number, recipients).
        NameMalformed: a recipient is not a unit code.
        OptionUnfit: no document, or one that cannot be read.
    """
    if not documents:
        raise OptionUnfit(option="documents", detail="at least one is needed")
    described = yield from work(lambda: [_describe(path) for path in documents])
    main = tuple(parse_unit_id(unit) for unit in to)
    others = tuple(parse_unit_id(unit) for unit in copy)
    for kept in session.home.pending_dispatches():
        if _says_the_same(kept.dispatch, described, main, others, metadata):
            return kept
    now = session.instant()
    home = session.home
    dispatch_ = Dispatch(
        dispatch_id=DispatchId(session.new_id(now)),
        sender=home.unit,
        origin=home.config.origin,
        main=main,
        copy=others,
        contents=described[0],
        attachments=tuple(described[1:]),
        metadata=metadata,
        sent_at=now,
        due_at=to_milliseconds(due_at),
        expires_at=to_milliseconds(expires_at),
    )
    data = encode_dispatch(dispatch_)
    sources = {one.digest: path.resolve() for one, path in zip(described, documents, strict=True)}
    pending = PendingDispatch(data, home.seal.sign(data, at=now), sources, dispatch_)
    home.keep_dispatch(pending)
    return pending


def _describe(path: Path) -> Document:
    try:
        size = path.stat().st_size
        digest = digest_file(path)
    except OSError as error:
        raise OptionUnfit(option=str(path), detail=error.strerror or "cannot be read") from None
    if not size:
        raise OptionUnfit(option=str(path), detail="the file is empty")
    return Document(digest=digest, media_type=media_type(path.name), name=path.name, size=size)


def media_type(name: str) -> str:
    """The media type that a file name suggests; only a hint to people, never trusted."""
    suffix = Path(name).suffix.lower()
    if suffix == ".ofd":
        return "application/ofd"
    return mimetypes.guess_type(name, strict=True)[0] or "application/octet-stream"


def _says_the_same(
    kept: Dispatch,
    documents: Sequence[Document],
    main: tuple[UnitId, ...],
    copy: tuple[UnitId, ...],
    metadata: Metadata,
) -> bool:
    return (
        kept.documents == tuple(documents)
        and kept.main == main
        and kept.copy == copy
        and kept.metadata == metadata
    )


def submit(
    session: Session, pending: PendingDispatch, *, progress: Progress | None = None
) -> Operation[Sent]:
    """Send a kept envelope and its documents; return once the verified receipt is kept.

    Small dispatches go whole in one request, others upload their contents first.
    The same envelope may be submitted again and again: there is one receipt.

    Raises:
        SubmissionRejected: refused for good; the signed refusal was verified and kept.
        ReceiptUntrusted: the hub's receipt does not verify; the envelope stays in ``outgoing``.
        TransportError, ServerError, RateLimited: not known; the envelope stays in ``outgoing``.
        ApiError: any other refusal.
    """
    documents = {one.digest: one for one in pending.dispatch.documents}
    whole = sum(one.size for one in documents.values()) <= session.home.config.max_small_bytes
    whole = whole and all(path.is_file() for path in pending.sources.values())
    if not whole:
        yield from _upload_all(session, pending, documents, progress)
    request = yield from work(lambda: _submission(session, pending, with_contents=whole))
    try:
        response = yield from _submit_once(session, request)
    except ContentMissing as missing:
        # Uploads expire, and another unit's copy does not exist for us: bring them and repeat.
        wanted = {key: one for key, one in documents.items() if key in missing.digests}
        yield from _upload_all(session, pending, wanted, progress)
        request = yield from work(lambda: _submission(session, pending, with_contents=False))
        response = yield from _submit_once(session, request)
    if response.status >= 400:
        raise _refusal(session, pending, response)
    answer = parse(SubmissionAnswer, response)
    expected = of_dispatch(
        Event.SUBMISSION_ACCEPTANCE, dispatch=pending.digest, dispatch_id=pending.dispatch.dispatch_id
    )
    checked = session.check(answer.receipt, name=answer.evidence_id, expected=expected)
    session.home.settle_dispatch(pending, accepted=True)
    return Sent(answer, checked)


def _submit_once(session: Session, request: Request) -> Operation[Response]:
    """The answer to a submission: taken, or refused with a receipt."""
    response = yield from call(
        request,
        retries=session.retries,
        jitter=session.jitter,
        accept=frozenset({200, 201, 400, 409, 413, 422}),
    )
    if response.status == 409 and problem_of(response).code == "content-missing":
        raise problem_error(409, problem_of(response))
    return response


def _refusal(session: Session, pending: PendingDispatch, response: Response) -> ApiError:
    """The error of a refused submission; its receipt is verified first, if it has one."""
    problem = problem_of(response)
    if problem.receipt is not None:
        # A refusal without proof could be anybody's; it says nothing about this envelope.
        expected = of_dispatch(Event.SUBMISSION_REJECTION, dispatch=pending.digest, dispatch_id=None)
        session.check(problem.receipt, name=problem.code, expected=expected)
    error = problem_error(response.status, problem, receipt=problem.receipt)
    session.home.settle_dispatch(pending, accepted=False)
    return error


def _upload_all(
    session: Session,
    pending: PendingDispatch,
    documents: dict[Digest, Document],
    progress: Progress | None,
) -> Operation[None]:
    for digest, one in documents.items():
        path = pending.sources.get(digest)
        if path is None or not path.is_file():
            raise OptionUnfit(option=one.name, detail="the file that was signed for is no longer there")
        yield from upload(session, path, digest=digest, size=one.size, progress=progress)


def _submission(session: Session, pending: PendingDispatch, *, with_contents: bool) -> Request:
    """The multipart request (RFC 7578); the boundary is random, so no content can hold it on purpose."""
    boundary = session.entropy(24).hex()
    parts = [("envelope", "application/json", pending.envelope)]
    parts.append(("signature", "application/pkcs7-signature", pending.signature))
    if with_contents:
        for digest in dict.fromkeys(one.digest for one in pending.dispatch.documents):
            parts.append(("content", "application/octet-stream", pending.sources[digest].read_bytes()))
    chunks = []
    for name, kind, data in parts:
        head = f'Content-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        chunks += [f"--{boundary}\r\n{head}".encode(), data, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode())
    return Request(
        "POST",
        "/v1/dispatches",
        headers=(("Content-Type", f"multipart/form-data; boundary={boundary}"),),
        body=b"".join(chunks),
    )


# --- acting


def act(
    session: Session, view: ConsignmentView, event: Event, *, reasons: Sequence[Reason] = ()
) -> Operation[Acted]:
    """State, signed, that something was done with a consignment; return with the verified receipt.

    A statement that was signed before and has no receipt yet is sent again as it
    is; only when the hub finds its time too old is a new one made.

    Raises:
        WrongState: the consignment does not allow it; a receipt in it was verified and kept.
        ReceiptUntrusted: the hub's receipt does not verify; the statement stays in ``outgoing``.
        ApiError, TransportError: as :func:`~clients.wire.call` has it.
    """
    kept = session.home.pending_act(view.consignment_id, event)
    # With other reasons it is another statement. Should the old one have arrived after
    # all, the hub says so (wrong-state) and shows its receipt.
    if kept is not None and kept.statement.reasons == tuple(reasons):
        try:
            return (yield from _post_act(session, kept))
        except ApiError as error:
            if error.code not in ("act-time-unfit", "act-refused"):
                raise
    statement = _statement(session, view, event, reasons)
    data = encode_evidence(statement)
    pending = PendingAct(data, session.home.seal.sign(data, at=statement.event_time), statement)
    session.home.keep_act(pending)
    return (yield from _post_act(session, pending))


def _statement(session: Session, view: ConsignmentView, event: Event, reasons: Sequence[Reason]) -> Evidence:
    now = session.instant()
    home = session.home
    return Evidence(
        evidence_id=EvidenceId(session.new_id(now)),
        event=event,
        event_time=now,
        actor=Actor(unit=home.unit, certificate=home.seal_certificate),
        origin=home.config.origin,
        policy=home.config.unit_seal_policy,
        sender=parse_unit_id(view.sender),
        dispatch=Digest(view.dispatch),
        dispatch_id=DispatchId(view.dispatch_id),
        submitted_at=view.submitted_at,
        contents=tuple(Digest(one.digest) for one in view.documents),
        recipient=parse_unit_id(view.recipient),
        consignment_id=ConsignmentId(view.consignment_id),
        issued_number=view.issued_number,
        previous=EvidenceId(view.last_evidence),
        reasons=tuple(reasons),
    )


def _post_act(session: Session, pending: PendingAct) -> Operation[Acted]:
    consignment_id = pending.statement.consignment_id
    assert consignment_id is not None
    body = ActRequest(evidence=pending.evidence, signature=pending.signature)
    request = Request(
        "POST",
        f"/v1/consignments/{consignment_id}/acts",
        headers=(("Content-Type", "application/json"),),
        body=body.model_dump_json().encode(),
    )
    try:
        response = yield from call(request, retries=session.retries, jitter=session.jitter)
    except WrongState as error:
        if error.receipt is not None:
            # The winner's receipt, or the signed refusal of a recall (E14): worth as much as our own.
            session.check(error.receipt, name=consignment_id, expected=of_consignment(consignment_id))
        session.home.settle_act(pending)
        raise
    except _FINAL:
        session.home.settle_act(pending)
        raise
    answer = parse(ActAnswer, response)
    checked = session.check(answer.receipt, name=answer.evidence_id, expected=of_statement(pending.evidence))
    session.home.settle_act(pending)
    return Acted(answer, checked)


def sign_for(session: Session, consignment_id: str) -> Operation[Acted]:
    """签收: the unit takes the dispatch over (E10)."""
    view = yield from consignment(session, consignment_id)
    return (yield from act(session, view, Event.CONSIGNMENT_ACCEPTANCE))


def return_(session: Session, consignment_id: str, *, code: str, text: str) -> Operation[Acted]:
    """退文: the unit sends the dispatch back with a reason (E11)."""
    check_reason(code, Event.CONSIGNMENT_REJECTION)
    view = yield from consignment(session, consignment_id)
    reason = Reason(code=code, text=text)
    return (yield from act(session, view, Event.CONSIGNMENT_REJECTION, reasons=(reason,)))


def check_reason(code: str, event: Event) -> None:
    """Check that the registry binds this reason to this event.

    Raises:
        OptionUnfit: it does not; the sentence lists those it does.
    """
    fitting = [name for name, events in REASONS.items() if event in events]
    if code not in fitting:
        raise OptionUnfit(option="reason", detail=f"{code!r} is none of {', '.join(fitting)}")


_RECALL_IS_IDLE = frozenset({State.RECALLED, State.RETURNED, State.EXPIRED, State.UNDELIVERABLE})


def recall(
    session: Session, identifier: str, *, code: str | None = None, text: str = ""
) -> Operation[tuple[RecallOutcome, ...]]:
    """撤回 a dispatch from all its recipients, or one consignment (E13).

    Every consignment that is not settled otherwise is asked for; for those already
    signed for the hub answers with its signed refusal (E14), which stands in the
    outcome. A failure of another kind ends the rest.
    """
    if code is not None:
        check_reason(code, Event.RECALL)
    reasons = () if code is None else (Reason(code=code, text=text or code),)
    try:
        views = (yield from dispatch(session, identifier)).consignments
    except NotFound:
        views = ((yield from consignment(session, identifier)),)
    outcomes = []
    for view in views:
        if view.state in _RECALL_IS_IDLE and len(views) > 1:
            outcomes.append(RecallOutcome(view.consignment_id, view.recipient, view.state, None, None))
            continue
        try:
            done = yield from act(session, view, Event.RECALL, reasons=reasons)
        except WrongState as error:
            state = error.current or view.state
            outcomes.append(RecallOutcome(view.consignment_id, view.recipient, state, None, error))
        else:
            state = done.answer.state
            outcomes.append(RecallOutcome(view.consignment_id, view.recipient, state, done, None))
    return tuple(outcomes)
