"""Cosignatures: what a witness signs under a checkpoint, and when.

The line looks like any other signature line of a note. Its value is eight bytes of POSIX seconds,
big-endian, and the signature. An Ed25519 witness (type 0x04) signs

    cosignature/v1
    time 1790000000
    hub.example/audit
    3
    OF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=

and says with it: at that time this was the largest tree that I had seen of this origin, and it
extended all that I had seen before. An ML-DSA-44 witness (type 0x06) signs a binary structure with the same
facts, its own name, and not the extension lines.

C2SP tlog-cosignature v1.1. Whether a witness may sign is decided by whoever runs one; whose cosignatures
count, by ``policy``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from exchange.ledger.checkpoint import Checkpoint, decode_checkpoint
from exchange.ledger.errors import CheckpointMalformed, KeyMalformed, KeyUnsupported, SignatureInvalid
from exchange.ledger.note import Ed25519Key, KeyId, Signature, check_ed25519, encode_vkey, key_id

COSIGNATURE_V1: Final = 0x04
MLDSA44: Final = 0x06

_MLDSA44_KEY: Final = 1312
_LAST_SECOND: Final = 253_402_300_799
"""The last second that a datetime can hold, in the year 9999. Later times are in the future for everybody
who may ever read this, and the standard allows a verifier to refuse those."""


def seconds_of(at: datetime) -> int:
    """POSIX seconds of an aware time, rounded down.

    Raises:
        ValueError: the time is not aware, or before 1970.
    """
    if at.tzinfo is None or (seconds := int(at.timestamp())) < 0:
        raise ValueError("a cosignature needs an aware time since 1970")
    return seconds


def cosigned_at(value: bytes) -> datetime:
    """The time that a cosignature claims. It counts only once the signature was checked.

    Raises:
        SignatureInvalid: no room for a time, or one beyond the year 9999.
    """
    seconds = int.from_bytes(value[:8], "big")
    if len(value) <= 8 or seconds > _LAST_SECOND:
        raise SignatureInvalid(key="-", detail="not a time and a signature")
    return datetime.fromtimestamp(seconds, UTC)


def message_v1(text: bytes, seconds: int) -> bytes:
    """What an Ed25519 witness signs for a checkpoint text."""
    return b"cosignature/v1\ntime %d\n" % seconds + text


def message_mldsa(name: str, checkpoint: Checkpoint, seconds: int) -> bytes:
    """What an ML-DSA-44 witness of that name signs for a checkpoint: the subtree from 0 to its size.

    Raises:
        CheckpointMalformed: the origin has more than 255 bytes.
        KeyMalformed: the name has more than 255 bytes.
    """
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    if len(cosigner) > 255:
        raise KeyMalformed(detail="the name has more than 255 bytes")
    if len(origin) > 255:
        raise CheckpointMalformed(detail="the origin has more than 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(cosigner)]) + cosigner,
            seconds.to_bytes(8, "big"),
            bytes([len(origin)]) + origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


@dataclass(frozen=True, slots=True)
class CosignatureVerifier(Ed25519Key):
    """An Ed25519 witness key (type 0x04). The name is not signed, so one key belongs to one witness."""

    KIND = COSIGNATURE_V1

    def check(self, text: bytes, signature: bytes) -> None:
        """Check a cosignature over a checkpoint text.

        Raises:
            SignatureInvalid: it is not this witness's, or the text is no checkpoint.
        """
        seconds = _checked_seconds(self.name, signature)
        _checkpoint_of(self.name, text)
        check_ed25519(self.name, self.public_key, signature[8:], message_v1(text, seconds))


@dataclass(frozen=True, slots=True)
class MlDsaVerifier:
    """An ML-DSA-44 key (type 0x06) of a witness, or of a log that signs its own checkpoints with it.

    Raises:
        KeyMalformed: not a key of 1,312 bytes, or the name cannot be a key's or is too long.
        KeyUnsupported: this machine's cryptography has no ML-DSA. We do not say yes to what
            we cannot check, so a policy that names such a key is refused there.
    """

    name: str
    public_key: bytes
    key_id: KeyId = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.public_key) != _MLDSA44_KEY or len(self.name.encode(errors="replace")) > 255:
            raise KeyMalformed(detail=f"an ML-DSA-44 key has {_MLDSA44_KEY} bytes, its name at most 255")
        object.__setattr__(self, "key_id", key_id(self.name, MLDSA44, self.public_key))
        self._key()

    def _key(self) -> MLDSA44PublicKey:
        try:
            return MLDSA44PublicKey.from_public_bytes(self.public_key)
        except UnsupportedAlgorithm as error:
            raise KeyUnsupported(kind="ML-DSA-44") from error
        except ValueError as error:
            raise KeyMalformed(detail="not an ML-DSA-44 key") from error

    @property
    def vkey(self) -> str:
        """The text form of the key."""
        return encode_vkey(self.key_id, MLDSA44, self.public_key)

    def check(self, text: bytes, signature: bytes) -> None:
        """Check a cosignature over a checkpoint text.

        Raises:
            SignatureInvalid: it is not this key's, or the text is no checkpoint.
        """
        seconds = _checked_seconds(self.name, signature)
        checkpoint = _checkpoint_of(self.name, text)
        try:
            message = message_mldsa(self.name, checkpoint, seconds)
            self._key().verify(signature[8:], message)
        except (InvalidSignature, CheckpointMalformed, ValueError) as error:
            raise SignatureInvalid(key=self.name, detail="not this key's cosignature") from error


def _checked_seconds(name: str, signature: bytes) -> int:
    seconds = int.from_bytes(signature[:8], "big")
    if seconds > _LAST_SECOND:
        raise SignatureInvalid(key=name, detail="a time beyond the year 9999")
    return seconds


def _checkpoint_of(name: str, text: bytes) -> Checkpoint:
    try:
        return decode_checkpoint(text)
    except CheckpointMalformed as error:
        raise SignatureInvalid(key=name, detail="the text is no checkpoint") from error


@dataclass(frozen=True, slots=True)
class CosignatureSigner:
    """The Ed25519 key of a witness: the key itself, or a function that reaches one elsewhere."""

    name: str
    public_key: bytes
    sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @classmethod
    def from_key(cls, name: str, private_key: Ed25519PrivateKey) -> CosignatureSigner:
        """A signer that holds its key in memory."""
        return cls(name, private_key.public_key().public_bytes_raw(), private_key.sign)

    @property
    def verifier(self) -> CosignatureVerifier:
        """The public side."""
        return CosignatureVerifier(self.name, self.public_key)

    @property
    def vkey(self) -> str:
        """The text form of the public key, for policies."""
        return self.verifier.vkey


def cosign(text: bytes, signer: CosignatureSigner, at: datetime) -> Signature:
    """A witness's signature over a checkpoint text; ``note.add_signatures`` puts it under the note.

    The caller has checked that this checkpoint extends the last one it signed, and has stored it.

    Raises:
        CheckpointMalformed: the text is no checkpoint.
        SignatureInvalid: the signer did not give its own signature; it goes no further.
        ValueError: the time is not aware, or before 1970.
    """
    decode_checkpoint(text)
    seconds = seconds_of(at)
    value = seconds.to_bytes(8, "big") + signer.sign(message_v1(text, seconds))
    verifier = signer.verifier
    verifier.check(text, value)
    return Signature(verifier.key_id, value)
