"""Contents on their way to the hub: streamed, resumed after an interruption, sent once.

    PUT /v1/contents/sha256:…          the whole
    HEAD …                             after an interruption: how far it came
    PATCH … Upload-Offset: N           the rest

The digest names the content, so nothing is uploaded twice and a broken upload can
only be completed with the same bytes. (draft-ietf-httpbis-resumable-upload, with a
PUT under the digest where the draft creates by POST.)
"""

from __future__ import annotations

from pathlib import Path

from clients.errors import AnswerMalformed, HubUntrusted, OptionUnfit, TransportError
from clients.session import Session
from clients.wire import (
    LONGEST_PAUSE,
    RETRIED,
    FileBody,
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
)

ASK_FIRST = 4 * 1024 * 1024
"""From this size on it pays to ask whether the hub has it before sending it."""

_CONTINUED = frozenset({"upload-offset-mismatch", "upload-truncated"})
"""Refusals that ask to go on from another place: HEAD tells which."""


def upload(
    session: Session, path: Path, *, digest: str, size: int, progress: Progress | None = None
) -> Operation[None]:
    """Bring a file's content to the hub; it is there, durable and with this digest, on return.

    Retries count anew whenever the hub has more bytes than before, so that a large
    file gets through a line that breaks often.

    Raises:
        TransportError: the line broke once too often without progress.
        ApiError: refused; ``content-mismatch`` when the file changed meanwhile.
    """
    url = f"/v1/contents/{digest}"
    if path.stat().st_size != size:
        raise OptionUnfit(option=str(path), detail="the file changed after it was signed for")
    best = 0
    attempt = 0
    offset: int | None = None
    if size >= ASK_FIRST:
        offset = yield from _offset(session, url)
        if offset == -1:
            return
    while True:
        asked: float | None = None
        failure: Exception
        try:
            response = yield from exchange(_request(url, path, offset, size, progress))
        except HubUntrusted:
            raise
        except TransportError as error:
            failure = error
        else:
            if response.status in (200, 201):
                return
            # 204 with an offset: taken, and not all of it (a proxy may cut long bodies).
            if response.status == 204:
                failure = AnswerMalformed(detail="the upload ends before the content does")
            else:
                failure = error_of(response)
                again = response.status in RETRIED or response.status >= 500
                if not again and getattr(failure, "code", "") not in _CONTINUED:
                    raise failure
                asked = retry_after(response)
        if attempt >= session.retries or (asked or 0.0) > LONGEST_PAUSE:
            raise failure
        yield Pause(pause_before(attempt, asked=asked, jitter=session.jitter()))
        attempt += 1
        offset = yield from _offset(session, url)
        if offset == -1:
            return
        if (offset or 0) > best:
            best, attempt = offset or 0, 0


def _request(url: str, path: Path, offset: int | None, size: int, progress: Progress | None) -> Request:
    if not offset:
        return Request("PUT", url, body=FileBody(path, 0, size, progress))
    return Request(
        "PATCH",
        url,
        headers=(
            ("Content-Type", "application/partial-upload"),
            ("Upload-Offset", str(offset)),
            ("Upload-Length", str(size)),
        ),
        body=FileBody(path, offset, size - offset, progress),
    )


def _offset(session: Session, url: str) -> Operation[int | None]:
    """How much the hub has of it: -1 all, None nothing, else the offset to go on from."""
    response: Response = yield from call(
        Request("HEAD", url),
        retries=session.retries,
        jitter=session.jitter,
        accept=frozenset({200, 204, 404}),
    )
    if response.status == 200:
        return -1
    if response.status == 404:
        return None
    value = response.headers.get("upload-offset", "")
    if not (value.isascii() and value.isdigit()):
        raise AnswerMalformed(detail="HEAD without Upload-Offset")
    return int(value)
