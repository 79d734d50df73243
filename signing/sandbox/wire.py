"""What the pool and its workers say to each other: frames of JSON and bytes.

    4 bytes  length of the head, big-endian
    4 bytes  length of the payload
    head     one JSON object
    payload  bytes

Heads that a worker sends are read as strictly as a stranger's: a document may have
taken the worker over. Reports go through without loss; texts stay templates and
values, so that they are put into the reader's language at the edge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from pki.asn1 import encode_certificate, load_certificate
from pki.names import UnitId
from pki.path import AnchorKind, Purpose, TrustStore
from pki.revocation import RevocationList
from pki.text import Text
from signing.report import (
    FileReport,
    Finding,
    Indication,
    JsonObject,
    Result,
    SealReport,
    Severity,
    Step,
    TimeSource,
    Verdict,
)

MAX_HEAD = 4 * 1024 * 1024
MAX_PAYLOAD = 128 * 1024 * 1024
PREFIX = 8
MAX_NESTED = 4
"""How deep a sentence may stand within a sentence."""

E = TypeVar("E", bound=StrEnum)


class WireMalformed(Exception):
    """The other side sent something that is no frame, or no answer. Nothing may be concluded from it."""


def encode_frame(head: JsonObject, payload: bytes = b"") -> bytes:
    """One frame."""
    encoded = json.dumps(head, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()
    if len(encoded) > MAX_HEAD or len(payload) > MAX_PAYLOAD:
        raise WireMalformed("a frame that is too large")
    return len(encoded).to_bytes(4, "big") + len(payload).to_bytes(4, "big") + encoded + payload


def decode_prefix(prefix: bytes) -> tuple[int, int]:
    """The lengths of head and payload. Raises WireMalformed."""
    if len(prefix) != PREFIX:
        raise WireMalformed("a frame that ends too early")
    head, payload = int.from_bytes(prefix[:4], "big"), int.from_bytes(prefix[4:], "big")
    if head > MAX_HEAD or payload > MAX_PAYLOAD:
        raise WireMalformed("a frame that is too large")
    return head, payload


def decode_head(encoded: bytes) -> JsonObject:
    """The head of a frame. Raises WireMalformed."""
    try:
        head = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise WireMalformed(f"a head that is no JSON ({type(error).__name__})") from None
    if not isinstance(head, dict):
        raise WireMalformed("a head that is no object")
    return head


# --- trust stores and purposes, towards the worker


@dataclass(frozen=True, slots=True)
class TrustFrame:
    """A trust store, cut up for the wire; made once and sent to each worker once."""

    digest: str
    head: JsonObject
    payload: bytes


_KINDS: tuple[AnchorKind | None, ...] = (None, "evidence", "seals", "time")


def encode_trust(trust: TrustStore) -> TrustFrame:
    """A trust store as lengths (in the head) and DER values (in the payload)."""
    groups: list[list[bytes]] = [
        [encode_certificate(one) for one in trust.anchors_for(kind).certificates] for kind in _KINDS
    ]
    groups.append([encode_certificate(one) for one in trust.intermediates])
    groups.append([one.der for one in trust.revocations.all()])
    return TrustFrame(
        trust.digest,
        {"op": "trust", "digest": trust.digest, "lengths": [[len(der) for der in group] for group in groups]},
        b"".join(der for group in groups for der in group),
    )


def decode_trust(head: JsonObject, payload: bytes) -> TrustStore:
    """The inverse of :func:`encode_trust`, checked against its digest. For the worker, who believes the pool."""
    lengths = head["lengths"]
    if not isinstance(lengths, list):
        raise WireMalformed("a trust store without lengths")
    groups: list[list[bytes]] = []
    at = 0
    for group in lengths:
        values = []
        for length in group:
            values.append(payload[at : at + length])
            at += length
        groups.append(values)
    general, evidence, seals, time, intermediates = (_certificates(group) for group in groups[:5])
    trust = TrustStore.of(
        general,
        intermediates,
        [RevocationList.decode(der) for der in groups[5]],
        evidence=evidence,
        seals=seals,
        time=time,
    )
    if trust.digest != head["digest"]:
        raise WireMalformed("a trust store that changed on the way")
    return trust


def _certificates(encoded: list[bytes]) -> list[x509.Certificate]:
    return [load_certificate(der) for der in encoded]


def encode_purpose(purpose: Purpose) -> JsonObject:
    """A purpose as JSON, with every rule it has."""
    return {
        "name": purpose.name,
        "key_usage": sorted(purpose.key_usage),
        "extended_key_usage": _dotted(purpose.extended_key_usage),
        "policy": _dotted(purpose.policy),
        "anchors": purpose.anchors,
        "usage_may_be_absent": purpose.usage_may_be_absent,
        "usage_alone": purpose.usage_alone,
        "forbidden_usages": sorted(one.dotted_string for one in purpose.forbidden_usages),
    }


def decode_purpose(value: object) -> Purpose:
    """The inverse of :func:`encode_purpose`. Raises WireMalformed."""
    fields = _object(value)
    usages, forbidden = _list(fields, "key_usage"), _list(fields, "forbidden_usages")
    anchors = fields["anchors"]
    for kind in _KINDS:
        if anchors == kind:
            return Purpose(
                name=_text(fields, "name"),
                key_usage=frozenset(str(one) for one in usages),
                extended_key_usage=_oid(fields["extended_key_usage"]),
                policy=_oid(fields["policy"]),
                anchors=kind,
                usage_may_be_absent=fields["usage_may_be_absent"] is True,
                usage_alone=fields["usage_alone"] is True,
                forbidden_usages=frozenset(ObjectIdentifier(str(one)) for one in forbidden),
            )
    raise WireMalformed("a purpose with anchors of an unknown kind")


def _dotted(oid: ObjectIdentifier | None) -> str | None:
    return None if oid is None else oid.dotted_string


def _oid(value: object) -> ObjectIdentifier | None:
    return None if value is None else ObjectIdentifier(str(value))


# --- reports, towards the pool


def encode_report(report: FileReport) -> JsonObject:
    """A report as JSON, without loss."""
    return {
        "file": report.file,
        "verdict": report.verdict.value,
        "indication": report.indication.value,
        "sub_indication": report.sub_indication,
        "seals": [_encode_seal(seal) for seal in report.seals],
        "findings": [
            {"code": one.code, "severity": one.severity.value, "text": _encode_text(one.text)}
            for one in report.findings
        ],
    }


def decode_report(value: object) -> FileReport:
    """The inverse of :func:`encode_report`.

    Raises:
        WireMalformed: anything that is missing, of another type, or beside it.
    """
    fields = _object(value, "file", "verdict", "indication", "sub_indication", "seals", "findings")
    return FileReport(
        file=_text(fields, "file"),
        verdict=_enum(Verdict, fields, "verdict"),
        indication=_enum(Indication, fields, "indication"),
        sub_indication=_text_or_none(fields, "sub_indication"),
        seals=tuple(_decode_seal(one) for one in _list(fields, "seals")),
        findings=tuple(_decode_finding(one) for one in _list(fields, "findings")),
    )


def _encode_seal(seal: SealReport) -> JsonObject:
    return {
        "format": seal.format,
        "verdict": seal.verdict.value,
        "indication": seal.indication.value,
        "sub_indication": seal.sub_indication,
        "signer": seal.signer,
        "time": None if seal.time is None else seal.time.isoformat(),
        "time_source": None if seal.time_source is None else seal.time_source.value,
        "steps": [
            {"step": one.step, "result": one.result.value, "detail": _encode_text(one.detail)}
            for one in seal.steps
        ],
        "unit": seal.unit,
        "certificate": seal.certificate,
    }


_SEAL = (
    "format", "verdict", "indication", "sub_indication", "signer", "time", "time_source", "steps", "unit",
    "certificate",
)  # fmt: skip


def _decode_seal(value: object) -> SealReport:
    fields = _object(value, *_SEAL)
    time, unit = _text_or_none(fields, "time"), _text_or_none(fields, "unit")
    return SealReport(
        format=_text(fields, "format"),
        verdict=_enum(Verdict, fields, "verdict"),
        indication=_enum(Indication, fields, "indication"),
        sub_indication=_text_or_none(fields, "sub_indication"),
        signer=_text(fields, "signer"),
        time=None if time is None else _time(time),
        time_source=None if fields["time_source"] is None else _enum(TimeSource, fields, "time_source"),
        steps=tuple(_decode_step(one) for one in _list(fields, "steps")),
        unit=None if unit is None else UnitId(unit),
        certificate=_text_or_none(fields, "certificate"),
    )


def _decode_step(value: object) -> Step:
    fields = _object(value, "step", "result", "detail")
    return Step(_text(fields, "step"), _enum(Result, fields, "result"), decode_text(fields["detail"]))


def _decode_finding(value: object) -> Finding:
    fields = _object(value, "code", "severity", "text")
    return Finding(_text(fields, "code"), _enum(Severity, fields, "severity"), decode_text(fields["text"]))


def _encode_text(words: Text) -> list[object]:
    fields = [
        [name, _encode_text(value) if isinstance(value, Text) else value] for name, value in words.fields
    ]
    return [words.template, fields]


def decode_text(value: object, *, depth: int = 0) -> Text:
    """A template and its values, which fit each other. Raises WireMalformed."""
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list) or depth > MAX_NESTED:
        raise WireMalformed("a text of another form")
    template, pairs = value
    fields: list[tuple[str, str | Text]] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise WireMalformed("a text with odd values")
        name, given = pair
        fields.append((name, given if isinstance(given, str) else decode_text(given, depth=depth + 1)))
    if not isinstance(template, str):
        raise WireMalformed("a text without a template")
    words = Text(template, tuple(fields))
    try:
        str(words)
    except (KeyError, ValueError, IndexError, AttributeError):
        raise WireMalformed("a text whose values do not fit it") from None
    return words


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise WireMalformed("a time that is none") from None
    if time.tzinfo is None:
        raise WireMalformed("a time without a zone")
    return time


def decode_time(value: object) -> datetime:
    """A time with its zone. Raises WireMalformed."""
    if not isinstance(value, str):
        raise WireMalformed("a time that is no text")
    return _time(value)


def _object(value: object, *keys: str) -> JsonObject:
    if not isinstance(value, dict) or (keys and set(value) != set(keys)):
        raise WireMalformed("an object of another form")
    return value


def _list(fields: JsonObject, key: str) -> list[object]:
    value = fields[key]
    if not isinstance(value, list):
        raise WireMalformed(f"{key} is no list")
    return value


def _text(fields: JsonObject, key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise WireMalformed(f"{key} is no text")
    return value


def _text_or_none(fields: JsonObject, key: str) -> str | None:
    return None if fields[key] is None else _text(fields, key)


def _enum(kind: type[E], fields: JsonObject, key: str) -> E:
    try:
        return kind(_text(fields, key))
    except ValueError:
        raise WireMalformed(f"{key} has an unknown value") from None
