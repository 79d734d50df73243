"""Taking the content of a consignment: the envelope, then each document, checked before it counts.

    FOLDER/dispatch.json  dispatch.p7s     the sender's envelope, as received
    FOLDER/documents/…                     the documents under their own names

(1) The envelope is the one that the consignment names, and its signature is the
sender's. (2) Each document is fetched by range, goes on where it broke off, and is
put under its name only with the announced digest. (3) Then, and not before, the unit
states the hand-over (E08). Seals on documents are judged beside that: what is wrong
with one is the reader's to know, not a reason to deny having received it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients import operations
from clients.errors import ApiError, ContentDiffers, EnvelopeUntrusted, HubUntrusted, TransportError
from clients.files import digest_file, sync_folder, write_atomically
from clients.operations import Acted
from clients.session import Session
from clients.wire import (
    LONGEST_PAUSE,
    FileSink,
    Operation,
    Pause,
    Progress,
    Request,
    Response,
    call,
    error_of,
    exchange,
    pause_before,
    retry_after,
    work,
)
from exchange.protocol.api import ConsignmentView
from exchange.protocol.dispatch import Dispatch, Document, decode_dispatch
from exchange.protocol.errors import EnvelopeMalformed
from exchange.protocol.events import Event
from exchange.protocol.identifiers import digest_of
from pki.purpose import UNIT_SEAL
from pki.text import N_, Text
from signing.detached import judge_detached
from signing.report import FileReport, Finding, Severity, Verdict, file_report

JudgeFile = Callable[[Path], FileReport]

_NOT_SENDERS = N_("the envelope is sealed by {signer}, not by the unit that it names as its sender")


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """One document in the folder, with the digest that its sender announced."""

    document: Document
    path: Path
    report: FileReport | None
    """What its seals are worth, if that was asked."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A consignment whose content is here."""

    consignment: ConsignmentView
    """As it stood before the hand-over."""
    folder: Path
    dispatch: Dispatch
    envelope: FileReport
    documents: tuple[FetchedDocument, ...]
    handed_over: Acted | None
    """None where the hand-over had been stated before."""


def fetch(
    session: Session,
    consignment_id: str,
    folder: Path,
    *,
    judge: JudgeFile | None = None,
    progress: Progress | None = None,
) -> Operation[Fetched]:
    """Bring the content into the folder and state the hand-over; see the module for the numbered steps.

    May be repeated: what is there already is not fetched again.

    Raises:
        EnvelopeUntrusted: (1) fails. Nothing was stated.
        ContentDiffers: (2) fails, or another file stands under the name. Nothing was stated.
        WrongState: the consignment may not be fetched any more.
        ReceiptUntrusted: the hand-over was stated, and the receipt does not verify.
    """
    view = yield from operations.consignment(session, consignment_id)
    sealed = yield from operations.envelope(session, consignment_id)
    dispatch, report = check_envelope(
        session, view, envelope=sealed.envelope, signature=sealed.signature
    )  # (1)
    documents_folder = folder / "documents"
    documents_folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "dispatch.json", sealed.envelope)
    write_atomically(folder / "dispatch.p7s", sealed.signature)
    paths = []
    for document in dispatch.documents:
        path = documents_folder / document.name
        yield from download(session, document, path, progress=progress)  # (2)
        paths.append(path)
    yield from work(lambda: sync_folder(documents_folder))
    handed_over = None
    if Event.CONTENT_HANDOVER.wire in view.allowed:
        handed_over = yield from operations.act(session, view, Event.CONTENT_HANDOVER)  # (3)
    reports = yield from work(lambda: _judge_all(judge, paths))
    fetched = zip(dispatch.documents, paths, reports, strict=True)
    return Fetched(
        view, folder, dispatch, report, tuple(FetchedDocument(*one) for one in fetched), handed_over
    )


def _judge_all(judge: JudgeFile | None, paths: Sequence[Path]) -> list[FileReport | None]:
    return [None if judge is None else judge(path) for path in paths]


def check_envelope(
    session: Session, view: ConsignmentView, *, envelope: bytes, signature: bytes
) -> tuple[Dispatch, FileReport]:
    """The dispatch of an envelope, and what its signature is worth under the unit's own trust.

    *Undecided* passes with its report (a revocation list may be out of date here while
    the hub had a current one); proven wrong does not.

    Raises:
        EnvelopeUntrusted: not the consignment's envelope, or the signature fails, or is another unit's.
    """
    if digest_of(envelope) != view.dispatch:
        raise EnvelopeUntrusted(detail="it is not the one that the consignment names")
    try:
        dispatch = decode_dispatch(envelope)
    except EnvelopeMalformed as error:
        raise EnvelopeUntrusted(detail=str(error)) from error
    if (dispatch.dispatch_id, dispatch.sender) != (view.dispatch_id, view.sender):
        raise EnvelopeUntrusted(detail="the hub names another sender or another dispatch than it does")
    if session.home.unit not in dispatch.recipients and session.home.unit != dispatch.sender:
        raise EnvelopeUntrusted(detail="this unit is not among its recipients")
    seals = judge_detached(
        signature,
        _digests(envelope),
        trust=session.home.trust.store,
        purpose=UNIT_SEAL,
        now=session.now(),
    )
    foreign = [seal for seal in seals if seal.unit != dispatch.sender]
    findings = [
        Finding("envelope-seal-foreign", Severity.ERROR, Text(_NOT_SENDERS, (("signer", seal.signer),)))
        for seal in foreign
        if seal.verdict is not Verdict.UNDECIDED
    ]
    report = file_report("dispatch.p7s", seals, findings)
    if report.verdict in (Verdict.NOT_VALID, Verdict.NO_SEAL):
        raise EnvelopeUntrusted(detail=report.sub_indication or report.indication)
    return dispatch, report


def _digests(content: bytes) -> Callable[[str], bytes]:
    import hashlib

    return lambda name: hashlib.new(name, content).digest()


def download(
    session: Session, document: Document, path: Path, *, progress: Progress | None = None
) -> Operation[None]:
    """One content under its name, whole and with its digest; goes on where an earlier try broke off.

    Raises:
        ContentDiffers: the bytes that came, or a file that stood there, are others.
    """
    if path.exists():
        if (yield from work(lambda: digest_file(path))) == document.digest:
            return
        raise ContentDiffers(name=str(path))
    # Named by its digest, so that a part is only ever continued with the same content.
    part = path.with_name(f".{document.digest.removeprefix('sha256:')[:32]}.part")
    attempt = 0
    best = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have > document.size:
            part.unlink()
            have = 0
        if have > best:
            best, attempt = have, 0
        if have == document.size:
            break
        sink = FileSink(part, have, document.size, progress)
        headers = (("Range", f"bytes={have}-"),) if have else ()
        asked: float | None = None
        try:
            response = yield from exchange(
                Request("GET", f"/v1/contents/{document.digest}", headers=headers, sink=sink)
            )
        except HubUntrusted:
            raise
        except TransportError as error:
            failure: Exception = error
        else:
            if response.status in (200, 206):
                # A body may end early without the connection breaking; the size says so.
                failure = TransportError(detail=f"{document.name} came incomplete")
                if part.stat().st_size >= document.size:
                    continue
            elif response.status == 416:
                part.unlink(missing_ok=True)
                failure = ContentDiffers(name=document.name)
            else:
                failure = error_of(response)
                asked = retry_after(response)
                again = response.status in (408, 425, 429) or response.status >= 500
                if not again and isinstance(failure, ApiError):
                    raise failure
        if attempt >= session.retries or (asked or 0.0) > LONGEST_PAUSE:
            raise failure
        yield Pause(pause_before(attempt, asked=asked, jitter=session.jitter()))
        attempt += 1
    if (yield from work(lambda: digest_file(part))) != document.digest:
        part.unlink()
        raise ContentDiffers(name=document.name)
    part.replace(path)


def package(session: Session, identifier: str, path: Path) -> Operation[Path]:
    """The dispatch package (ASiC-E) of one of our dispatches, or of a consignment, as a file; unjudged."""
    part = path.with_name(f".{path.name}.part")
    response: Response | None = None
    for kind in ("dispatches", "consignments"):
        request = Request(
            "GET",
            f"/v1/{kind}/{identifier}/package",
            headers=(("Accept", "application/vnd.etsi.asic-e+zip"),),
            sink=FileSink(part),
        )
        response = yield from call(
            request,
            retries=session.retries,
            jitter=session.jitter,
            accept=frozenset({200, 404}),
        )
        if response.status == 200:
            part.replace(path)
            return path
    assert response is not None
    raise error_of(response)
