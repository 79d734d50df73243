"""The HTTP interface as values: what is asked and what is answered, on both sides of the wire.

The hub writes its OpenAPI 3.1 document from these models; the client library
returns them. Answers keep unknown fields and open enumerations, so that an older
client reads a newer hub; requests refuse what they do not know. Bytes travel in
JSON as padded base64 (RFC 4648 §4).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from datetime import datetime
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)


def _decode_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        data = b64decode(value, validate=True)
    except (Base64Error, ValueError):
        raise ValueError("not base64") from None
    if b64encode(data).decode() != value:
        raise ValueError("not canonical base64")
    return data


# Not pydantic's Base64Bytes: that breaks lines, and reads whatever looks like base64.
Base64 = Annotated[
    bytes,
    BeforeValidator(_decode_base64),
    PlainSerializer(lambda data: b64encode(data).decode(), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]

Sha256 = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
UnitText = Annotated[str, StringConstraints(min_length=18, max_length=83)]
Uuid7 = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
]


class Answer(BaseModel):
    """Base of everything the hub answers: frozen, unknown fields kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Request(BaseModel):
    """Base of everything the hub is asked: unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Invalid(Answer):
    """One field that did not pass."""

    loc: str
    msg: str


class Problem(Answer):
    """RFC 9457 problem document. ``code`` is stable; ``mender`` says who can put it right."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    mender: str
    request_id: str
    errors: tuple[Invalid, ...] = ()
    current: str | None = Field(default=None, description="the consignment's state, with code wrong-state")
    allowed: tuple[str, ...] = Field(default=(), description="events that are possible in that state")
    digests: tuple[str, ...] = Field(default=(), description="contents to upload, with code content-missing")
    receipt: Base64 | None = Field(
        default=None, description="the receipt of the refusal, or of the act that came first"
    )


class DocumentView(Answer):
    """A document of a dispatch, as its sender named it."""

    role: str = Field(description="contents or attachment")
    name: str
    media_type: str
    size: int
    digest: Sha256


class EvidenceRef(Answer):
    """One evidence; its receipt is at /v1/receipts/{evidence_id}."""

    evidence_id: Uuid7
    event: str
    event_time: datetime
    recorded_at: datetime = Field(description="the hub's time of receipt, the ledger entry's t")
    actor: str


class ConsignmentRef(Answer):
    """The consignment that a submission made for one recipient."""

    consignment_id: Uuid7
    recipient: UnitText
    role: str = Field(description="main (主送) or copy (抄送)")


class SubmissionAnswer(Answer):
    """The answer to a submission; the same bytes get this answer again, byte for byte."""

    dispatch_id: Uuid7
    evidence_id: Uuid7
    consignments: tuple[ConsignmentRef, ...]
    receipt: Base64 = Field(description="receipt container (ASiC-S) of E01")


class ConsignmentView(Answer):
    """A consignment as one of its two parties sees it."""

    consignment_id: Uuid7
    dispatch_id: Uuid7
    dispatch: Sha256
    sender: UnitText
    recipient: UnitText
    role: str
    state: str
    overdue: bool = Field(description="已逾期: due_at has passed and nobody has signed for it")
    title: str
    issued_number: str | None = None
    urgency: str | None = None
    submitted_at: datetime
    due_at: datetime
    expires_at: datetime
    changed_at: datetime
    documents: tuple[DocumentView, ...]
    evidence: tuple[EvidenceRef, ...]
    last_evidence: Uuid7 = Field(description="what the next act names as previous")
    allowed: tuple[str, ...] = Field(description="events that are possible now")
    cursor: int = Field(description="grows with every change; give it back as after=")


class InboxPage(Answer):
    """Consignments of the asking unit that changed after a cursor, oldest change first."""

    items: tuple[ConsignmentView, ...]
    cursor: int


class DispatchView(Answer):
    """A dispatch as its sender sees it."""

    dispatch_id: Uuid7
    dispatch: Sha256
    state: str = Field(description="aggregate over the consignments")
    title: str
    issued_number: str | None = None
    urgency: str | None = None
    submitted_at: datetime
    due_at: datetime
    expires_at: datetime
    documents: tuple[DocumentView, ...]
    consignments: tuple[ConsignmentView, ...]
    evidence: tuple[EvidenceRef, ...] = Field(description="evidence of the dispatch itself (E01)")


class OutboxPage(Answer):
    """Dispatches of the asking unit, newest first."""

    items: tuple[DispatchView, ...]
    next: str | None = Field(default=None, description="cursor of the next page")


class EnvelopeView(Answer):
    """The sender's signed envelope, exactly as received."""

    envelope: Base64
    signature: Base64


class ActRequest(Request):
    """A signed statement: ``evidence.json`` and its detached CAdES signature by the acting unit."""

    evidence: Base64 = Field(max_length=96 * 1024)
    signature: Base64 = Field(max_length=96 * 1024)


class ActAnswer(Answer):
    """The act was done. The same statement gets this answer again."""

    evidence_id: Uuid7
    consignment_id: Uuid7
    state: str
    receipt: Base64


class UnitView(Answer):
    """A unit of the directory."""

    unit: UnitText
    name: str
    can_receive: bool


class DirectoryPage(Answer):
    """Units of the directory, by code."""

    items: tuple[UnitView, ...]


class HubInfo(Answer):
    """What a party must know of the hub; public."""

    origin: str
    unit: UnitText
    name: str
    units_url: str = Field(description="base URL of the interface for units (mutual TLS)")
    public_url: str
    unit_seal_policy: str
    hub_evidence_policy: str
    ledger_policy: str = Field(description="tlog-policy of the ledger")
    anchors: tuple[str, ...] = Field(description="trust anchors, PEM. Compare the fingerprint out of band")
    intermediates: tuple[str, ...]
    max_content_bytes: int
    max_small_bytes: int
    max_expiry_days: int


class Whoami(Answer):
    """Who the hub takes the caller for."""

    unit: UnitText
    name: str
    certificate: Sha256


class EnrolmentRequest(Request):
    """A unit asks for its two certificates; each request proves possession of its key."""

    token: str = Field(min_length=16, max_length=128)
    seal_request: str = Field(max_length=16 * 1024, description="PKCS#10, PEM")
    tls_request: str = Field(max_length=16 * 1024, description="PKCS#10, PEM")


class EnrolmentAnswer(Answer):
    """The unit's certificates (PEM), and the hub it now belongs to."""

    unit: UnitText
    name: str
    seal_certificate: str
    tls_certificate: str
    hub: HubInfo


class Health(Answer):
    """One line per thing looked at."""

    ready: bool
    checks: dict[str, str]


class VersionInfo(Answer):
    """What runs here."""

    version: str
