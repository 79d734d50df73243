"""Ledger proofs: that one entry is under a signed checkpoint, for reading offline.

    c2sp.org/tlog-proof@v1
    extra eyJlbnRyeSI6ImUzMD0iLCJzYWx0IjoiQUE9PSJ9
    index 2
    mDy1fATN3VJjTtqzinvvhXCKl08RS72aqexdTOZla0s=

    hub.example/audit
    3
    OF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=

    — hub.example/audit 5XjYlSIaQTYA99fJc1wbi9j14huXGszqY2nEJmJexXOLse(...)wReeMIUFGzy2QDyr/FOPdEC41gY=

C2SP tlog-proof (draft). ``extra`` is optional, belongs to the application and is authenticated by nothing
here. What the entry means, and that it is the entry of a certain receipt, is checked elsewhere:
this module goes from the bytes of an entry to the signatures.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from exchange.ledger.checkpoint import decode_decimal
from exchange.ledger.errors import NoteMalformed, ProofMalformed
from exchange.ledger.merkle import HASH_SIZE, MAX_SIZE, check_inclusion, leaf_hash
from exchange.ledger.note import MAX_NOTE, decode_base64, decode_note
from exchange.ledger.policy import Policy, VerifiedCheckpoint

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
MAX_EXTRA: Final = 48_000
"""Bytes of extra data: its line stays below the 64 KiB at which Go's line scanner stops."""

MAX_PROOF: Final = MAX_NOTE + 128 * 1024


@dataclass(frozen=True, slots=True)
class TlogProof:
    """An entry's index, its sibling hashes, the signed checkpoint, and the application's extra bytes, if any.

    Nothing of it is verified; ``check_proof`` does that.

    Raises:
        ProofMalformed: it could not be written down.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise ProofMalformed(detail=f"index {self.index}")
        if len(self.hashes) > MAX_HASHES or any(len(item) != HASH_SIZE for item in self.hashes):
            raise ProofMalformed(detail=f"more than {MAX_HASHES} hashes, or one that is not 32 bytes")
        # No data is written as no line; an empty one would be a second spelling of that.
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA:
            raise ProofMalformed(detail=f"extra data of {len(self.extra)} bytes")


def encode_proof(proof: TlogProof) -> bytes:
    """The bytes of a ``.tlog-proof`` file. The checkpoint is written as it is; the caller has it signed."""
    lines = [HEADER]
    if proof.extra is not None:
        lines.append("extra " + b64encode(proof.extra).decode())
    lines.append(f"index {proof.index}")
    lines += [b64encode(item).decode() for item in proof.hashes]
    return "\n".join(lines).encode() + b"\n\n" + proof.checkpoint


def decode_proof(data: bytes) -> TlogProof:
    """Read a ``.tlog-proof`` file; nothing is verified. Strict: ``encode_proof`` gives the same bytes back.

    Raises:
        ProofMalformed: it is not one, or what it carries as a checkpoint is not a signed note.
    """
    if len(data) > MAX_PROOF:
        raise ProofMalformed(detail=f"more than {MAX_PROOF} bytes")
    head, gap, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        decode_note(checkpoint)
    except (UnicodeDecodeError, NoteMalformed) as error:
        raise ProofMalformed(detail="the lines are not ASCII, or the checkpoint is not a note") from error
    if not gap or lines.pop(0) != HEADER:
        raise ProofMalformed(detail="not a tlog-proof of version 1")
    try:
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0).removeprefix("extra "))
        if not lines or not lines[0].startswith("index "):
            raise ProofMalformed(detail="no index line")
        index = decode_decimal(lines.pop(0).removeprefix("index "))
        return TlogProof(index, tuple(decode_base64(line) for line in lines), checkpoint, extra)
    except ValueError as error:
        raise ProofMalformed(detail="a line is not in its one spelling") from error


def check_proof(proof: TlogProof, *, entry: bytes, policy: Policy) -> VerifiedCheckpoint:
    """Check that ``entry``, byte for byte, is in the ledger of a checkpoint that meets the policy.

    1. The checkpoint meets the policy: log, origin, quorum.
    2. The proof leads from the hash of the entry to the root of that checkpoint.

    Lines of unknown keys are not refused here; ``check_no_unknown_lines`` of what is returned does.

    Raises:
        NoteMalformed, SignatureInvalid, NoteUnsigned, CheckpointMalformed, LogUnknown, QuorumUnmet:
            as ``Policy.check``.
        ProofInvalid: the entry is not shown to be under that root.
    """
    verified = policy.check(proof.checkpoint)  # (1)
    check_inclusion(  # (2)
        leaf=leaf_hash(entry),
        index=proof.index,
        size=verified.checkpoint.size,
        proof=proof.hashes,
        root=verified.checkpoint.root,
    )
    return verified
