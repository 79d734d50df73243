"""What one ledger entry contains (FORMATS §4; the ledger itself treats entries as opaque bytes).

    {"commit":"sha256:…","kind":"evidence.consignment_acceptance","n":4711,"rid":"8f14…","stream":"c9f0…",
     "t":"2026-11-21T20:00:00.123Z","v":1}

It holds no personal data. ``commit`` is salted, so that somebody who holds the
document cannot confirm from the ledger that it was sent; deleting the salt makes
the entry meaningless. ``n`` counts densely per ``stream`` (one per pair of sender
and recipient), so that both see an omission. ``t`` is the hub's time of receipt.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from exchange.protocol import canonical
from exchange.protocol.errors import EntryMalformed, JsonMalformed
from exchange.protocol.fields import Fields
from exchange.protocol.identifiers import Digest, format_time

VERSION = 1
MAX_ENTRY = 4096
SALT_SIZE = 32
_ID = re.compile(r"[0-9a-f]{32}")
_KIND = re.compile(r"(evidence|admin|ledger|anchor|payload)\.[a-z][a-z0-9_]{0,60}")
_DOMAIN = b"gongwen-evidence-v1\x00"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, decoded."""

    commit: Digest
    kind: str
    n: int
    rid: str
    """Random id of this record, 32 hexadecimal digits."""
    stream: str
    """Random id of the stream, 32 hexadecimal digits."""
    t: datetime


def commitment(*, salt: bytes, evidence: bytes, signature: bytes) -> Digest:
    """What the ledger commits to: the evidence *and* its signatures, under a salt.

    SHA-256("gongwen-evidence-v1" ‖ 0x00 ‖ salt[32] ‖ SHA-256(evidence.json) ‖ SHA-256(signature.p7s)):
    the signatures are in it so that the ledger's time dates them too.
    """
    if len(salt) != SALT_SIZE:
        raise EntryMalformed(detail="the salt must have 32 bytes")
    inner = hashlib.sha256(evidence).digest() + hashlib.sha256(signature).digest()
    return Digest("sha256:" + hashlib.sha256(_DOMAIN + salt + inner).hexdigest())


def encode_entry(entry: Entry) -> bytes:
    """The exact bytes that enter the ledger."""
    # Written out, because it is on the hot path and every field is of a fixed, escape-free form;
    # a test compares with canonical.encode.
    return (
        f'{{"commit":"{entry.commit}","kind":"{entry.kind}","n":{entry.n},"rid":"{entry.rid}",'
        f'"stream":"{entry.stream}","t":"{format_time(entry.t)}","v":{VERSION}}}'
    ).encode("ascii")


def decode_entry(data: bytes) -> Entry:
    """Read an entry.

    Raises:
        EntryMalformed: not the bytes that :func:`encode_entry` gives for any entry.
    """
    try:
        value = canonical.decode(data, max_bytes=MAX_ENTRY)
    except JsonMalformed as error:
        raise EntryMalformed(detail=str(error.text.fields[0][1])) from None
    read = Fields(value, lambda detail: EntryMalformed(detail=detail))
    read.constant("v", VERSION)
    entry = Entry(
        commit=read.digest("commit"),
        kind=read.text("kind", max_length=64),
        n=read.integer("n", low=1, high=(1 << 53) - 1),
        rid=read.text("rid", max_length=32),
        stream=read.text("stream", max_length=32),
        t=read.time("t"),
    )
    read.done()
    if not _KIND.fullmatch(entry.kind):
        raise EntryMalformed(detail="kind: is not a known family")
    if not _ID.fullmatch(entry.rid) or not _ID.fullmatch(entry.stream):
        raise EntryMalformed(detail="rid, stream: must have 32 hexadecimal digits")
    return entry
