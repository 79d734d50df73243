"""Every route there is: what it takes, what it answers, where it listens.

One table serves the routers of both listeners and the OpenAPI document, so neither
can know a route that the other does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto

from aiohttp import web
from pydantic import BaseModel

from exchange.protocol import api
from exchange.protocol.package import MEDIA_TYPE as PACKAGE
from exchange.protocol.receipt import MEDIA_TYPE as RECEIPT
from exchange.web import consignments, contents, directory, dispatches, public
from exchange.web.consignments import InboxQuery
from exchange.web.directory import DirectoryQuery
from exchange.web.dispatches import OutboxQuery, SubmissionRequest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OCTETS = "application/octet-stream"


class Listener(Flag):
    """Where a route answers."""

    UNITS = auto()
    PUBLIC = auto()
    BOTH = UNITS | PUBLIC


@dataclass(frozen=True, slots=True)
class Route:
    """One operation."""

    method: str
    path: str
    handler: Handler
    listener: Listener
    summary: str
    answers: dict[int, type[BaseModel] | str | None]
    """By status: a model (JSON), a media type (bytes), or None (no body)."""
    problems: tuple[int, ...] = ()
    body: type[BaseModel] | str | None = None
    """A model (JSON) or the media type of raw bytes."""
    multipart: bool = False
    """The body may come as multipart/form-data as well."""
    query: type[BaseModel] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Required request headers and what they say."""


_PARTY = (401, 403, 404)
_WRITE = (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", public.get_healthz, Listener.BOTH, "The process is alive", {200: api.Health}),
    Route(
        "GET",
        "/readyz",
        public.get_readyz,
        Listener.PUBLIC,
        "Whether the hub can take a dispatch now",
        {200: api.Health, 503: api.Health},
    ),
    Route("GET", "/version", public.get_version, Listener.PUBLIC, "What runs here", {200: api.VersionInfo}),
    Route("GET", "/metrics", public.get_metrics, Listener.PUBLIC, "Prometheus metrics", {200: "text/plain"}),
    Route("GET", "/v1/hub", public.get_hub, Listener.BOTH, "Who the hub is", {200: api.HubInfo}),
    Route(
        "POST",
        "/v1/enrolments",
        public.post_enrolment,
        Listener.PUBLIC,
        "A unit gets its two certificates",
        {201: api.EnrolmentAnswer},
        (400, 413, 415, 422, 503),
        body=api.EnrolmentRequest,
    ),
    Route(
        "GET",
        "/v1/crls/{name}.crl",
        public.get_crl,
        Listener.PUBLIC,
        "Current revocation list of a CA",
        {200: "application/pkix-crl", 304: None},
        (404,),
    ),
    Route(
        "GET",
        "/v1/certificates/{name}.crt",
        public.get_certificate,
        Listener.PUBLIC,
        "Certificate of a CA",
        {200: "application/pkix-cert", 304: None},
        (404,),
    ),
    Route(
        "GET",
        "/ledger/checkpoint",
        public.get_checkpoint,
        Listener.PUBLIC,
        "Newest signed checkpoint of the ledger",
        {200: "text/plain"},
        (404, 503),
    ),
    Route(
        "GET",
        "/ledger/policy",
        public.get_ledger_policy,
        Listener.PUBLIC,
        "By which keys the ledger's checkpoints are checked",
        {200: "text/plain"},
    ),
    Route(
        "GET",
        "/ledger/tile/{path:.+}",
        public.get_tile,
        Listener.PUBLIC,
        "A tile or an entry bundle of the ledger",
        {200: OCTETS},
        (404, 503),
    ),
    Route(
        "GET",
        "/v1/whoami",
        directory.get_whoami,
        Listener.UNITS,
        "Who the hub takes the caller for",
        {200: api.Whoami},
        (401, 403),
    ),
    Route(
        "GET",
        "/v1/directory",
        directory.get_directory,
        Listener.UNITS,
        "Units that can be sent to",
        {200: api.DirectoryPage},
        (400, 401, 403, 422),
        query=DirectoryQuery,
    ),
    Route(
        "HEAD",
        "/v1/contents/{digest}",
        contents.head_content,
        Listener.UNITS,
        "Whether a content is here, or how far its upload has come",
        {200: None, 204: None},
        _PARTY,
    ),
    Route(
        "PUT",
        "/v1/contents/{digest}",
        contents.put_content,
        Listener.UNITS,
        "Upload a content",
        {200: None, 201: None},
        (*_WRITE, 411),
        body=OCTETS,
    ),
    Route(
        "PATCH",
        "/v1/contents/{digest}",
        contents.patch_content,
        Listener.UNITS,
        "Go on with an upload",
        {200: None, 201: None, 204: None},
        _WRITE,
        body=contents.PARTIAL,
        headers=(
            ("Upload-Offset", "where these bytes begin; must be what HEAD says"),
            ("Upload-Length", "how many bytes the whole content has"),
        ),
    ),
    Route(
        "GET",
        "/v1/contents/{digest}",
        contents.get_content,
        Listener.UNITS,
        "Download a content, or a range of it",
        {200: OCTETS, 206: OCTETS, 304: None},
        (*_PARTY, 416),
    ),
    Route(
        "POST",
        "/v1/dispatches",
        dispatches.post_dispatch,
        Listener.UNITS,
        "Submit a dispatch",
        {200: api.SubmissionAnswer, 201: api.SubmissionAnswer},
        (400, 401, 403, 409, 413, 415, 422, 503, 507),
        body=SubmissionRequest,
        multipart=True,
    ),
    Route(
        "GET",
        "/v1/dispatches",
        dispatches.get_dispatches,
        Listener.UNITS,
        "Dispatches of the caller, newest first",
        {200: api.OutboxPage},
        (400, 401, 403, 422),
        query=OutboxQuery,
    ),
    Route(
        "GET",
        "/v1/dispatches/{dispatch_id}",
        dispatches.get_dispatch,
        Listener.UNITS,
        "One dispatch and its consignments",
        {200: api.DispatchView},
        _PARTY,
    ),
    Route(
        "GET",
        "/v1/dispatches/{dispatch_id}/package",
        dispatches.get_dispatch_package,
        Listener.UNITS,
        "A dispatch with documents and evidence in one container",
        {200: PACKAGE},
        (*_PARTY, 503),
    ),
    Route(
        "GET",
        "/v1/inbox",
        consignments.get_inbox,
        Listener.UNITS,
        "Consignments to the caller that changed; waits for news when asked",
        {200: api.InboxPage},
        (400, 401, 403, 422),
        query=InboxQuery,
    ),
    Route(
        "GET",
        "/v1/consignments/{consignment_id}",
        consignments.get_consignment,
        Listener.UNITS,
        "One consignment",
        {200: api.ConsignmentView},
        _PARTY,
    ),
    Route(
        "GET",
        "/v1/consignments/{consignment_id}/envelope",
        consignments.get_envelope,
        Listener.UNITS,
        "The sender's signed envelope",
        {200: api.EnvelopeView},
        _PARTY,
    ),
    Route(
        "GET",
        "/v1/consignments/{consignment_id}/package",
        consignments.get_consignment_package,
        Listener.UNITS,
        "A consignment with documents and evidence in one container",
        {200: PACKAGE},
        (*_PARTY, 503),
    ),
    Route(
        "POST",
        "/v1/consignments/{consignment_id}/acts",
        consignments.post_act,
        Listener.UNITS,
        "Hand-over, sign for, return, recall: a signed statement",
        {200: api.ActAnswer, 201: api.ActAnswer},
        (400, 401, 403, 404, 409, 413, 415, 422, 503, 507),
        body=api.ActRequest,
    ),
    Route(
        "GET",
        "/v1/receipts/{evidence_id}",
        consignments.get_receipt,
        Listener.UNITS,
        "The receipt of an evidence",
        {200: RECEIPT},
        (*_PARTY, 503),
    ),
)
