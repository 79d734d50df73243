"""Checkpoints: the signed head of a ledger, as the text of a note.

    hub.example/audit                                   origin: which ledger
    3                                                   size
    OF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=        root

C2SP tlog-checkpoint v1.0.0. There is no time in a checkpoint. Extension lines are read and
written so that other people's ledgers can be checked; ours have none, because no auditor can check
what they say and ML-DSA cosignatures do not cover them. Whether a checkpoint may be signed is not
decided here: ``signer`` does.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from exchange.ledger.errors import CheckpointMalformed
from exchange.ledger.merkle import HASH_SIZE, MAX_SIZE
from exchange.ledger.note import MAX_NOTE, NoteSigner, decode_base64, sign_note

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Which ledger, how many entries, and the root over them; nothing about who signed it.

    Raises:
        CheckpointMalformed: it could not be written down.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointMalformed(detail=f"size {self.size}")
        if len(self.root) != HASH_SIZE:
            raise CheckpointMalformed(detail="the root is not 32 bytes")
        for line in (self.origin, *self.extensions):
            if not line or any(char < " " for char in line):
                raise CheckpointMalformed(detail="an empty line or a control character")


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The text that is signed.

    Raises:
        CheckpointMalformed: the origin or an extension is not text.
    """
    lines = (
        checkpoint.origin,
        str(checkpoint.size),
        b64encode(checkpoint.root).decode(),
        *checkpoint.extensions,
    )
    try:
        return "".join(f"{line}\n" for line in lines).encode()
    except UnicodeEncodeError as error:
        raise CheckpointMalformed(detail="not text") from error


def decode_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a note as a checkpoint. Strict: ``encode_checkpoint`` gives the same bytes back.

    Raises:
        CheckpointMalformed: it is not one.
    """
    try:
        lines = text.decode().split("\n") if len(text) <= MAX_NOTE else []
    except UnicodeDecodeError as error:
        raise CheckpointMalformed(detail="not UTF-8") from error
    if len(lines) < 4 or lines.pop():
        raise CheckpointMalformed(detail="not three lines, each with its newline")
    origin, size, root, *extensions = lines
    try:
        return Checkpoint(origin, decode_decimal(size), decode_base64(root), tuple(extensions))
    except ValueError as error:
        raise CheckpointMalformed(detail="the size or the root is not in its one spelling") from error


def sign_checkpoint(checkpoint: Checkpoint, signers: Iterable[NoteSigner]) -> bytes:
    """The signed note of a checkpoint. The name of a log's key is the origin, in every ledger of ours.

    The caller has asked ``signer.advance`` before, and made its answer durable.

    Raises:
        CheckpointMalformed: the name of a signer is not the origin.
        NoteMalformed: there is no signer.
        SignatureInvalid: a signer did not give its own signature.
    """
    keys = tuple(signers)
    if any(key.name != checkpoint.origin for key in keys):
        raise CheckpointMalformed(detail="the name of the signing key is not the origin")
    return sign_note(encode_checkpoint(checkpoint), keys)


def decode_decimal(text: str) -> int:
    """A number from 0 to 2**63 - 1 in ASCII digits without leading zeros.

    Raises:
        ValueError: any other spelling or number (parsers here turn it into their own error).
    """
    if not _DECIMAL.fullmatch(text) or (number := int(text)) > MAX_SIZE:
        raise ValueError("not a decimal number")
    return number
