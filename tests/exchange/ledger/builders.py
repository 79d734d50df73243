"""Small ledgers, keys and edits for the tests of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.ledger.checkpoint import Checkpoint, sign_checkpoint
from exchange.ledger.cosignature import CosignatureSigner, cosign
from exchange.ledger.errors import SourceUnreachable
from exchange.ledger.export import export_files
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.note import NoteSigner, add_signatures, decode_note
from exchange.ledger.policy import GroupLine, LogLine, Policy, WitnessLine
from exchange.ledger.tree import MemoryTree

VECTORS = Path(__file__).parents[2] / "vectors" / "tlog"
ORIGIN = "hub.example/audit"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@cache
def private_key(words: str) -> Ed25519PrivateKey:
    """A key made from words, the same every time."""
    return Ed25519PrivateKey.from_private_bytes(sha256(words.encode()).digest())


def a_log(name: str = ORIGIN, words: str = "demo log key") -> NoteSigner:
    return NoteSigner.from_key(name, private_key(words))


def a_witness(number: int = 1) -> CosignatureSigner:
    words = "demo witness key" if number == 1 else f"demo witness key {number}"
    return CosignatureSigner.from_key(f"witness.example/w{number}", private_key(words))


def a_policy(*, witnesses: int = 0, needed: int = 0) -> Policy:
    """A policy that names our log and some witnesses, so many of which are needed."""
    lines = tuple(WitnessLine(f"w{number}", a_witness(number).verifier) for number in range(1, witnesses + 1))
    log = (LogLine(a_log().verifier),)
    if not needed:
        return Policy(log, lines)
    group = GroupLine("outside", needed, tuple(line.name for line in lines))
    return Policy(log, lines, (group,), "outside")


def entries_of(count: int) -> list[bytes]:
    """So many small entries of different lengths, an empty one among them."""
    return [b"entry-%d" % number * (number % 3) for number in range(count)]


def a_checkpoint(entries: Iterable[bytes], origin: str = ORIGIN) -> Checkpoint:
    tree = MemoryTree()
    tree.extend(map(leaf_hash, entries))
    return Checkpoint(origin, tree.size, tree.root)


def a_note(checkpoint: Checkpoint, *, witnesses: int = 0, at: datetime = NOON) -> bytes:
    """The checkpoint signed by our log and cosigned by so many witnesses."""
    note = sign_checkpoint(checkpoint, [a_log(checkpoint.origin)])
    text, _ = decode_note(note)
    return add_signatures(note, [cosign(text, a_witness(number + 1), at) for number in range(witnesses)])


def a_ledger(entries: list[bytes], *, witnesses: int = 0) -> dict[str, bytes]:
    """The static folder of these entries, as files."""
    note = a_note(a_checkpoint(entries), witnesses=witnesses)
    return dict(export_files(entries, a_policy(witnesses=witnesses).check(note)))


@dataclass
class Files:
    """A source out of a mapping; ``broken`` names a path whose reading fails."""

    files: Mapping[str, bytes]
    listed: bool = True
    broken: str = ""
    reads: list[str] = field(default_factory=list)

    def read(self, path: str) -> bytes | None:
        self.reads.append(path)
        if path == self.broken:
            raise SourceUnreachable(detail="connection reset")
        return self.files.get(path)

    def paths(self) -> Iterable[str] | None:
        return list(self.files) if self.listed else None


def folder(path: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        found.relative_to(path).as_posix(): found.read_bytes()
        for found in sorted(path.rglob("*"))
        if found.is_file()
    }


def one_byte_edits(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every single-bit flip, every deletion of a byte, and some insertions everywhere, with a name each."""
    for at in range(len(data)):
        for bit in range(8):
            yield f"flip {at}.{bit}", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        yield f"delete {at}", data[:at] + data[at + 1 :]
    for at in range(len(data) + 1):
        for byte in b"\n =A0\x00":
            yield f"insert {at} {byte}", data[:at] + bytes([byte]) + data[at:]


def surviving(data: bytes, read: Callable[[bytes], object]) -> list[str]:
    """The edits after which ``read`` neither raised nor answered False: there should be none."""
    assert read(data), "the unedited bytes are good"
    names = []
    for name, edited in one_byte_edits(data):
        if edited != data and read(edited):
            names.append(name)
    return names
