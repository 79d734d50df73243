"""The two aiohttp applications, and what happens around every request.

In this order: a request id and the access line (no titles, no names, no bodies),
errors turned into problem documents, and on the listener for units the session:
whose certificate it is, asked anew on every request, so that a revoked one is out
at once even on a connection that stays open.
"""

from __future__ import annotations

import json
import re
import time

import structlog
from aiohttp import web
from cryptography import x509
from pydantic import ValidationError

from exchange.protocol.errors import NotFound
from exchange.protocol.identifiers import digest_of, uuid7
from exchange.web import openapi
from exchange.web.problems import HttpFault, problem_response, status_of
from exchange.web.routes import ROUTES, Handler, Listener
from exchange.web.services import REQUEST_ID, SERVICES, SESSION, Services, Session
from pki.errors import Fault, PathError
from pki.purpose import TLS_CLIENT
from pki.text import N_, text

log = structlog.get_logger("gongwen.web")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def make_application(services: Services, listener: Listener) -> web.Application:
    """The application of one listener."""
    middlewares = [watch, problems]
    if listener is Listener.UNITS:
        middlewares.append(session)
    # Bodies are read by our own capped readers; aiohttp's own cap is only a backstop.
    app = web.Application(middlewares=middlewares, client_max_size=services.limits.max_small_bytes)
    app[SERVICES] = services
    app.on_response_prepare.append(_label)
    for route in ROUTES:
        if listener in route.listener:
            app.router.add_route(route.method, route.path, route.handler)
    app.router.add_get("/openapi.json", get_openapi, allow_head=False)
    return app


async def get_openapi(request: web.Request) -> web.StreamResponse:
    """The OpenAPI document."""
    return web.Response(
        body=json.dumps(openapi.document(), ensure_ascii=False).encode(), content_type="application/json"
    )


@web.middleware
async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, and say afterwards what became of it."""
    services = request.app[SERVICES]
    claimed = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = (
        claimed if _REQUEST_ID.fullmatch(claimed) else uuid7(services.clock(), services.random(10))
    )
    started = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
    finally:
        seconds = time.perf_counter() - started
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        services.metrics.requests.labels(route, request.method, status).observe(seconds)
        known = request.get(SESSION)
        log.info(
            "request",
            request_id=request[REQUEST_ID],
            method=request.method,
            route=route,
            status=status,
            seconds=round(seconds, 6),
            unit=known.unit if known is not None else None,
        )
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what was raised into a problem document; nothing of the inside leaves with it."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = problem_response(request, _http(error))
    except (Fault, ValidationError) as error:
        if status_of(error) >= 500:
            # The sentence may hold a unit's name; the code never does.
            log.error("refused", request_id=request[REQUEST_ID], error=getattr(error, "code", "unexpected"))
        response = problem_response(request, error)
    except (ConnectionError, TimeoutError):
        raise
    except Exception as error:
        log.exception("unexpected", request_id=request[REQUEST_ID], error=type(error).__name__)
        response = problem_response(request, error)
    return response


async def _label(request: web.Request, response: web.StreamResponse) -> None:
    """Put the request's id on whatever is about to leave; streamed answers leave before their handler ends."""
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


@web.middleware
async def session(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out whose certificate the connection was opened with."""
    request[SESSION] = await _session(request)
    return await handler(request)


async def _session(request: web.Request) -> Session:
    services = request.app[SERVICES]
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    if not der:
        raise HttpFault(401, "certificate-needed", text(N_("a TLS client certificate is needed")))
    fingerprint = digest_of(der)
    known = await services.records.credential(fingerprint)
    if known is None or known.purpose != "tls":
        raise HttpFault(
            403, "certificate-unknown", text(N_("this certificate belongs to no unit of the hub"))
        )
    if not known.usable:
        raise HttpFault(
            403, "certificate-revoked", text(N_("this certificate or its unit is no longer in use"))
        )
    try:
        services.trust.check(
            x509.load_der_x509_certificate(der), others=(), purpose=TLS_CLIENT, at=services.clock()
        )
    except PathError as error:
        raise HttpFault(403, error.code, error.text) from error
    return Session(unit=known.unit, name=known.name, fingerprint=fingerprint)


def _http(error: web.HTTPException) -> Exception:
    if error.status == 404:
        return NotFound(what="resource")
    if isinstance(error, web.HTTPMethodNotAllowed):
        detail = text(N_("this resource does not have that method"))
        allow = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return HttpFault(405, "method-not-allowed", detail, headers=allow)
    if error.status == 413:
        return HttpFault(413, "content-too-large", text(N_("the request is too large")))
    return HttpFault(
        error.status, "request-malformed", text(N_("the request is malformed: {detail}"), detail=error.reason)
    )
