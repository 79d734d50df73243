"""The checkpoint signer's own memory, and the signer that is embedded in the hub's process.

The memory is an append-only journal of states, each flushed before the checkpoint
that it allows is signed. It lies in a folder of its own, on another disk where
there is one, and is never restored from a backup together with the database: it is
what notices that the database was.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from exchange.ledger.checkpoint import Checkpoint, sign_checkpoint
from exchange.ledger.errors import LedgerFork, LedgerRollback, StateMalformed
from exchange.ledger.note import NoteSigner
from exchange.ledger.signer import SignerState, advance, decode_state, encode_state
from exchange.protocol.errors import Broken
from exchange.storage.contents import sync_folder

_HEAD: Final = struct.Struct(">4sI32s")
_MAGIC: Final = b"gws1"
_COMPACT_ABOVE: Final = 8 << 20
_MAX_BODY: Final = 4096
"""No state is longer: an origin and at most 63 hashes."""


class CheckpointSigner(Protocol):
    """Signs heads of the ledger, and remembers which."""

    async def last(self) -> SignerState:
        """The last head that was signed, or was about to be."""

    async def sign(self, *, leaves: Sequence[bytes], size: int, root: bytes) -> bytes:
        """The signed checkpoint for the head that these leaf hashes, after the last one, lead to.

        A head that was signed before is signed again, to the same bytes. What is
        signed is remembered durably first.

        Raises:
            LedgerRollback LedgerFork: the head contradicts what was signed. The writer must stop.
            LeavesMissing: not exactly the leaves since the last head.
            OSError: the memory cannot be written; nothing was signed.
        """


class Journal:
    """The states that were signed, in one file: ``head(magic, length, SHA-256) state`` each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._roots: dict[int, bytes] = {}
        self._state = self._load()
        if path.stat().st_size > _COMPACT_ABOVE:
            self._compact()

    @staticmethod
    def create(path: Path, origin: str) -> None:
        """Begin the memory of a new ledger, once. An existing one is never overwritten."""
        with path.open("xb") as file:
            file.write(_frame(SignerState(origin)))
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o600)
        sync_folder(path.parent)

    @property
    def state(self) -> SignerState:
        """The last state."""
        return self._state

    def root_at(self, size: int) -> bytes | None:
        """The root that was signed at that size, as far back as the journal goes."""
        return self._roots.get(size)

    def append(self, state: SignerState) -> None:
        """Remember a state. Durable on return."""
        # Without a buffer: closing one would write what is left of a record that was cut off before.
        with self._path.open("ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            record = memoryview(_frame(state))
            try:
                while record:
                    record = record[file.write(record) :]
            except OSError:
                # Half a record must not stand before a whole one.
                os.truncate(self._path, before)
                raise
            try:
                os.fdatasync(file.fileno())
            except OSError as error:
                # After a failed flush the page cache says what the disk may not hold: whoever goes on
                # believes in a record that a power cut will take away. Nothing was signed on it, so it
                # is cut off again; the process ends, and reads anew when it has started.
                os.truncate(self._path, before)
                raise Broken(detail=f"the signer's journal cannot be flushed: {error}") from error
        self._roots[state.size] = state.root
        self._state = state

    def _load(self) -> SignerState:
        data = self._path.read_bytes()
        state: SignerState | None = None
        at = 0
        while at < len(data):
            record = data[at:]
            body = _whole_record(record)
            if body is None:
                if not _is_torn(record):
                    raise StateMalformed(detail=f"the journal is damaged at byte {at}")
                break
            state = decode_state(body)
            self._roots[state.size] = state.root
            at += _HEAD.size + len(body)
        if state is None:
            raise StateMalformed(detail="the journal holds no state")
        if at < len(data):
            # A record that was cut off by a crash: it was not durable, so nothing was signed on it.
            os.truncate(self._path, at)
        return state

    def _compact(self) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(_frame(self._state))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o600)
        temporary.replace(self._path)
        sync_folder(self._path.parent)


class EmbeddedSigner:
    """A signer in the hub's own process: for the demo, development and small hubs."""

    def __init__(self, journal: Journal, key: NoteSigner) -> None:
        self._journal = journal
        self._key = key

    async def last(self) -> SignerState:
        """The last head that was signed, or was about to be."""
        return self._journal.state

    async def sign(self, *, leaves: Sequence[bytes], size: int, root: bytes) -> bytes:
        """As :class:`CheckpointSigner` promises."""
        state = self._journal.state
        if size <= state.size:
            known = self._journal.root_at(size)
            if known is None:
                raise LedgerRollback(signed=state.size, offered=size)
            if known != root:
                raise LedgerFork(size=size, ours=known, theirs=root)
        else:
            new = advance(state, leaves=leaves, size=size, root=root)
            await asyncio.to_thread(self._journal.append, new)
        return sign_checkpoint(Checkpoint(state.origin, size, root), [self._key])


def _frame(state: SignerState) -> bytes:
    body = encode_state(state)
    return _HEAD.pack(_MAGIC, len(body), sha256(body).digest()) + body


def _whole_record(data: bytes) -> bytes | None:
    """The body of the record that the bytes begin with; None where it is not whole."""
    if len(data) < _HEAD.size:
        return None
    magic, length, digest = _HEAD.unpack_from(data)
    body = data[_HEAD.size : _HEAD.size + length]
    whole = magic == _MAGIC and len(body) == length and sha256(body).digest() == digest
    return body if whole else None


def _is_torn(data: bytes) -> bool:
    """Whether the bytes can be the beginning of one record whose end never reached the disk.

    Anything else that is not a record is damage. To take it for a torn end would be to forget
    what was signed: a length that has become too large looks like that at first sight.
    """
    if len(data) < _HEAD.size:
        return _MAGIC.startswith(data[: len(_MAGIC)])
    magic, length, digest = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    return (
        magic == _MAGIC
        and len(body) < length <= _MAX_BODY
        and _MAGIC not in body
        and sha256(body).digest() != digest
    )
