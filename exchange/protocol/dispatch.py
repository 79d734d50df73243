"""The envelope of a dispatch: ``dispatch.json``, signed by the sending unit (FORMATS §2).

    {"attachments":[],"contents":{"digest":"sha256:9f86…","media_type":"application/pdf","name":"正文.pdf",
     "size":102400},"dispatch_id":"018f6c2e-…","due_at":"2026-11-25T09:00:00.000Z",
     "expires_at":"2026-12-21T09:00:00.000Z","metadata":{"issued_number":"府办发〔2026〕12号",
     "title":"关于开展数据共享工作的通知","urgency":"平件"},"origin":"hub.example.gov",
     "recipients":{"copy":["…"],"main":["…"]},"sender":"…","sent_at":"2026-11-21T09:00:00.000Z","version":1}

(white space added here only). Metadata are elements of GB/T 33480; the table of
names is in ``docs/vocabulary.md``. This module says whether an envelope is well
formed, not whether anything in it is true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache

from exchange.protocol import canonical
from exchange.protocol.canonical import Json
from exchange.protocol.errors import EnvelopeMalformed, JsonMalformed
from exchange.protocol.fields import Fields
from exchange.protocol.identifiers import Digest, DispatchId, format_time
from pki.names import UnitId
from signing.container import check_entry_name
from signing.errors import ContainerMalformed

VERSION = 1
MAX_ENVELOPE = 512 * 1024
MAX_ATTACHMENTS = 200
MAX_RECIPIENTS = 5000
MAX_SIZE = 1 << 40
URGENCIES = ("特急", "加急", "平件")
"""GB/T 9704-2012 §7.2.3; 平件 is the absence of a mark there."""
UNCLASSIFIED = "无"
"""The one value of 密级 (``classification``) that enters, besides its absence."""

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
_ISSUED_NUMBER = re.compile(r"\S{1,30}〔[0-9]{4}〕[1-9][0-9]{0,5}号")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a dispatch: its digest, and how the sender calls it."""

    digest: Digest
    media_type: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """Elements of GB/T 33480 that the sender fills in; identifier and recipients stand in the envelope."""

    title: str
    """标题"""
    issued_number: str | None = None
    """发文字号, ``机关代字〔年份〕序号号``"""
    urgency: str | None = None
    """紧急程度, one of :data:`URGENCIES`"""
    document_type: str | None = None
    """文种"""
    classification: str | None = None
    """密级和保密期限; anything but :data:`UNCLASSIFIED` is refused at intake"""
    copy_number: str | None = None
    """份号"""
    issuer_mark: str | None = None
    """发文机关标志"""
    signatory: str | None = None
    """签发人"""
    attachments_note: str | None = None
    """附件说明"""
    signature_line: str | None = None
    """发文机关或签发人署名"""
    issued_on: str | None = None
    """成文日期, ``2026-11-21``"""
    annotation: str | None = None
    """附注"""
    printing_unit: str | None = None
    """印发机关"""
    printed_on: str | None = None
    """印发日期, ``2026-11-21``"""
    release_level: str | None = None
    """发布层次"""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One act of sending: documents, their metadata, and to whom they go."""

    dispatch_id: DispatchId
    sender: UnitId
    origin: str
    """The hub it is for."""
    main: tuple[UnitId, ...]
    """主送"""
    copy: tuple[UnitId, ...]
    """抄送"""
    contents: Document
    """正文, the main document"""
    attachments: tuple[Document, ...]
    metadata: Metadata
    sent_at: datetime
    due_at: datetime
    """签收期限; passing it flags the consignment as overdue"""
    expires_at: datetime
    """passing it closes the consignment"""

    @property
    def documents(self) -> tuple[Document, ...]:
        """The main document, then the attachments."""
        return (self.contents, *self.attachments)

    @property
    def recipients(self) -> tuple[UnitId, ...]:
        """主送 first, then 抄送."""
        return self.main + self.copy


def encode_dispatch(dispatch: Dispatch) -> bytes:
    """``dispatch.json``, the bytes that the sending unit signs.

    Raises:
        EnvelopeMalformed: a value that :func:`decode_dispatch` would refuse.
    """
    value: dict[str, Json] = {
        "attachments": [_document_json(document) for document in dispatch.attachments],
        "contents": _document_json(dispatch.contents),
        "dispatch_id": dispatch.dispatch_id,
        "due_at": format_time(dispatch.due_at),
        "expires_at": format_time(dispatch.expires_at),
        "metadata": {
            field.name: element
            for field in fields(Metadata)
            if (element := getattr(dispatch.metadata, field.name)) is not None
        },
        "origin": dispatch.origin,
        "recipients": {"copy": list(dispatch.copy), "main": list(dispatch.main)},
        "sender": dispatch.sender,
        "sent_at": format_time(dispatch.sent_at),
        "version": VERSION,
    }
    data = canonical.encode(value)
    decode_dispatch(data)
    return data


# One submission is read at several steps; the same bytes give the same value. At most 32 MiB are held.
@lru_cache(maxsize=64)
def decode_dispatch(data: bytes) -> Dispatch:
    """Read ``dispatch.json``: every field known, present and of its form.

    Raises:
        EnvelopeMalformed: it is not; the detail names the field.
    """
    try:
        value = canonical.decode(data, max_bytes=MAX_ENVELOPE)
    except JsonMalformed as error:
        raise EnvelopeMalformed(detail=str(error.text.fields[0][1])) from None
    read = Fields(value, lambda detail: EnvelopeMalformed(detail=detail))
    read.constant("version", VERSION)
    recipients = read.object("recipients")
    main = _units(recipients, "main")
    copy = _units(recipients, "copy")
    recipients.done()
    dispatch = Dispatch(
        dispatch_id=DispatchId(read.uuid7("dispatch_id")),
        sender=read.unit("sender"),
        origin=read.text("origin", max_length=253),
        main=main,
        copy=copy,
        contents=_document(read.object("contents"), ""),
        attachments=tuple(
            _document(read.nested(item, "attachments"), "attachments")
            for item in read.items("attachments", max_items=MAX_ATTACHMENTS)
        ),
        metadata=_metadata(read.object("metadata")),
        sent_at=read.time("sent_at"),
        due_at=read.time("due_at"),
        expires_at=read.time("expires_at"),
    )
    read.done()
    if not main:
        raise EnvelopeMalformed(detail="recipients.main: names nobody")
    if len(dispatch.recipients) > MAX_RECIPIENTS:
        raise EnvelopeMalformed(detail=f"recipients: more than {MAX_RECIPIENTS}")
    if len(set(dispatch.recipients)) != len(dispatch.recipients):
        raise EnvelopeMalformed(detail="recipients: a unit is named twice")
    names = [document.name for document in dispatch.documents]
    if len(set(names)) != len(names):
        raise EnvelopeMalformed(detail="attachments: two documents have one name")
    if not dispatch.sent_at <= dispatch.due_at <= dispatch.expires_at:
        raise EnvelopeMalformed(detail="due_at: must lie between sent_at and expires_at")
    return dispatch


def is_unclassified(metadata: Metadata) -> bool:
    """Whether 密级 is absent or says that there is none (FORMATS §9)."""
    return metadata.classification in (None, UNCLASSIFIED)


def _document_json(document: Document) -> Mapping[str, Json]:
    return {
        "digest": document.digest,
        "media_type": document.media_type,
        "name": document.name,
        "size": document.size,
    }


def _document(read: Fields, key: str) -> Document:
    media_type = read.text("media_type", max_length=127)
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise read.complaint("media_type", "must be a media type like application/pdf")
    name = read.text("name", max_length=200)
    # Names reach file systems and archives of the recipients: no way out of a folder.
    if "/" in name or "\\" in name or name in (".", "..") or name != name.strip():
        raise read.complaint("name", "must be a plain file name")
    try:
        # It must be able to stand in a package: no signs that turn the direction of writing.
        check_entry_name(f"documents/{name}")
    except ContainerMalformed:
        raise read.complaint("name", "must be a plain file name") from None
    document = Document(
        digest=read.digest("digest"),
        media_type=media_type,
        name=name,
        size=read.integer("size", low=1, high=MAX_SIZE),
    )
    read.done()
    return document


def _units(read: Fields, key: str) -> tuple[UnitId, ...]:
    items: Sequence[Json] = read.items(key, max_items=MAX_RECIPIENTS)
    return tuple(read.checked_unit(item, key) for item in items)


def _metadata(read: Fields) -> Metadata:
    metadata = Metadata(
        title=read.text("title"),
        **{field.name: read.optional_text(field.name) for field in fields(Metadata) if field.name != "title"},
    )
    read.done()
    if metadata.urgency is not None and metadata.urgency not in URGENCIES:
        raise read.complaint("urgency", f"must be one of {' '.join(URGENCIES)}")
    if metadata.issued_number is not None and not _ISSUED_NUMBER.fullmatch(metadata.issued_number):
        raise read.complaint("issued_number", "must be like 府办发〔2026〕12号")
    for key in ("issued_on", "printed_on"):
        value: str | None = getattr(metadata, key)
        if value is not None and not _is_date(value):
            raise read.complaint(key, "must be a date like 2026-11-21")
    return metadata


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return False
    return True
