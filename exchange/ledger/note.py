"""Signed notes: a text and the signatures of several keys below it.

    hub.example/audit
    3
    OF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=

    — hub.example/audit 5XjYlSIaQTYA99fJc1wbi9j14huXGszqY2nEJmJexXOLse(...)wReeMIUFGzy2QDyr/FOPdEC41gY=

The text keeps its last newline and ends at the last empty line. A signature line is an em dash, the name
of the key, and base64 of four bytes of key id and the signature. The keys travel as *vkeys*:

    hub.example/audit+e578d895+AUU9zP+mY6t/L1ps4JaouUzW37dk+JKds+jmmAzGFdTD

C2SP signed-note v1.0.0, with plain Ed25519 signatures (type 0x01); ``cosignature`` has the
types that only checkpoints bear, and ``keys`` reads a vkey of any type. Base64 is read strictly, which
Go's x/mod does not do: here a note has one spelling. What a text means is not known here.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from exchange.ledger.errors import KeyMalformed, NoteMalformed, NoteUnsigned, SignatureInvalid

MAX_NOTE: Final = 1_000_000
"""Bytes. The same bound as Go's x/mod, which other people's auditors use."""

MAX_SIGNATURES: Final = 100
"""Lines. The standard asks for 16 at least; x/mod stops at 100 too."""

ED25519: Final = 0x01

_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f]")
_DASH: Final = "\u2014 "
_PRIVATE: Final = "PRIVATE+KEY+"


class KeyId(NamedTuple):
    """What a signature line says of its key: the name and four bytes. Only a hint which key to try."""

    name: str
    digest: bytes


class Verifier(Protocol):
    """A public key with its name, of any type."""

    @property
    def name(self) -> str:
        """The key's name, as it stands in the signature line."""

    @property
    def public_key(self) -> bytes:
        """The raw key. Two verifiers with the same one are the same key, whatever their names."""

    @property
    def key_id(self) -> KeyId:
        """Which signature lines are this key's."""

    @property
    def vkey(self) -> str:
        """The text form; ``keys.parse_vkey`` reads it back."""

    def check(self, text: bytes, signature: bytes) -> None:
        """Check one signature over a note's text.

        Raises:
            SignatureInvalid: it is not this key's signature over this text.
        """


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key it names, and the signature without the key id."""

    key: KeyId
    value: bytes

    @property
    def line(self) -> bytes:
        """The line as it stands in the note, with its newline."""
        return f"{_DASH}{self.key.name} {b64encode(self.key.digest + self.value).decode()}\n".encode()


@dataclass(frozen=True, slots=True)
class Note:
    """A note with at least one verified signature. Only ``open_note`` should make one.

    ``signatures`` are all lines in their order; ``verified`` and ``unverified`` part them.
    """

    text: bytes
    signatures: tuple[Signature, ...]
    verified: tuple[Signature, ...]
    unverified: tuple[Signature, ...]


def key_id(name: str, kind: int, public_key: bytes) -> KeyId:
    """The id of a key, as the standard recommends and every type here uses.

    Raises:
        KeyMalformed: the name cannot stand in a signature line.
    """
    check_key_name(name)
    return KeyId(name, sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:4])


def check_key_name(name: str) -> None:
    """Check that a name can stand in a signature line: not empty, no space of any kind, no plus.

    Raises:
        KeyMalformed: it cannot.
    """
    if not name or any(char == "+" or char.isspace() or char < " " for char in name):
        raise KeyMalformed(detail="a key name is empty, or holds a space, a plus or a control character")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise KeyMalformed(detail="a key name is not text") from error


def encode_vkey(key: KeyId, kind: int, public_key: bytes) -> str:
    """The text form of a public key."""
    return f"{key.name}+{key.digest.hex()}+{b64encode(bytes([kind]) + public_key).decode()}"


def decode_vkey(text: str) -> tuple[KeyId, int, bytes]:
    """The id, type and raw key of a vkey of any type whose id follows the common rule. Strict.

    Raises:
        KeyMalformed: not a vkey, or the id in it is not that of the key in it.
    """
    # Split at the first two: base64 has plus signs of its own.
    parts = text.split("+", 2)
    if len(parts) != 3 or len(text) > 4096:
        raise KeyMalformed(detail="not name+id+key")
    name, _, encoded = parts
    try:
        raw = decode_base64(encoded)
    except ValueError as error:
        raise KeyMalformed(detail="the key is not base64") from error
    if len(raw) < 2:
        raise KeyMalformed(detail="the key is too short")
    key = key_id(name, raw[0], raw[1:])
    # transparency-dev/formats does not compare the id for type 0x06; a wrong id there means that
    # no signature line would ever be found to be this key's.
    if encode_vkey(key, raw[0], raw[1:]) != text:
        raise KeyMalformed(detail="the id is not that of the key")
    return key, raw[0], raw[1:]


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A named Ed25519 key; what kind of signatures it makes, its class says.

    Raises:
        KeyMalformed: not 32 bytes, or the name cannot be a key's.
    """

    KIND: ClassVar[int]

    name: str
    public_key: bytes
    key_id: KeyId = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.public_key) != 32:
            raise KeyMalformed(detail="an Ed25519 key has 32 bytes")
        object.__setattr__(self, "key_id", key_id(self.name, self.KIND, self.public_key))

    @property
    def vkey(self) -> str:
        """The text form of the key."""
        return encode_vkey(self.key_id, self.KIND, self.public_key)


@dataclass(frozen=True, slots=True)
class NoteVerifier(Ed25519Key):
    """An Ed25519 key that signs the text itself (type 0x01): a log's key."""

    KIND = ED25519

    def check(self, text: bytes, signature: bytes) -> None:
        """Check a signature over a note's text.

        Raises:
            SignatureInvalid: it is not this key's signature over this text.
        """
        check_ed25519(self.name, self.public_key, signature, text)


def check_ed25519(name: str, public_key: bytes, signature: bytes, message: bytes) -> None:
    """Check one Ed25519 signature (RFC 8032); ``name`` is for the error.

    Raises:
        SignatureInvalid: wrong, or not a signature at all.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(key=name, detail="not the signature of this key over this text") from error


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A named Ed25519 key that can sign: the key itself, or a function that reaches one elsewhere."""

    name: str
    public_key: bytes
    sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @classmethod
    def from_key(cls, name: str, private_key: Ed25519PrivateKey) -> NoteSigner:
        """A signer that holds its key in memory."""
        return cls(name, private_key.public_key().public_bytes_raw(), private_key.sign)

    @property
    def verifier(self) -> NoteVerifier:
        """The public side."""
        return NoteVerifier(self.name, self.public_key)

    @property
    def vkey(self) -> str:
        """The text form of the public key, for policies."""
        return self.verifier.vkey

    def signature(self, text: bytes) -> Signature:
        """Our signature over a note's text. Ed25519 is deterministic: the same text gives the same line.

        Raises:
            SignatureInvalid: what came back is not our signature; it goes no further.
        """
        value = self.sign(text)
        # A key service that answers with another key's signature, or a flipped bit, is noticed
        # here and not by an auditor: nothing that we would refuse ever leaves.
        verifier = self.verifier
        verifier.check(text, value)
        return Signature(verifier.key_id, value)


def encode_private_key(name: str, private_key: Ed25519PrivateKey) -> str:
    """The text form that Go's note tools use. It is the secret itself.

    Raises:
        KeyMalformed: the name cannot be a key's.
    """
    raw = private_key.private_bytes_raw()
    key = key_id(name, ED25519, private_key.public_key().public_bytes_raw())
    return _PRIVATE + encode_vkey(key, ED25519, raw)


def decode_private_key(text: str) -> tuple[str, Ed25519PrivateKey]:
    """Name and key from the text form of Go's note tools. Strict.

    Raises:
        KeyMalformed: not that form, or the id in it is not that of the key in it. The message never
            repeats a part of the key.
    """
    parts = text.removeprefix(_PRIVATE).split("+", 2)
    try:
        raw = decode_base64(parts[2]) if len(parts) == 3 and len(text) <= 4096 else b""
    except ValueError:
        raw = b""
    if len(raw) != 33 or raw[0] != ED25519:
        raise KeyMalformed(detail="not the text of an Ed25519 private key")
    private_key = Ed25519PrivateKey.from_private_bytes(raw[1:])
    if encode_private_key(parts[0], private_key) != text:
        raise KeyMalformed(detail="the id is not that of the private key")
    return parts[0], private_key


def known_keys(verifiers: Iterable[Verifier]) -> dict[KeyId, Verifier]:
    """The verifiers by the id that their lines bear, as ``open_note`` takes them.

    Raises:
        KeyMalformed: two different keys share name and id; nobody could tell their lines apart.
    """
    known: dict[KeyId, Verifier] = {}
    for verifier in verifiers:
        held = known.setdefault(verifier.key_id, verifier)
        if held.vkey != verifier.vkey:
            raise KeyMalformed(detail=f"two keys of {verifier.name} have the same id")
    return known


def encode_note(text: bytes, signatures: Sequence[Signature]) -> bytes:
    """Put a text and signatures together; the signatures are not checked.

    Raises:
        NoteMalformed: what comes out would not be a note.
    """
    note = text + b"\n" + b"".join(item.line for item in signatures)
    if decode_note(note) != (text, tuple(signatures)):
        raise NoteMalformed(detail="the text does not end in a newline")
    return note


def decode_note(note: bytes) -> tuple[bytes, tuple[Signature, ...]]:
    """Text and signatures of a note, **nothing verified**: for adding lines. To read one, ``open_note``.

    Strict: ``encode_note`` gives the same bytes back.

    Raises:
        NoteMalformed: the bytes are not a note.
    """
    if len(note) > MAX_NOTE:
        raise NoteMalformed(detail=f"more than {MAX_NOTE} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise NoteMalformed(detail="not UTF-8") from error
    if _CONTROL.search(whole):
        raise NoteMalformed(detail="a control character")
    text, gap, rest = whole.rpartition("\n\n")
    if not gap or not rest.endswith("\n"):
        raise NoteMalformed(detail="no signature lines below an empty line")
    lines = rest[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteMalformed(detail=f"more than {MAX_SIGNATURES} signatures")
    return f"{text}\n".encode(), tuple(_decode_line(line) for line in lines)


def _decode_line(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        raw = decode_base64(encoded)
        check_key_name(name)
    except (ValueError, KeyMalformed) as error:
        raise NoteMalformed(detail="a signature line is not dash, name, base64") from error
    if not line.startswith(_DASH) or len(raw) < 5:
        raise NoteMalformed(detail="a signature line without dash or signature")
    return Signature(KeyId(name, raw[:4]), raw[4:])


def sign_note(text: bytes, signers: Iterable[NoteSigner]) -> bytes:
    """The note of a text signed by these signers, in their order.

    Raises:
        NoteMalformed: the text cannot be a note's, or there is no signer.
        SignatureInvalid: a signer did not give its own signature.
    """
    return encode_note(text, tuple(signer.signature(text) for signer in signers))


def add_signatures(note: bytes, lines: Iterable[Signature]) -> bytes:
    """The note with more signature lines at its end; one that is there already is not repeated.

    Raises:
        NoteMalformed: not a note, or too many signatures for one.
    """
    text, signatures = decode_note(note)
    return encode_note(text, tuple(dict.fromkeys((*signatures, *lines))))


def open_note(note: bytes, known: Mapping[KeyId, Verifier]) -> Note:
    """Parse a signed note and keep only what was verified.

    A signature by a known key lands in ``verified``; one by an unknown key in
    ``unverified``, and nothing may be concluded from it. The text is only
    available on a note with at least one verified signature. A known key may sign
    twice (a witness at two times); every one of its lines must hold.

    C2SP signed-note. More than 100 signatures are refused, so that a long
    list cannot be used to make us work.

    Raises:
        NoteMalformed: the bytes are not a note.
        SignatureInvalid: a known key is named and its signature is wrong;
            the whole note is refused.
        NoteUnsigned: well formed, but no known key signed it.
    """
    text, signatures = decode_note(note)
    verified: list[Signature] = []
    unverified: list[Signature] = []
    for signature in signatures:
        verifier = known.get(signature.key)
        if verifier is None:
            unverified.append(signature)
            continue
        verifier.check(text, signature.value)
        verified.append(signature)
    if not verified:
        raise NoteUnsigned
    return Note(text, signatures, tuple(verified), tuple(unverified))


def decode_base64(text: str) -> bytes:
    """RFC 4648 §4 with padding, in the one spelling that encoding gives.

    Raises:
        ValueError: any other spelling (parsers here turn it into their own error).
    """
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise ValueError("not base64") from error
    # The spare bits before the padding may be set in base64; then it would have two spellings.
    if b64encode(raw).decode() != text:
        raise ValueError("not the shortest base64")
    return raw
