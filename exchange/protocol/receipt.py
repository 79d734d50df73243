"""The receipt: one file for ten years, ``NAME.receipt.asics`` (FORMATS §5).

    mimetype                          application/vnd.etsi.asic-s+zip
    evidence.json                     what happened
    META-INF/signature.p7s            who says so: the actor and the hub, in parallel
    META-INF/ledger.tlog-proof        that it is in the ledger; its ``extra`` holds entry and salt
    META-INF/ledger.tsr               once anchored: RFC 3161 response over the proof's checkpoint body
    META-INF/revocation/SHA256.crl    CRLs and OCSP responses for the signers' certificates

A deterministic, stored zip: the same parts give the same bytes, and nothing else is
read. This module packs and unpacks; ``judge`` decides what a receipt is worth.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from exchange.ledger.errors import LedgerError
from exchange.ledger.proof import TlogProof, decode_proof, encode_proof
from exchange.protocol import canonical
from exchange.protocol.entry import SALT_SIZE
from exchange.protocol.errors import JsonMalformed, ReceiptMalformed
from exchange.protocol.fields import Fields
from signing.container import ASIC_S, MIMETYPE, decode_container, encode_container
from signing.errors import ContainerMalformed

MEDIA_TYPE: Final = ASIC_S.decode()
SUFFIX: Final = ".receipt.asics"
EVIDENCE: Final = "evidence.json"
SIGNATURE: Final = "META-INF/signature.p7s"
PROOF: Final = "META-INF/ledger.tlog-proof"
ANCHOR: Final = "META-INF/ledger.tsr"
MAX_RECEIPT: Final = 16 << 20
"""Bytes; revocation lists are the bulk of it."""
MAX_REVOCATION: Final = 32
_REVOCATION = re.compile(r"META-INF/revocation/([0-9a-f]{64})\.(crl|ocsp)")


@dataclass(frozen=True, slots=True)
class Revocation:
    """A CRL or an OCSP response, exactly as it was issued; it is signed itself."""

    kind: str
    """``crl`` or ``ocsp``"""
    body: bytes

    @property
    def name(self) -> str:
        """Its place in the container, named by its digest."""
        return f"META-INF/revocation/{sha256(self.body).hexdigest()}.{self.kind}"


@dataclass(frozen=True, slots=True)
class Extra:
    """What the proof carries beside the proof: nothing in it counts until it re-hashes."""

    entry: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """The parts of a receipt, none of them judged."""

    evidence: bytes
    signature: bytes
    proof: bytes | None
    """None where the file has none: such a receipt is undecided."""
    anchor: bytes | None = None
    revocation: tuple[Revocation, ...] = ()


def encode_receipt(receipt: Receipt) -> bytes:
    """The container."""
    entries: list[tuple[str, bytes]] = [
        (MIMETYPE, ASIC_S),
        (EVIDENCE, receipt.evidence),
        (SIGNATURE, receipt.signature),
    ]
    if receipt.proof is not None:
        entries.append((PROOF, receipt.proof))
    if receipt.anchor is not None:
        entries.append((ANCHOR, receipt.anchor))
    entries.extend(sorted((data.name, data.body) for data in receipt.revocation))
    return encode_container(entries)


def decode_receipt(data: bytes) -> Receipt:
    """Read a container; whatever :func:`encode_receipt` would not give back byte for byte is refused.

    Raises:
        ReceiptMalformed: not a receipt.
    """
    try:
        entries = decode_container(data, max_entries=5 + MAX_REVOCATION, max_size=MAX_RECEIPT)
    except ContainerMalformed as error:
        raise ReceiptMalformed(detail=error.detail) from None
    parts = dict(entries)
    if parts.pop(MIMETYPE, None) != ASIC_S:
        raise ReceiptMalformed(detail=f"the mimetype is not {MEDIA_TYPE}")
    try:
        evidence, signature = parts.pop(EVIDENCE), parts.pop(SIGNATURE)
    except KeyError as error:
        raise ReceiptMalformed(detail=f"{error.args[0]} is missing") from None
    proof, anchor = parts.pop(PROOF, None), parts.pop(ANCHOR, None)
    revocation = []
    for name, body in parts.items():
        match = _REVOCATION.fullmatch(name)
        if match is None:
            raise ReceiptMalformed(detail=f"{name} has no place in a receipt")
        if match[1] != sha256(body).hexdigest():
            raise ReceiptMalformed(detail=f"{name} is not named by its digest")
        revocation.append(Revocation(match[2], body))
    receipt = Receipt(evidence, signature, proof, anchor, tuple(revocation))
    if encode_receipt(receipt) != data:
        raise ReceiptMalformed(detail="its parts stand in another order")
    return receipt


def is_receipt(data: bytes) -> bool:
    """Whether the bytes begin as every receipt does: a stored first entry ``mimetype`` with our type."""
    return data[30:38] == MIMETYPE.encode() and data[38 : 38 + len(ASIC_S)] == ASIC_S


def encode_extra(extra: Extra) -> bytes:
    """The proof's ``extra``: canonical JSON of entry and salt."""
    return canonical.encode(
        {"entry": b64encode(extra.entry).decode(), "salt": b64encode(extra.salt).decode()}
    )


def decode_extra(data: bytes) -> Extra:
    """Read a proof's ``extra``.

    Raises:
        ReceiptMalformed: not what :func:`encode_extra` gives.
    """
    try:
        read = Fields(canonical.decode(data, max_bytes=8192), lambda detail: ReceiptMalformed(detail=detail))
        parts = [_base64(read.text(key, max_length=8192)) for key in ("entry", "salt")]
        read.done()
    except JsonMalformed as error:
        raise ReceiptMalformed(detail=f"the proof's extra: {error}") from None
    if len(parts[1]) != SALT_SIZE:
        raise ReceiptMalformed(detail=f"the salt has {len(parts[1])} bytes, not {SALT_SIZE}")
    return Extra(*parts)


def assemble_receipt(
    *,
    evidence: bytes,
    signature: bytes,
    entry: bytes,
    salt: bytes,
    index: int,
    hashes: Sequence[bytes],
    checkpoint: bytes,
    revocation: Iterable[bytes],
) -> bytes:
    """The receipt of an evidence that is in the ledger; ``revocation`` are CRLs."""
    proof = encode_proof(
        TlogProof(
            index=index,
            hashes=tuple(hashes),
            checkpoint=checkpoint,
            extra=encode_extra(Extra(entry, salt)),
        )
    )
    crls = tuple(Revocation("crl", body) for body in revocation)
    return encode_receipt(Receipt(evidence, signature, proof, None, crls))


def read_proof(receipt: Receipt) -> tuple[TlogProof, Extra]:
    """The proof of a receipt and what it carries; nothing in it is checked.

    Raises:
        ReceiptMalformed: there is none, or it is malformed.
    """
    if receipt.proof is None:
        raise ReceiptMalformed(detail="it holds no ledger proof")
    try:
        proof = decode_proof(receipt.proof)
    except LedgerError as error:
        raise ReceiptMalformed(detail=str(error)) from None
    if proof.extra is None:
        raise ReceiptMalformed(detail="its proof carries no entry")
    return proof, decode_extra(proof.extra)


def _base64(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise ReceiptMalformed(detail="the proof's extra is not base64") from None
    if b64encode(data).decode() != text:
        raise ReceiptMalformed(detail="the proof's extra is not canonical base64")
    return data
