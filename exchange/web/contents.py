"""``/v1/contents``: upload that can go on after a break, download by range.

The verbs are those of the IETF draft "Resumable Uploads for HTTP" (-15), with a PUT
under the digest where the draft has a POST: the digest is known beforehand, so the
upload needs no address of its own and a repeat is free. A content exists only for the
units that uploaded it or lawfully received it; for everybody else the answer is 404,
whatever the store holds.
"""

from __future__ import annotations

from aiohttp import web

from exchange.protocol.errors import NotFound
from exchange.protocol.identifiers import Digest
from exchange.storage.contents import UploadTruncated
from exchange.web.problems import HttpFault
from exchange.web.reading import (
    body_chunks,
    is_known,
    malformed,
    path_digest,
    range_of,
    too_large,
    wrong_media_type,
)
from exchange.web.services import SERVICES, SESSION, Services
from exchange.web.shaping import attachment_headers
from pki.names import UnitId
from pki.text import N_, text

PARTIAL = "application/partial-upload"
COMPLETE = {"Upload-Complete": "?1"}
INCOMPLETE = {"Upload-Complete": "?0"}


async def head_content(request: web.Request) -> web.StreamResponse:
    """Whether the content is here for this unit, or how far its upload has come."""
    services, unit, digest = _about(request)
    size = (await services.records.granted(unit, [digest])).get(digest)
    if size is not None:
        # The length of what GET would send; aiohttp leaves it alone on an answer to HEAD.
        return web.Response(headers={**COMPLETE, "ETag": f'"{digest}"', "Content-Length": str(size)})
    offset = await services.contents.offset(unit, digest)
    if offset is None:
        raise NotFound(what="content")
    return web.Response(status=204, headers={**INCOMPLETE, "Upload-Offset": str(offset)})


async def put_content(request: web.Request) -> web.StreamResponse:
    """The whole content in one request."""
    if request.content_length is None:
        raise HttpFault(411, "length-needed", text(N_("say how many bytes will come: Content-Length")))
    return await _take(request, offset=0, total=request.content_length)


async def patch_content(request: web.Request) -> web.StreamResponse:
    """The next part of an upload that was begun."""
    if request.content_type != PARTIAL:
        raise wrong_media_type(PARTIAL)
    offset = _number(request, "Upload-Offset")
    total = _number(request, "Upload-Length")
    if offset > total:
        raise malformed("Upload-Offset lies beyond Upload-Length")
    return await _take(request, offset=offset, total=total)


async def get_content(request: web.Request) -> web.StreamResponse:
    """The bytes, or one range of them."""
    services, unit, digest = _about(request)
    size = (await services.records.granted(unit, [digest])).get(digest)
    if size is None:
        raise NotFound(what="content")
    etag = f'"{digest}"'
    if is_known(request, etag):
        return web.Response(status=304, headers={"ETag": etag})
    start, end, partial = range_of(request, size, etag=etag)
    response = web.StreamResponse(
        status=206 if partial else 200,
        headers={
            **attachment_headers(digest.removeprefix("sha256:")),
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        },
    )
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response.content_length = end - start
    await response.prepare(request)
    async for chunk in services.contents.read(digest, start=start, end=end):
        await response.write(chunk)
    await response.write_eof()
    return response


async def _take(request: web.Request, *, offset: int, total: int) -> web.StreamResponse:
    services, unit, digest = _about(request)
    if total > services.limits.max_content_bytes:
        raise too_large(services.limits.max_content_bytes)
    if total == 0:
        raise malformed("an empty content has no place in a dispatch")
    if (await services.records.granted(unit, [digest])).get(digest) == total:
        return web.Response(status=200, headers=COMPLETE)
    complete = await services.keeper.take(unit, digest, body_chunks(request), offset=offset, total=total)
    here = total if complete else await services.contents.offset(unit, digest) or 0
    services.metrics.upload_bytes.inc(here - offset)
    if not complete:
        if request.method == "PUT":
            raise UploadTruncated(received=here, announced=total)
        return web.Response(status=204, headers={**INCOMPLETE, "Upload-Offset": str(here)})
    return web.Response(status=201, headers={**COMPLETE, "Location": f"/v1/contents/{digest}"})


def _about(request: web.Request) -> tuple[Services, UnitId, Digest]:
    return request.app[SERVICES], request[SESSION].unit, path_digest(request)


def _number(request: web.Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise malformed(f"{header} must be a number of bytes")
    return int(value)
