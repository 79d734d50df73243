"""Errors as HTTP: the one table from error families to status and problem document (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from exchange.ledger.errors import LedgerError
from exchange.protocol import i18n
from exchange.protocol.api import Invalid, Problem
from exchange.protocol.errors import (
    Broken,
    ContentMissing,
    DeadlinePassed,
    DuplicateIdConflict,
    NotAllowed,
    NotFound,
    Overloaded,
    Rejected,
    StorageFull,
    Unavailable,
    WrongState,
)
from exchange.storage.contents import OffsetMismatch, UploadTruncated
from exchange.web.services import REQUEST_ID, SERVICES
from pki.errors import Fault, Mender, PkiError
from pki.text import N_, Text, text

MEDIA_TYPE: Final = "application/problem+json"

# The first family that fits decides; the narrow ones stand first.
STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (ContentMissing, 409),
    (DuplicateIdConflict, 409),
    (WrongState, 409),
    (DeadlinePassed, 409),
    (OffsetMismatch, 409),
    (UploadTruncated, 400),
    (NotFound, 404),
    (NotAllowed, 403),
    (StorageFull, 507),
    (Overloaded, 503),
    (Unavailable, 503),
    (Broken, 500),
    (Rejected, 422),
    (ValidationError, 422),
    (PkiError, 422),
)
_TITLES: Final = {
    400: N_("Malformed request"),
    401: N_("Certificate needed"),
    403: N_("Not allowed"),
    404: N_("Not found"),
    405: N_("Method not allowed"),
    409: N_("Conflict"),
    411: N_("Length needed"),
    413: N_("Too large"),
    415: N_("Unsupported media type"),
    416: N_("Range not satisfiable"),
    422: N_("Refused"),
    500: N_("Internal error"),
    503: N_("Not available now"),
    507: N_("Storage full"),
}
RETRY_AFTER: Final = "2"


class HttpFault(Fault):
    """A refusal that exists only in HTTP: wrong length, wrong media type, no certificate."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: Text,
        *,
        mender: Mender = Mender.UNIT,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        """What HTTP demands beside this status: ``Allow`` with 405, ``Content-Range`` with 416."""
        self.http_code = code
        self.http_mender = mender
        super().__init__(detail=str(detail))
        self.text = detail


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for what nobody foresaw."""
    if isinstance(error, HttpFault):
        return error.status
    for family, status in STATUS:
        if isinstance(error, family):
            return status
    return 500


def problem_response(request: web.Request, error: Exception, *, receipt: bytes | None = None) -> web.Response:
    """The answer to a request that failed."""
    status = status_of(error)
    code, mender, detail = _describe(error)
    accepted = request.headers.get("Accept-Language")
    say = i18n.sayer(i18n.negotiate(accepted) if accepted else request.app[SERVICES].language)
    problem = Problem(
        type=f"urn:x-gongwen:problem:{code}",
        title=say(text(_TITLES.get(status, _TITLES[500]))),
        status=status,
        detail=say(detail),
        code=code,
        mender=mender,
        request_id=request[REQUEST_ID],
        errors=tuple(_invalid(error)),
        current=error.current if isinstance(error, WrongState) else None,
        allowed=error.allowed if isinstance(error, WrongState) else (),
        digests=error.digests if isinstance(error, ContentMissing) else (),
        receipt=receipt,
    )
    headers = dict(error.headers) if isinstance(error, HttpFault) else {}
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER
    if isinstance(error, OffsetMismatch):
        headers["Upload-Offset"] = str(error.offset)
    return web.Response(
        status=status,
        body=problem.model_dump_json(exclude_none=True).encode(),
        content_type=MEDIA_TYPE,
        headers=headers,
    )


def _describe(error: Exception) -> tuple[str, str, Text]:
    match error:
        case HttpFault():
            return error.http_code, error.http_mender.value, error.text
        case ValidationError():
            return (
                "request-malformed",
                Mender.UNIT.value,
                text(N_("the request does not have the form it must have")),
            )
        case Fault():
            return error.code, error.mender.value, error.text
        case LedgerError():
            return error.code, error.mender, Text(error.template, error.fields)
        case _:
            # What went wrong inside is for the log; outsiders get the request id.
            return "internal", Mender.OPERATOR.value, text(N_("something went wrong inside the hub"))


def _invalid(error: Exception) -> list[Invalid]:
    if not isinstance(error, ValidationError):
        return []
    return [
        Invalid(loc=".".join(str(part) for part in one["loc"]), msg=one["msg"])
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]
