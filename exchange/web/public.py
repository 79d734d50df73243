"""The public listener: who the hub is, enrolment, revocation lists, the ledger, health."""

from __future__ import annotations

import asyncio
import gzip
import time
from importlib.metadata import version

from aiohttp import web

from exchange.ledger.errors import TileMalformed
from exchange.ledger.tiles import Bundle, decode_path
from exchange.protocol.api import EnrolmentRequest, Health, VersionInfo
from exchange.protocol.errors import NotFound
from exchange.protocol.identifiers import digest_of, format_time
from exchange.storage import tables
from exchange.storage.committer import Rows
from exchange.web.reading import is_known, read_model
from exchange.web.services import SERVICES
from exchange.web.shaping import answer

_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


async def get_hub(request: web.Request) -> web.StreamResponse:
    """What a party must know of this hub."""
    return answer(request.app[SERVICES].info)


async def post_enrolment(request: web.Request) -> web.StreamResponse:
    """A unit asks for its two certificates with the invitation it was given."""
    services = request.app[SERVICES]
    body = await read_model(request, EnrolmentRequest, limit=64 * 1024)
    enrolled = await asyncio.to_thread(services.enrol, body)
    now = format_time(services.clock())
    unit = {"unit": enrolled.unit, "name": enrolled.name, "active": True, "registered_at": now}
    credentials = tuple(
        {
            "fingerprint": digest_of(certificate),
            "unit": enrolled.unit,
            "purpose": purpose,
            "certificate": certificate,
            "revoked_at": None,
        }
        for purpose, certificate in services.register(enrolled)
    )
    await services.ledger.add(Rows(tables.unit, (unit,)))
    await services.ledger.add(Rows(tables.credential, credentials))
    return answer(enrolled, status=201)


async def get_crl(request: web.Request) -> web.StreamResponse:
    """The current revocation list of one of the hub's CAs (RFC 5280), DER."""
    body = request.app[SERVICES].public.crl(request.match_info["name"])
    if body is None:
        raise NotFound(what="revocation list")
    return _file(
        request, body, media_type="application/pkix-crl", headers={"Cache-Control": "public, max-age=300"}
    )


async def get_certificate(request: web.Request) -> web.StreamResponse:
    """The certificate of one of the hub's CAs, DER."""
    body = request.app[SERVICES].public.certificate(request.match_info["name"])
    if body is None:
        raise NotFound(what="certificate")
    return _file(request, body, media_type="application/pkix-cert", headers=_IMMUTABLE)


async def get_checkpoint(request: web.Request) -> web.StreamResponse:
    """The newest signed checkpoint of the ledger (C2SP tlog-tiles)."""
    note = await request.app[SERVICES].files.checkpoint()
    if note is None:
        raise NotFound(what="checkpoint")
    return web.Response(
        body=note,
        content_type="text/plain",
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=1"},
    )


async def get_ledger_policy(request: web.Request) -> web.StreamResponse:
    """The policy by which the ledger's checkpoints are checked (C2SP tlog-policy)."""
    return web.Response(
        body=request.app[SERVICES].public.ledger_policy, content_type="text/plain", charset="utf-8"
    )


async def get_tile(request: web.Request) -> web.StreamResponse:
    """A tile or an entry bundle of the ledger; what is not complete yet is not there."""
    files = request.app[SERVICES].files
    try:
        place = decode_path("tile/" + request.match_info["path"])
    except TileMalformed:
        raise NotFound(what="tile") from None
    is_bundle = isinstance(place, Bundle)
    body = await files.bundle(place) if isinstance(place, Bundle) else await files.tile(place)
    if body is None:
        raise NotFound(what="tile")
    headers = dict(_IMMUTABLE)
    if is_bundle:
        # On the plain form too: a cache must not give it to whoever asked for the other.
        headers["Vary"] = "Accept-Encoding"
    if is_bundle and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, content_type="application/octet-stream", headers=headers)


async def get_healthz(request: web.Request) -> web.StreamResponse:
    """The event loop answers. Nothing else is said."""
    return answer(Health(ready=True, checks={"loop": "ok"}))


async def get_readyz(request: web.Request) -> web.StreamResponse:
    """Whether the hub can take a dispatch now, and if not, what is missing."""
    services = request.app[SERVICES]
    started = time.monotonic()
    problems = await asyncio.to_thread(services.ready)
    if services.ledger.broken is not None:
        problems["ledger"] = services.ledger.broken
    try:
        current, head = await services.records.schema()
    except Exception as error:
        problems["database"] = type(error).__name__
    else:
        problems["database"] = "" if current == head else f"schema {current}, needs {head}"
    problems["answered_in"] = ""
    checks = {name: problem or "ok" for name, problem in problems.items()}
    checks["answered_in"] = f"{time.monotonic() - started:.3f} s"
    ready = not any(problems.values())
    return answer(Health(ready=ready, checks=checks), status=200 if ready else 503)


async def get_version(request: web.Request) -> web.StreamResponse:
    """What runs here."""
    return answer(VersionInfo(version=version("gongwen")))


async def get_metrics(request: web.Request) -> web.StreamResponse:
    """Prometheus metrics."""
    services = request.app[SERVICES]
    metrics = services.metrics
    metrics.ledger_size.set(services.ledger.size)
    metrics.waiting.set(services.ledger.waiting)
    metrics.broken.set(services.ledger.broken is not None)
    return web.Response(
        body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


def _takes_gzip(accepted: str) -> bool:
    """Whether ``Accept-Encoding`` names gzip, and not to refuse it with ``q=0`` (RFC 9110 §12.5.3)."""
    for one in accepted.split(","):
        name, _, weight = one.replace(" ", "").lower().partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" or not weight
    return False


def _file(request: web.Request, body: bytes, *, media_type: str, headers: dict[str, str]) -> web.Response:
    etag = f'"{digest_of(body)}"'
    if is_known(request, etag):
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(body=body, content_type=media_type, headers={**headers, "ETag": etag})
