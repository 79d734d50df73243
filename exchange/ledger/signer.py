"""What the checkpoint signer remembers, and what it refuses.

The signer is a process of its own with a small store of its own. For each batch it is given the leaf hashes
of the *committed* entries since the last head that it signed, and the size and root that the database
claims:

    1. smaller than what was signed       LedgerRollback: data loss, or an old backup restored
    2. the same size with another root    LedgerFork: history was rewritten
    3. the leaves since, appended to the signer's own frontier, must lead to the claimed root
    4. the new state is made durable, and only then is the checkpoint signed

So a rewritten database cannot be signed, only noticed (Yeti 2022, Trust Asia 2021). This module decides;
``SignerRecord`` is where the state is kept, ``checkpoint.sign_checkpoint`` signs.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from exchange.ledger.checkpoint import Checkpoint, decode_decimal
from exchange.ledger.errors import HashMalformed, LeavesMissing, LedgerFork, LedgerRollback, StateMalformed
from exchange.ledger.merkle import Frontier
from exchange.ledger.note import decode_base64

HEADER: Final = "gongwen ledger signer v1"
_MAX_STATE: Final = 4096


@dataclass(frozen=True, slots=True)
class SignerState:
    """The last head that was signed or is about to be: for which ledger, and the frontier it stands on."""

    origin: str
    frontier: Frontier = field(default_factory=Frontier)

    @property
    def size(self) -> int:
        """How many entries it has."""
        return self.frontier.size

    @property
    def root(self) -> bytes:
        """The root, computed by the signer itself."""
        return self.frontier.root

    @property
    def checkpoint(self) -> Checkpoint:
        """The head as it is signed."""
        return Checkpoint(self.origin, self.size, self.root)


def advance(state: SignerState, *, leaves: Iterable[bytes], size: int, root: bytes) -> SignerState:
    """The state after appending the leaf hashes of entries ``state.size`` to ``size``; nothing is stored.

    With no new entries and the same root an equal state comes back, and signing it gives the same bytes.

    Raises:
        LedgerRollback: ``size`` is below what was signed.
        LedgerFork: the root is not the one that these leaves, or none, lead to. The writer must stop.
        LeavesMissing: not exactly the leaves between the two sizes; may pass, ask again.
        HashMalformed: a leaf hash is not 32 bytes.
    """
    if size < state.size:  # (1)
        raise LedgerRollback(signed=state.size, offered=size)
    given = tuple(leaves)
    if len(given) != size - state.size:
        raise LeavesMissing(needed=size - state.size, given=len(given))
    frontier = state.frontier.extended(given)
    if frontier.root != root:  # (2) (3)
        raise LedgerFork(size=size, ours=frontier.root, theirs=root)
    return SignerState(state.origin, frontier)


class SignerRecord(Protocol):
    """Where the signer keeps its state: on another disk, or another machine, than the ledger's database.

    It is never restored from a backup together with that database.
    """

    async def read(self) -> SignerState:
        """The state last replaced, or the one it was created with. Never an older one.

        Raises:
            StateMalformed: what is kept is damaged. The signer does not start.
        """

    async def replace(self, *, old: SignerState, new: SignerState) -> None:
        """Keep ``new`` if ``old`` is still what is kept. Durable on return, with its folder.

        When it raises anything else than the below, what is kept is unknown: the process ends, and reads
        again when it has started anew.

        Raises:
            LedgerFork: something else is kept; another signer is at work. Nothing was changed.
        """


def encode_state(state: SignerState) -> bytes:
    """The state as a small text: a header, the origin, the size, the frontier's hashes."""
    lines = [HEADER, state.origin, str(state.size)]
    lines += [b64encode(item).decode() for item in state.frontier.hashes]
    return "".join(f"{line}\n" for line in lines).encode()


def decode_state(data: bytes) -> SignerState:
    """Read a state back. Strict: ``encode_state`` gives the same bytes back.

    Raises:
        StateMalformed: it is not one, or it was cut off.
    """
    try:
        lines = data.decode().split("\n") if len(data) <= _MAX_STATE else []
    except UnicodeDecodeError as error:
        raise StateMalformed(detail="not UTF-8") from error
    if len(lines) < 4 or lines.pop() or lines.pop(0) != HEADER or not lines[0]:
        raise StateMalformed(detail="not a header, an origin and a size")
    origin, size, *hashes = lines
    try:
        return SignerState(
            origin, Frontier(decode_decimal(size), tuple(decode_base64(line) for line in hashes))
        )
    except (ValueError, HashMalformed) as error:
        raise StateMalformed(detail="the frontier is damaged") from error
