"""Envelope, evidence and entry: strict and inverse, and whatever does not fit is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.protocol import canonical
from exchange.protocol.dispatch import (
    MAX_ATTACHMENTS,
    MAX_ENVELOPE,
    MAX_RECIPIENTS,
    Dispatch,
    Document,
    Metadata,
    decode_dispatch,
    encode_dispatch,
    is_unclassified,
)
from exchange.protocol.entry import MAX_ENTRY, Entry, commitment, decode_entry, encode_entry
from exchange.protocol.errors import EntryMalformed, EnvelopeMalformed, EvidenceMalformed, ExchangeError
from exchange.protocol.events import REASONS, Event
from exchange.protocol.evidence import (
    MAX_EVIDENCE,
    MAX_REASONS,
    Evidence,
    Reason,
    decode_evidence,
    encode_evidence,
)
from exchange.protocol.fields import is_plain_text, plain_text
from exchange.protocol.identifiers import digest_of, format_time
from exchange.protocol.package import DOCUMENTS
from signing.container import check_entry_name
from tests.exchange.protocol.builders import (
    ENTRIES,
    OF_SUBMISSION,
    SAME_EVERY_TIME,
    WRONG,
    a_dispatch,
    an_entry,
    an_evidence,
    an_id,
    at,
    changed,
    dispatches,
    edits,
    evidences,
    objects,
    places,
    texts,
)
from tests.worlds.pki import NOW, a_unit_id


@dataclass(frozen=True)
class Format:
    """A pair of functions, its malformed error, and an example."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], object]
    malformed: type[ExchangeError]
    example: object
    optional: frozenset[str]

    @property
    def data(self) -> bytes:
        return self.encode(self.example)


OPTIONAL_METADATA = frozenset(field.name for field in fields(Metadata)) - {"title"}
FORMATS = {
    "dispatch": Format(encode_dispatch, decode_dispatch, EnvelopeMalformed, a_dispatch(), OPTIONAL_METADATA),
    "evidence": Format(
        encode_evidence,
        decode_evidence,
        EvidenceMalformed,
        an_evidence(),
        frozenset({"issued_number", "reasons"}),
    ),
    "rejection": Format(
        encode_evidence,
        decode_evidence,
        EvidenceMalformed,
        an_evidence(Event.SUBMISSION_REJECTION),
        frozenset({"issued_number", "dispatch_id"}),
    ),
    "entry": Format(encode_entry, decode_entry, EntryMalformed, an_entry(), frozenset()),
}
every_format = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())


@given(dispatches())
@SAME_EVERY_TIME
def test_dispatches_come_back(dispatch: Dispatch) -> None:
    data = encode_dispatch(dispatch)
    assert decode_dispatch(data) == dispatch
    assert encode_dispatch(decode_dispatch(data)) == data


@given(evidences())
@SAME_EVERY_TIME
def test_evidence_comes_back(evidence: Evidence) -> None:
    data = encode_evidence(evidence)
    assert decode_evidence(data) == evidence
    assert encode_evidence(decode_evidence(data)) == data


@given(ENTRIES)
@SAME_EVERY_TIME
def test_entries_come_back_and_are_canonical(entry: Entry) -> None:
    data = encode_entry(entry)
    assert decode_entry(data) == entry
    assert len(data) <= MAX_ENTRY
    assert data == canonical.encode(
        {
            "commit": entry.commit,
            "kind": entry.kind,
            "n": entry.n,
            "rid": entry.rid,
            "stream": entry.stream,
            "t": format_time(entry.t),
            "v": 1,
        }
    )


@every_format
def test_the_example_comes_back(format_: Format) -> None:
    assert format_.decode(format_.data) == format_.example


@every_format
def test_every_single_byte_edit_is_refused_or_given_back(format_: Format) -> None:
    taken = 0
    for edited in edits(format_.data, 0x01, 0x02, 0x20, 0x80):
        try:
            value = format_.decode(edited)
        except format_.malformed:
            continue
        taken += 1
        assert format_.encode(value) == edited
    assert taken


def test_every_value_of_every_byte_of_an_entry() -> None:
    data = encode_entry(an_entry())
    for place in range(len(data)):
        for value in range(256):
            edited = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                entry = decode_entry(edited)
            except EntryMalformed:
                continue
            assert encode_entry(entry) == edited


@every_format
def test_every_field_that_is_missing_is_named(format_: Format) -> None:
    value = canonical.decode(format_.data)
    for place in places(value):
        if isinstance(place[-1], int):
            continue
        missing = changed(format_.data, place, lambda holder, key: holder.pop(key))
        if place[-1] in format_.optional:
            format_.decode(missing)
            continue
        with pytest.raises(format_.malformed) as error:
            format_.decode(missing)
        assert str(place[-1]) in str(error.value)


@every_format
def test_every_field_that_is_unknown_is_named(format_: Format) -> None:
    value = canonical.decode(format_.data)
    for place in objects(value):

        def add(holder: Any, key: str | int) -> None:
            holder[key] = "x"

        with pytest.raises(format_.malformed, match="zzz: is not a known field"):
            format_.decode(changed(format_.data, (*place, "zzz"), add))
        with pytest.raises(format_.malformed, match="aaa: is not a known field"):
            format_.decode(changed(format_.data, (*place, "aaa"), add))


@every_format
def test_every_field_of_a_wrong_type_is_named(format_: Format) -> None:
    """Whatever stands in a field: it is refused under the field's name, or is given back byte for byte."""
    value = canonical.decode(format_.data)
    refused = 0
    for place in places(value):
        names = [str(part) for part in place if isinstance(part, str)]
        for wrong in WRONG:
            if wrong == at(value, place) and type(wrong) is type(at(value, place)):
                continue

            def put(holder: Any, key: str | int, wrong: Any = wrong) -> None:
                holder[key] = wrong

            data = changed(format_.data, place, put)
            try:
                decoded = format_.decode(data)
            except format_.malformed as error:
                refused += 1
                said = str(error)
                # A rule that joins fields may name the other one.
                assert any(name in said for name in names) or ":" in said
                if not isinstance(wrong, str | list):
                    assert names[-1] in said or names[0] in said
            else:
                assert format_.encode(decoded) == data
    assert refused > 50


@every_format
def test_the_whole_must_be_an_object(format_: Format) -> None:
    for data in (b"[]", b'"x"', b"1", b"true", b"{}", b"", b"[{}]"):
        with pytest.raises(format_.malformed):
            format_.decode(data)


@every_format
@given(data=st.binary(max_size=200))
@SAME_EVERY_TIME
def test_any_bytes_raise_the_formats_own_error(format_: Format, data: bytes) -> None:
    with pytest.raises(format_.malformed):
        format_.decode(data)


@pytest.mark.parametrize(
    ("name", "limit"), [("dispatch", MAX_ENVELOPE), ("evidence", MAX_EVIDENCE), ("entry", MAX_ENTRY)]
)
def test_longer_than_allowed(name: str, limit: int) -> None:
    format_ = FORMATS[name]
    with pytest.raises(format_.malformed, match=str(limit)):
        format_.decode(b'{"a":"' + b"x" * limit + b'"}')


# --- envelopes


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"main": ()}, "recipients.main"),
        ({"copy": (a_unit_id(2),)}, "recipients"),
        ({"main": (a_unit_id(5), a_unit_id(5))}, "recipients"),
        ({"attachments": (replace(a_dispatch().contents, size=9),)}, "attachments"),
        ({"due_at": NOW - timedelta(milliseconds=1)}, "due_at"),
        ({"expires_at": NOW}, "due_at"),
        ({"metadata": Metadata(title="")}, "title"),
        ({"metadata": Metadata(title="x" * 513)}, "title"),
        ({"metadata": Metadata(title="x", urgency="急")}, "urgency"),
        ({"metadata": Metadata(title="x", issued_number="12号")}, "issued_number"),
        ({"metadata": Metadata(title="x", issued_number="府办发〔2026〕012号")}, "issued_number"),
        ({"metadata": Metadata(title="x", issued_number="府办发〔２０２６〕12号")}, "issued_number"),
        ({"metadata": Metadata(title="x", issued_number="府办发〔2026〕1２号")}, "issued_number"),
        ({"metadata": Metadata(title="x", issued_on="2026-02-30")}, "issued_on"),
        ({"metadata": Metadata(title="x", issued_on="２０２６-11-21")}, "issued_on"),
        ({"metadata": Metadata(title="x", printed_on="2026-1-1")}, "printed_on"),
        ({"origin": ""}, "origin"),
        ({"sender": "x"}, "sender"),
        ({"dispatch_id": "018F6C2E-3D50-7A11-9C7E-5B0C1D2E3F40"}, "dispatch_id"),
        ({"dispatch_id": "018f6c2e-3d50-4a11-9c7e-5b0c1d2e3f40"}, "dispatch_id"),
    ],
)
def test_envelopes_that_nobody_may_write(change: dict[str, Any], named: str) -> None:
    with pytest.raises(EnvelopeMalformed) as error:
        encode_dispatch(replace(a_dispatch(), **change))
    assert named in str(error.value)


BAD_NAMES = [
    "",
    ".",
    "..",
    "a/b",
    "../a",
    "a\\b",
    " a",
    "a ",
    "a\nb",
    "a\x00",
    "a\u2028b",
    "x" * 201,
    "e\u0301.pdf",
    "报告\u202efdp.exe",
    "\u200fa.pdf",
    "a\u2066b.pdf",
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_document_names_that_lead_elsewhere_or_deceive(name: str) -> None:
    document = Document(digest_of(b"x"), "text/plain", name, 1)
    with pytest.raises((EnvelopeMalformed, ExchangeError)):
        encode_dispatch(replace(a_dispatch(), attachments=(document,)))


@given(texts(200))
@SAME_EVERY_TIME
def test_every_document_name_that_is_taken_can_stand_in_a_package(name: str) -> None:
    document = Document(digest_of(b"x"), "text/plain", name, 1)
    try:
        encode_dispatch(replace(a_dispatch(), attachments=(document,)))
    except EnvelopeMalformed:
        return
    check_entry_name(DOCUMENTS + name)


@pytest.mark.parametrize(
    "media_type",
    ["", "pdf", "application/", "/pdf", "Application/PDF", "a b/c", "text/plain; charset=utf-8", "a/b/c"],
)
def test_media_types_that_are_none(media_type: str) -> None:
    document = Document(digest_of(b"x"), media_type, "a.txt", 1)
    with pytest.raises(EnvelopeMalformed, match="media_type"):
        encode_dispatch(replace(a_dispatch(), attachments=(document,)))


@pytest.mark.parametrize("size", [0, -1, (1 << 40) + 1])
def test_sizes_that_are_none(size: int) -> None:
    with pytest.raises(EnvelopeMalformed, match="size"):
        encode_dispatch(replace(a_dispatch(), contents=replace(a_dispatch().contents, size=size)))


def test_as_many_as_allowed_and_one_more() -> None:
    units = tuple(a_unit_id(at) for at in range(10, MAX_RECIPIENTS + 11))
    dispatch = replace(a_dispatch(), copy=())
    decode_dispatch(encode_dispatch(replace(dispatch, main=units[:-1])))
    decode_dispatch(encode_dispatch(replace(dispatch, main=units[:1], copy=units[1:-1])))
    for many in (replace(dispatch, main=units), replace(dispatch, main=units[:1], copy=units[1:])):
        with pytest.raises(EnvelopeMalformed, match="recipients"):
            encode_dispatch(many)
    papers = tuple(Document(digest_of(b"x"), "text/plain", f"{n}.txt", 1) for n in range(MAX_ATTACHMENTS + 1))
    decode_dispatch(encode_dispatch(replace(dispatch, attachments=papers[:-1])))
    with pytest.raises(EnvelopeMalformed, match="attachments"):
        encode_dispatch(replace(dispatch, attachments=papers))


def test_the_largest_envelope_fits_its_cap() -> None:
    """5000 recipients and 200 attachments with the longest names in Chinese."""
    papers = tuple(
        Document(digest_of(b"x"), "application/pdf", f"{n:03}" + "长" * 197, 1 << 40)
        for n in range(MAX_ATTACHMENTS)
    )
    units = tuple(a_unit_id(at) for at in range(10, MAX_RECIPIENTS + 10))
    full = Metadata(**dict.fromkeys((f.name for f in fields(Metadata)), "长" * 512))
    full = replace(
        full, urgency="特急", issued_number="府〔2026〕1号", issued_on="2026-01-01", printed_on="2026-01-01"
    )
    data = encode_dispatch(replace(a_dispatch(), main=units, copy=(), attachments=papers, metadata=full))
    assert len(data) < MAX_ENVELOPE


def test_only_no_classification_is_unclassified() -> None:
    assert is_unclassified(Metadata(title="x"))
    assert is_unclassified(Metadata(title="x", classification="无"))
    for other in ("秘密", "机密", "绝密", "内部", "none", "无 "):
        assert not is_unclassified(Metadata(title="x", classification=other))


# --- evidence


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_every_event_can_be_stated(event: Event) -> None:
    evidence = an_evidence(event)
    assert decode_evidence(encode_evidence(evidence)) == evidence
    bare = replace(evidence, reasons=(), issued_number=None)
    if event.needs_reason:
        with pytest.raises(EvidenceMalformed, match="reasons"):
            encode_evidence(bare)
    else:
        assert decode_evidence(encode_evidence(bare)) == bare


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("field", ["consignment_id", "recipient", "previous"])
def test_what_belongs_to_consignments_belongs_to_nothing_else(event: Event, field: str) -> None:
    other = (
        an_evidence(Event.CONSIGNMENT_ACCEPTANCE) if event in OF_SUBMISSION else an_evidence(OF_SUBMISSION[0])
    )
    with pytest.raises(EvidenceMalformed, match=field):
        encode_evidence(replace(an_evidence(event), **{field: getattr(other, field)}))


@pytest.mark.parametrize("event", set(Event) - {Event.SUBMISSION_REJECTION}, ids=lambda event: event.name)
def test_only_a_refused_submission_may_lack_its_id_and_documents(event: Event) -> None:
    with pytest.raises(EvidenceMalformed, match="dispatch_id"):
        encode_evidence(an_evidence(event, dispatch_id=None))
    with pytest.raises(EvidenceMalformed, match="contents"):
        encode_evidence(an_evidence(event, contents=()))


@pytest.mark.parametrize("code", REASONS)
def test_reason_codes_are_bound_to_their_events(code: str) -> None:
    for event in Event:
        evidence = an_evidence(event, reasons=(Reason(code, "x"),))
        if event in REASONS[code]:
            decode_evidence(encode_evidence(evidence))
        else:
            with pytest.raises(EvidenceMalformed, match="reasons"):
                encode_evidence(evidence)


@pytest.mark.parametrize("code", ["", "A", "a_b", "9a", "a" * 65, "-a", "wrong recipient"])
def test_reason_codes_that_are_none(code: str) -> None:
    with pytest.raises(EvidenceMalformed, match="code"):
        encode_evidence(an_evidence(reasons=(Reason(code, "x"),)))


@pytest.mark.parametrize("text", ["", "a\nb", "\x00", "e\u0301", "\ud800", "x" * 2001, "a\u2028"], ids=ascii)
def test_what_could_not_be_read_is_not_written(text: str) -> None:
    """A statement that is signed and in the ledger must be one that everybody can read."""
    with pytest.raises(EvidenceMalformed, match="reasons"):
        encode_evidence(an_evidence(reasons=(Reason("some-reason", text),)))


def test_more_reasons_than_allowed() -> None:
    reasons = tuple(Reason("some-reason", str(at)) for at in range(MAX_REASONS + 1))
    decode_evidence(encode_evidence(an_evidence(reasons=reasons[:-1])))
    data = canonical.decode(encode_evidence(an_evidence()))
    assert isinstance(data, dict)
    data["reasons"] = [{"code": one.code, "text": one.text} for one in reasons]
    with pytest.raises(EvidenceMalformed, match="reasons"):
        decode_evidence(canonical.encode(data))


@pytest.mark.parametrize(
    "policy", ["", "2", "3.1", "2.25.01", "2.25.", "2..25", "a.b", "2.25.1\u0661", "2.25 "]
)
def test_policies_that_are_no_object_identifiers(policy: str) -> None:
    with pytest.raises(EvidenceMalformed, match="policy"):
        encode_evidence(an_evidence(policy=policy))


def test_an_event_under_another_name_is_none() -> None:
    data = encode_evidence(an_evidence())
    for old, new in (
        (b'"ConsignmentAcceptance"', b'"Acceptance"'),
        (b"Event/ConsignmentAcceptance", b"Event/ConsignmentRejection"),
        (b"http://uri.etsi.org/19522/Event/", b"urn:x-gongwen:event:"),
    ):
        with pytest.raises(EvidenceMalformed, match="event"):
            decode_evidence(data.replace(old, new))


@given(st.text(max_size=60))
@SAME_EVERY_TIME
def test_any_sentence_becomes_plain_text(sentence: str) -> None:
    plain = plain_text(sentence, max_length=50)
    assert is_plain_text(plain, max_length=50)
    if is_plain_text(sentence, max_length=50):
        assert plain == sentence
    encode_evidence(an_evidence(reasons=(Reason("some-reason", plain),)))


# --- entries


def test_the_commitment_depends_on_every_part() -> None:
    whole = commitment(salt=bytes(32), evidence=b"e", signature=b"s")
    assert whole == "sha256:" + _slow_commitment(bytes(32), b"e", b"s")
    others = {
        commitment(salt=bytes([1]) + bytes(31), evidence=b"e", signature=b"s"),
        commitment(salt=bytes(32), evidence=b"es", signature=b""),
        commitment(salt=bytes(32), evidence=b"", signature=b"es"),
        commitment(salt=bytes(32), evidence=b"s", signature=b"e"),
    }
    assert len(others | {whole}) == 5
    for length in (0, 31, 33):
        with pytest.raises(EntryMalformed):
            commitment(salt=bytes(length), evidence=b"e", signature=b"s")


def _slow_commitment(salt: bytes, evidence: bytes, signature: bytes) -> str:
    parts = [b"gongwen-evidence-v1", b"\x00", salt, sha256(evidence).digest(), sha256(signature).digest()]
    return sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "evidence"),
        ("kind", "other.thing"),
        ("kind", "evidence.Consignment"),
        ("n", 0),
        ("n", -1),
        ("rid", "8F14e45fceea167a5a36dedd4bea2543"),
        ("rid", "8f14"),
        ("stream", "g" * 32),
        ("commit", "sha256:00"),
        ("t", "2026-11-21T20:00:00Z"),
        ("t", "2026-11-21T20:00:00.123+00:00"),
        ("t", "2026-02-30T20:00:00.123Z"),
        ("t", "2026-11-21T24:00:00.000Z"),
        ("t", "2026-11-21T23:59:60.000Z"),
        ("t", "０２６-11-21T20:00:00.123Z"),
        ("v", 2),
        ("v", True),
    ],
)
def test_entries_that_are_none(field: str, value: object) -> None:
    def put(holder: Any, key: str | int) -> None:
        holder[key] = value

    with pytest.raises(EntryMalformed, match=field):
        decode_entry(changed(encode_entry(an_entry()), (field,), put))


def test_the_kind_of_every_event_is_one() -> None:
    kinds = [replace(an_entry(), kind=event.kind) for event in Event]
    assert [decode_entry(encode_entry(one)) for one in kinds] == kinds
    assert an_id(1) != an_id(2)
