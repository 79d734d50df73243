"""Values of the protocol for tests: one example of each, and hypothesis's ways to build any."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from exchange.protocol import canonical
from exchange.protocol.dispatch import URGENCIES, Dispatch, Document, Metadata
from exchange.protocol.entry import Entry
from exchange.protocol.events import REASONS, Event
from exchange.protocol.evidence import Actor, Evidence, Reason
from exchange.protocol.identifiers import ConsignmentId, Digest, DispatchId, EvidenceId, digest_of, uuid7
from pki.names import UnitId
from signing.container import check_entry_name
from signing.errors import ContainerMalformed
from tests.worlds.pki import NOW, a_unit_id

SAME_EVERY_TIME = settings(
    deadline=None, derandomize=True, database=None, max_examples=100, suppress_health_check=list(HealthCheck)
)
"""Tests are deterministic; how fast they are is not judged."""

SENDER, RECIPIENT, THIRD = a_unit_id(1), a_unit_id(2), a_unit_id(3)
OF_SUBMISSION = (Event.SUBMISSION_ACCEPTANCE, Event.SUBMISSION_REJECTION)


def an_id(number: int) -> str:
    return uuid7(NOW, number.to_bytes(10, "big"))


def a_dispatch() -> Dispatch:
    return Dispatch(
        dispatch_id=DispatchId(an_id(1)),
        sender=SENDER,
        origin="hub.example.gov",
        main=(RECIPIENT, UnitId(f"{THIRD}/办公室")),
        copy=(THIRD,),
        contents=Document(digest_of(b"main"), "application/pdf", "正文.pdf", 4),
        attachments=(
            Document(digest_of(b"first"), "application/pdf", "附件1.pdf", 5),
            Document(digest_of(b"second"), "text/plain", "附件2 说明.txt", 6),
        ),
        metadata=Metadata(
            title="关于开展数据共享工作的通知",
            issued_number="府办发〔2026〕12号",
            urgency="平件",
            issued_on="2026-11-21",
        ),
        sent_at=NOW,
        due_at=NOW + timedelta(days=4),
        expires_at=NOW + timedelta(days=30),
    )


def an_evidence(event: Event = Event.CONSIGNMENT_ACCEPTANCE, **changes: Any) -> Evidence:
    """A well-formed evidence of this event, with every field that it may have."""
    of_consignment = event not in OF_SUBMISSION
    code = next((code for code, events in REASONS.items() if event in events), "some-reason")
    values: dict[str, Any] = {
        "evidence_id": EvidenceId(an_id(2)),
        "event": event,
        "event_time": NOW,
        "actor": Actor(RECIPIENT, digest_of(b"certificate")),
        "origin": "hub.example.gov",
        "policy": "2.25.1234567890",
        "sender": SENDER,
        "dispatch": digest_of(b"dispatch"),
        "dispatch_id": DispatchId(an_id(1)),
        "submitted_at": NOW - timedelta(hours=1),
        "contents": (digest_of(b"main"), digest_of(b"first")),
        "recipient": RECIPIENT if of_consignment else None,
        "consignment_id": ConsignmentId(an_id(3)) if of_consignment else None,
        "issued_number": "府办发〔2026〕12号",
        "previous": EvidenceId(an_id(4)) if of_consignment else None,
        "reasons": (Reason(code, "不是发给我们的"),),
    }
    return Evidence(**(values | changes))


def an_entry() -> Entry:
    return Entry(
        commit=digest_of(b"commitment"),
        kind="evidence.consignment_acceptance",
        n=4711,
        rid="8f14e45fceea167a5a36dedd4bea2543",
        stream="c9f0f895fb98ab9159f51fd0297e236d",
        t=NOW + timedelta(milliseconds=123),
    )


# --- any


def _is_text(value: str) -> bool:
    return unicodedata.normalize("NFC", value) == value


def texts(max_size: int = 40) -> st.SearchStrategy[str]:
    """Strings as ``Fields.text`` takes them."""
    alphabet = st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"))
    return (
        st.text(alphabet, min_size=1, max_size=max_size)
        .map(lambda value: unicodedata.normalize("NFC", value))
        .filter(lambda value: 0 < len(value) <= max_size)
    )


def is_file_name(name: str) -> bool:
    if "/" in name or "\\" in name or name in (".", "..") or name != name.strip():
        return False
    try:
        check_entry_name(f"documents/{name}")
    except ContainerMalformed:
        return False
    return True


INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
UUIDS = st.builds(
    uuid7,
    st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC)),
    st.binary(min_size=10, max_size=10),
)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda raw: Digest("sha256:" + raw.hex()))
UNITS = st.one_of(
    st.integers(0, 999_999_999).map(a_unit_id),
    st.builds(
        lambda number, name: UnitId(f"{a_unit_id(number)}/{name}"),
        st.integers(0, 999_999_999),
        st.sampled_from(["办公室", "Office 1", "财务科"]),
    ),
)
DOCUMENTS = st.builds(
    Document,
    digest=DIGESTS,
    media_type=st.sampled_from(["application/pdf", "text/plain", "image/svg+xml"]),
    name=texts(60).filter(is_file_name),
    size=st.integers(1, 1 << 40),
)
DATES = st.dates().map(lambda day: f"{day.year:04d}-{day.month:02d}-{day.day:02d}")
OPTIONAL_TEXT = st.none() | texts()
METADATA = st.builds(
    Metadata,
    title=texts(200),
    issued_number=st.none()
    | st.builds("{}〔{:04d}〕{}号".format, st.just("府办发"), st.integers(0, 9999), st.integers(1, 999999)),
    urgency=st.none() | st.sampled_from(URGENCIES),
    document_type=OPTIONAL_TEXT,
    classification=OPTIONAL_TEXT,
    copy_number=OPTIONAL_TEXT,
    issuer_mark=OPTIONAL_TEXT,
    signatory=OPTIONAL_TEXT,
    attachments_note=OPTIONAL_TEXT,
    signature_line=OPTIONAL_TEXT,
    issued_on=st.none() | DATES,
    annotation=OPTIONAL_TEXT,
    printing_unit=OPTIONAL_TEXT,
    printed_on=st.none() | DATES,
    release_level=OPTIONAL_TEXT,
)


@st.composite
def dispatches(draw: st.DrawFn) -> Dispatch:
    recipients = draw(st.lists(UNITS, min_size=1, max_size=6, unique=True))
    cut = draw(st.integers(1, len(recipients)))
    documents = draw(st.lists(DOCUMENTS, min_size=1, max_size=4, unique_by=lambda one: one.name))
    sent_at, due_at, expires_at = sorted(draw(st.lists(INSTANTS, min_size=3, max_size=3)))
    return Dispatch(
        dispatch_id=DispatchId(draw(UUIDS)),
        sender=draw(UNITS),
        origin=draw(texts(60)),
        main=tuple(recipients[:cut]),
        copy=tuple(recipients[cut:]),
        contents=documents[0],
        attachments=tuple(documents[1:]),
        metadata=draw(METADATA),
        sent_at=sent_at,
        due_at=due_at,
        expires_at=expires_at,
    )


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    event = draw(st.sampled_from(list(Event)))
    of_consignment = event not in OF_SUBMISSION
    may_lack = event is Event.SUBMISSION_REJECTION
    codes = [code for code, events in REASONS.items() if event in events] + ["anything-else-9"]
    reasons = st.lists(
        st.builds(Reason, st.sampled_from(codes), texts(200)), min_size=int(event.needs_reason), max_size=8
    )
    return Evidence(
        evidence_id=EvidenceId(draw(UUIDS)),
        event=event,
        event_time=draw(INSTANTS),
        actor=Actor(draw(UNITS), draw(DIGESTS)),
        origin=draw(texts(60)),
        policy=draw(
            st.lists(st.integers(0, 2**100), min_size=1, max_size=5).map(
                lambda arcs: "2." + ".".join(map(str, arcs))
            )
        ),
        sender=draw(UNITS),
        dispatch=draw(DIGESTS),
        dispatch_id=None if may_lack and draw(st.booleans()) else DispatchId(draw(UUIDS)),
        submitted_at=draw(INSTANTS),
        contents=tuple(draw(st.lists(DIGESTS, min_size=int(not may_lack), max_size=5))),
        recipient=draw(UNITS) if of_consignment else None,
        consignment_id=ConsignmentId(draw(UUIDS)) if of_consignment else None,
        issued_number=draw(st.none() | texts()),
        previous=EvidenceId(draw(UUIDS)) if of_consignment else None,
        reasons=tuple(draw(reasons)),
    )


ENTRIES = st.builds(
    Entry,
    commit=DIGESTS,
    kind=st.sampled_from(
        [event.kind for event in Event] + ["admin.key_added", "ledger.opened", "anchor.tsp"]
    ),
    n=st.integers(1, 2**53 - 1),
    rid=st.binary(min_size=16, max_size=16).map(bytes.hex),
    stream=st.binary(min_size=16, max_size=16).map(bytes.hex),
    t=INSTANTS,
)


# --- broken in one place

Object = dict[str, Any]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place inside a JSON value, the keys of objects and the positions of arrays."""
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of every object, the whole first."""
    if isinstance(value, Mapping):
        yield path
    for place in places(value, path):
        found = at(value, place[len(path) :])
        if isinstance(found, Mapping):
            yield place


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(data: bytes, path: tuple[str | int, ...], change: Callable[[Any, str | int], None]) -> bytes:
    """The JSON with ``change`` made to the holder of the place, canonical again."""
    value = deepcopy(canonical.decode(data))
    change(at(value, path[:-1]), path[-1])
    return canonical.encode(value)


WRONG: list[Any] = [
    True,
    False,
    0,
    -1,
    2**53 - 1,
    "",
    "x",
    "\u200b",
    "e\u0301",
    "a\nb",
    [],
    ["x"],
    {},
    {"x": "y"},
]
"""Values of which at most a few fit anywhere."""


def edits(data: bytes, *masks: int) -> Iterator[bytes]:
    """Every single-byte edit: changed by each mask, left out, doubled."""
    for place in range(len(data)):
        for mask in masks:
            yield data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]
        yield data[:place] + data[place + 1 :]
        yield data[:place] + data[place : place + 1] + data[place:]
    yield data + b"\n"
    yield data + b"\x00"
    yield b"\xef\xbb\xbf" + data
