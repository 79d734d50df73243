"""Reading requests: bodies within their caps, models, parts, digests in paths."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp import BodyPartReader, MultipartReader, web
from pydantic import BaseModel, ValidationError

from exchange.protocol.errors import NotFound
from exchange.protocol.identifiers import ConsignmentId, Digest, is_digest, is_uuid7
from exchange.web.problems import HttpFault
from pki.text import N_, Text, text

MAX_JSON: Final = 2 << 20
MAX_PARTS: Final = 210
_CHUNK: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")

Model = TypeVar("Model", bound=BaseModel)


def malformed(detail: str) -> HttpFault:
    """A request that is not even a request."""
    return HttpFault(400, "request-malformed", text(N_("the request is malformed: {detail}"), detail=detail))


def too_large(limit: int) -> HttpFault:
    """More bytes than this may have."""
    return HttpFault(413, "content-too-large", text(N_("more than {limit} bytes"), limit=limit))


def wrong_media_type(expected: str) -> HttpFault:
    """A body of another kind."""
    return HttpFault(
        415, "media-type-unsupported", text(N_("the body must be {expected}"), expected=expected)
    )


async def read_model(request: web.Request, model: type[Model], *, limit: int = MAX_JSON) -> Model:
    """The JSON body as a value; unknown fields are refused."""
    if request.content_type != "application/json":
        raise wrong_media_type("application/json")
    data = await read_body(request, limit=limit)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors(include_url=False)):
            raise malformed("not JSON") from None
        raise


def read_query(request: web.Request, model: type[Model]) -> Model:
    """The query as a value; unknown parameters are refused, and so are repeated ones."""
    values: Mapping[str, str] = request.query
    if len(request.query) != len(set(request.query)):
        raise malformed("a parameter stands twice")
    return model.model_validate(dict(values))


async def read_body(request: web.Request, *, limit: int) -> bytes:
    """The body, whole, within the cap."""
    if request.content_length is not None and request.content_length > limit:
        raise too_large(limit)
    data = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise too_large(limit)
    return bytes(data)


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission's parts: the signed envelope, and contents that came along."""

    envelope: bytes
    signature: bytes
    contents: tuple[bytes, ...]


async def read_submission(request: web.Request, *, limit: int) -> Submission:
    """A multipart submission, all of it within the cap for small dispatches."""
    if request.content_length is not None and request.content_length > limit:
        raise too_large(limit)
    parts: dict[str, bytes] = {}
    contents: list[bytes] = []
    left = limit
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, MultipartReader):
                raise malformed("parts within parts")
            data = await _read_part(part, limit=left, whole=limit)
            left -= len(data)
            if part.name == "content":
                contents.append(data)
            elif part.name in ("envelope", "signature") and part.name not in parts:
                parts[part.name] = data
            else:
                raise malformed(f"the part {part.name!r} is unknown or stands twice")
            if len(contents) > MAX_PARTS:
                raise malformed("too many parts")
    except (ValueError, AssertionError, RuntimeError) as error:
        # aiohttp's multipart reader raises these for broken boundaries and headers.
        raise malformed(str(error)[:120]) from None
    if len(parts) != 2:
        raise malformed("the parts envelope and signature are needed")
    return Submission(parts["envelope"], parts["signature"], tuple(contents))


async def _read_part(part: BodyPartReader, *, limit: int, whole: int) -> bytes:
    if part.headers.get("Content-Transfer-Encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise malformed("parts are sent as they are, without a transfer encoding")
    data = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise too_large(whole)
    return bytes(data)


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it arrives; a connection that breaks simply ends it."""
    while True:
        try:
            chunk = await request.content.read(_CHUNK)
        except (ConnectionError, web.RequestPayloadError):
            return
        if not chunk:
            return
        yield chunk


def path_digest(request: web.Request) -> Digest:
    """The digest in the path; any other spelling names nothing."""
    value = request.match_info["digest"]
    if not is_digest(value):
        raise NotFound(what="content")
    return Digest(value)


def path_id(request: web.Request, name: str, what: str) -> str:
    """A UUIDv7 in the path; any other spelling names nothing."""
    value = request.match_info[name]
    if not is_uuid7(value):
        raise NotFound(what=what)
    return value


def path_consignment(request: web.Request) -> ConsignmentId:
    """The consignment in the path."""
    return ConsignmentId(path_id(request, "consignment_id", "consignment"))


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the caller has it already: ``If-None-Match`` names it (RFC 9110 §13.1.2, weak comparison)."""
    named = request.headers.get("If-None-Match", "")
    return named.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in named.split(","))


def range_of(request: web.Request, size: int, *, etag: str) -> tuple[int, int, bool]:
    """Start, end (exclusive) and whether a part was asked for (RFC 9110 §14; one range only).

    A range in another unit, or of another content (``If-Range``), is ignored, as the RFC demands.
    """
    asked = request.headers.get("Range", "").strip()
    if not asked.startswith("bytes=") or request.headers.get("If-Range", etag) != etag:
        return 0, size, False
    match = _RANGE.fullmatch(asked)
    if match is None:
        raise _unsatisfiable(size, text(N_("only one range of bytes can be asked for")))
    first, last, suffix = match.groups()
    start = max(size - int(suffix), 0) if suffix else int(first)
    end = min(int(last) + 1, size) if last else size
    if start >= end:
        raise _unsatisfiable(size, text(N_("the range lies outside the content")))
    return start, end, True


def _unsatisfiable(size: int, detail: Text) -> HttpFault:
    return HttpFault(416, "range-not-satisfiable", detail, headers={"Content-Range": f"bytes */{size}"})
