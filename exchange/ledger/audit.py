"""The audit of a static ledger folder: every byte of it, against the signatures.

    1. The checkpoint: note, log, origin and quorum as the policy says; no line of a key it does not name.
    2. The files: exactly those of the static layout for the checkpoint's size, none beside them.
    3. Every entry hashes to its place in its level-0 tile.
    4. Every upper tile is made of the hashes of the full tiles below it.
    5. The tiles lead to the signed root, and so, counted apart, do the entries.
    6. Checkpoints that the auditor kept from earlier are prefixes of this ledger.

C2SP tlog-tiles, ``docs/formats/tiles.md``. One pass, flat memory: what is held does not grow with the
ledger. Where the files come from is a :class:`Source`; what entries mean is not known here. The report
says which of three things an audit that does not succeed has shown, because they ask for different
answers: something is wrong, something is missing, or it could not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.errors import (
    EntryMismatch,
    FileMissing,
    FileUnknown,
    LedgerError,
    LedgerFork,
    LedgerRollback,
    LogUnknown,
    Malformed,
    NoteUnsigned,
    QuorumUnmet,
    RootMismatch,
    SourceUnreachable,
    TileMalformed,
    TileMismatch,
)
from exchange.ledger.merkle import HASH_SIZE, Frontier, leaf_hash
from exchange.ledger.policy import Policy, VerifiedCheckpoint
from exchange.ledger.tiles import (
    CHECKPOINT_PATH,
    MAX_BUNDLE_BYTES,
    TILE_HEIGHT,
    WIDTH,
    Bundle,
    Tile,
    belongs,
    bundles_of_size,
    decode_bundle,
    decode_path,
    decode_tile,
    edge_of_size,
)
from exchange.ledger.tree import MemoryTree

MAX_FINDINGS: Final = 100
"""The audit ends there: so many faults need no longer list, and a lying size gets no longer work."""

MAX_FILE: Final = MAX_BUNDLE_BYTES
"""No file of a ledger has more bytes; a source does not read on beyond it."""

Progress = Callable[[int, int], None]
"""Called with the entries checked so far and the size of the ledger, after every bundle."""


class Source(Protocol):
    """A static ledger folder, wherever it is. Paths are those of the layout, with ``/``."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None where there is none. At most ``MAX_FILE`` + 1 bytes of a longer file.

        Raises:
            SourceUnreachable: it cannot be said whether there is one, or it cannot be read.
        """

    def paths(self) -> Iterable[str] | None:
        """Every file there is, hidden ones too, in any order; None where files cannot be listed (HTTP).

        Raises:
            SourceUnreachable: they cannot be listed now.
        """


class Outcome(StrEnum):
    """What an audit has shown, from best to worst."""

    PROVEN = "proven"
    UNREACHABLE = "unreachable"
    INCOMPLETE = "incomplete"
    WRONG = "wrong"


_ORDER: Final = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: the file, how bad it is, the error with code and sentence."""

    path: str
    outcome: Outcome
    error: LedgerError


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was checked and what was found.

    ``verified`` is None where the checkpoint was refused, and then nothing else was looked at.
    ``entries`` counts those that hash to their place. The two roots are None where files were missing.
    """

    verified: VerifiedCheckpoint | None
    entries: int
    files: int
    root_of_tiles: bytes | None
    root_of_entries: bytes | None
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings; proven without any."""
        return max((item.outcome for item in self.findings), key=_ORDER.index, default=Outcome.PROVEN)

    def check(self) -> None:
        """Check that the audit succeeded.

        Raises:
            LedgerError: the first of the worst findings.
        """
        worst = self.outcome
        for finding in self.findings:
            if finding.outcome is worst:
                raise finding.error


def audit_ledger(
    source: Source,
    policy: Policy,
    *,
    earlier: Sequence[Checkpoint] = (),
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a whole static ledger; see the module for the numbered checks.

    ``earlier`` are verified checkpoints that the auditor kept: from the last audit, from receipts. Never
    raises for what it finds, and goes on after a fault to name the others, up to ``MAX_FINDINGS``.
    """
    audit = _Audit(source, policy, earlier, progress)
    try:
        audit.run()
    except _Enough:
        pass
    except SourceUnreachable as error:
        audit.findings.append(Finding("", Outcome.UNREACHABLE, error))
    return AuditReport(
        verified=audit.verified,
        entries=audit.entries,
        files=audit.files,
        root_of_tiles=audit.root_of_tiles,
        root_of_entries=audit.root_of_entries,
        findings=tuple(audit.findings),
    )


class _Enough(Exception):
    """The list of findings is full."""


@dataclass(slots=True)
class _Audit:
    source: Source
    policy: Policy
    earlier: Sequence[Checkpoint]
    progress: Progress | None
    verified: VerifiedCheckpoint | None = None
    entries: int = 0
    files: int = 0
    root_of_tiles: bytes | None = None
    root_of_entries: bytes | None = None
    findings: list[Finding] = field(default_factory=list)

    def run(self) -> None:
        note = self._read(CHECKPOINT_PATH)
        if note is None:
            return
        try:
            self.verified = self.policy.check(note)  # (1)
        except (NoteUnsigned, QuorumUnmet) as error:
            # Not signed by those whom we know, or not by enough of them: a signature is missing.
            self._found(CHECKPOINT_PATH, Outcome.INCOMPLETE, error)
            return
        except LedgerError as error:
            self._found(CHECKPOINT_PATH, Outcome.WRONG, error)
            return
        try:
            self.verified.check_no_unknown_lines()
        except LedgerError as error:
            self._found(CHECKPOINT_PATH, Outcome.WRONG, error)
        head = self.verified.checkpoint
        self._check_listing(head.size)  # (2)
        self._check_tree(head)  # (3) to (6)

    def _found(self, path: str, outcome: Outcome, error: LedgerError) -> None:
        self.findings.append(Finding(path, outcome, error))
        if len(self.findings) >= MAX_FINDINGS:
            raise _Enough

    def _read(self, path: str) -> bytes | None:
        data = self.source.read(path)
        if data is None:
            self._found(path, Outcome.INCOMPLETE, FileMissing(path=path))
        else:
            self.files += 1
        return data

    def _check_listing(self, size: int) -> None:
        for path in self.source.paths() or ():
            if path == CHECKPOINT_PATH:
                continue
            try:
                expected = belongs(decode_path(path), size)
            except TileMalformed:
                expected = False
            if not expected:
                self._found(path, Outcome.WRONG, FileUnknown(path=path))

    def _check_tree(self, head: Checkpoint) -> None:
        # Two trees, counted apart: one of the leaf hashes in the tiles, one of the hashed entries. Either
        # ends (None) where a file is missing, so that no root is made up from half of the files.
        tiles: MemoryTree | None = MemoryTree()
        entries: Frontier | None = Frontier()
        waiting = self._earlier_heads(head)
        for bundle in bundles_of_size(head.size):
            hashes = self._tile(Tile(0, bundle.index, bundle.width))
            leaves = self._bundle(bundle, hashes)
            if hashes is None:
                tiles = None
            elif tiles is not None:
                tiles.extend(hashes)
            for tile in _upper_tiles_ending_with(bundle):
                self._compare_upper(tile, tiles)  # (4)
            if leaves is None:
                entries = None
            elif entries is not None:
                entries = self._extend_past_heads(entries, leaves, waiting)
            if self.progress is not None:
                self.progress(bundle.first + bundle.width, head.size)
        for tile in edge_of_size(head.size):
            if tile.level:
                self._compare_upper(tile, tiles)
        # (5)
        if tiles is not None:
            self.root_of_tiles = tiles.root
            self._compare_root("tiles", tiles.root, head)
        if entries is not None:
            self.root_of_entries = entries.root
            self._compare_root("entries", entries.root, head)

    def _tile(self, tile: Tile) -> tuple[bytes, ...] | None:
        data = self._read(tile.path)
        if data is None:
            return None
        try:
            return decode_tile(data, tile.width)
        except Malformed as error:
            self._found(tile.path, Outcome.WRONG, error)
            return None

    def _bundle(self, bundle: Bundle, hashes: tuple[bytes, ...] | None) -> tuple[bytes, ...] | None:
        data = self._read(bundle.path)
        if data is None:
            return None
        try:
            leaves = tuple(map(leaf_hash, decode_bundle(data, bundle.width)))
        except Malformed as error:
            self._found(bundle.path, Outcome.WRONG, error)
            return None
        if leaves == hashes:  # (3)
            self.entries += bundle.width
        elif hashes is not None:
            for place, (leaf, item) in enumerate(zip(leaves, hashes, strict=True)):
                if leaf == item:
                    self.entries += 1
                else:
                    index = bundle.first + place
                    self._found(bundle.path, Outcome.WRONG, EntryMismatch(path=bundle.path, index=index))
        return leaves

    def _compare_upper(self, tile: Tile, tree: MemoryTree | None) -> None:
        data = self._read(tile.path)
        if data is None:
            return
        expected = tree.tile(tile) if tree is not None else None
        if len(data) != tile.width * HASH_SIZE:
            error = TileMalformed(detail=f"{len(data)} bytes instead of {tile.width * HASH_SIZE}")
            self._found(tile.path, Outcome.WRONG, error)
        elif expected is not None and data != expected:
            place = next(at for at in range(len(data)) if data[at] != expected[at]) // HASH_SIZE
            self._found(tile.path, Outcome.WRONG, TileMismatch(path=tile.path, place=place))

    def _compare_root(self, made_from: str, root: bytes, head: Checkpoint) -> None:
        if root != head.root:
            error = RootMismatch(path=CHECKPOINT_PATH, made_from=made_from, root=root)
            self._found(CHECKPOINT_PATH, Outcome.WRONG, error)

    def _earlier_heads(self, head: Checkpoint) -> list[Checkpoint]:
        """The earlier checkpoints that lie in this ledger, smallest last; the others are findings."""
        inside: list[Checkpoint] = []
        for known in self.earlier:
            if known.origin != head.origin:
                self._found(CHECKPOINT_PATH, Outcome.WRONG, LogUnknown(origin=known.origin))
            elif known.size > head.size:
                error = LedgerRollback(signed=known.size, offered=head.size)
                self._found(CHECKPOINT_PATH, Outcome.WRONG, error)
            elif known.size == head.size:
                self._compare_heads(known, head.root)
            elif known.size == 0:
                self._compare_heads(known, Frontier().root)
            else:
                inside.append(known)
        return sorted(inside, key=lambda item: item.size, reverse=True)

    def _compare_heads(self, known: Checkpoint, root: bytes) -> None:
        if known.root != root:
            error = LedgerFork(size=known.size, ours=known.root, theirs=root)
            self._found(CHECKPOINT_PATH, Outcome.WRONG, error)

    def _extend_past_heads(
        self, frontier: Frontier, leaves: tuple[bytes, ...], waiting: list[Checkpoint]
    ) -> Frontier:
        """Append the leaves, and compare the root at each earlier size that is passed (6)."""
        start = frontier.size
        while waiting and waiting[-1].size <= start + len(leaves):
            known = waiting.pop()
            frontier = frontier.extended(leaves[frontier.size - start : known.size - start])
            self._compare_heads(known, frontier.root)
        return frontier.extended(leaves[frontier.size - start :])


def _upper_tiles_ending_with(bundle: Bundle) -> Iterator[Tile]:
    """The full tiles above level 0 that are complete with the last entry of this bundle, lowest first."""
    end = bundle.first + bundle.width
    level = 1
    while not end % (1 << TILE_HEIGHT * (level + 1)):
        yield Tile(level, (end >> TILE_HEIGHT * (level + 1)) - 1, WIDTH)
        level += 1
