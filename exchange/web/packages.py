"""Answering with a dispatch package, streamed: memory does not grow with the documents."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiohttp import web

from exchange.protocol.dispatch import Document
from exchange.protocol.errors import NotFound
from exchange.protocol.package import DOCUMENTS, MEDIA_TYPE, Part, package_parts, package_sources
from exchange.web.services import SERVICES
from exchange.web.shaping import attachment_headers
from pki.names import UnitId
from signing.container import container_size, stream_container

_CHUNK: Final = 1 << 20


async def package_response(
    request: web.Request, sender: UnitId, dispatch_id: str, *, consignment: str | None
) -> web.StreamResponse:
    """The package of a dispatch: with all evidence for its sender, or that of one consignment."""
    services = request.app[SERVICES]
    envelope = await services.records.envelope(sender, dispatch_id)
    kept = await services.records.dispatch(sender, dispatch_id)
    if envelope is None or kept is None:
        raise NotFound(what="dispatch")
    evidence = await services.records.evidence_of(
        sender, dispatch_id, consignment_ids=None if consignment is None else [consignment]
    )
    receipts = [(one.evidence_id, await services.files.receipt(one.evidence_id)) for one in evidence]
    documents = [
        await asyncio.to_thread(_document, one, services.contents.path(one.digest))
        for one in kept.dispatch.documents
    ]
    now = services.clock()
    sources = package_sources(
        package_parts(*envelope, documents, receipts), lambda data: services.notary.signer.sign(data, at=now)
    )
    response = web.StreamResponse(
        headers={**attachment_headers(f"{dispatch_id}.asice"), "Content-Type": MEDIA_TYPE}
    )
    response.content_length = container_size(sources)
    await response.prepare(request)
    chunks = stream_container(sources)
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        await response.write(chunk)
    await response.write_eof()
    return response


def _document(document: Document, path: Path) -> Part:
    """A document with the CRC-32 that the zip wants beforehand; the file is read twice, never kept."""
    crc, digest = 0, hashlib.sha256()
    for chunk in _chunks(path):
        crc = zlib.crc32(chunk, crc)
        digest.update(chunk)
    return Part(
        DOCUMENTS + document.name, document.media_type, document.size, crc, digest.digest(), _chunks(path)
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
