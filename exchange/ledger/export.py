"""The files of a static ledger folder, made from the entries.

Exactly the static tlog-tiles layout for the size of one checkpoint: full tiles and bundles, the partial
ones of that size, and ``checkpoint``, which comes last: a folder whose writing broke off has none and is
not taken for a ledger. The caller writes the files; nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from exchange.ledger.errors import LeavesMissing, LedgerFork
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.policy import VerifiedCheckpoint
from exchange.ledger.tiles import CHECKPOINT_PATH, WIDTH, Bundle, encode_bundle
from exchange.ledger.tree import MemoryTree


def export_files(entries: Iterable[bytes], verified: VerifiedCheckpoint) -> Iterator[tuple[str, bytes]]:
    """The paths and bytes of the export for a checkpoint, in one pass over the entries; memory stays flat.

    Takes the first entries up to the size of the checkpoint and leaves the rest. The checkpoint is written
    without lines of unknown keys.

    Raises:
        LeavesMissing: fewer entries than the checkpoint says.
        LedgerFork: the entries do not lead to its root. Neither yields the checkpoint.
        BundleMalformed: an entry is above 65,535 bytes.
    """
    checkpoint = verified.checkpoint
    tree = MemoryTree()
    stream = iter(entries)
    while tree.size < checkpoint.size:
        batch = list(islice(stream, min(WIDTH, checkpoint.size - tree.size)))
        if not batch:
            raise LeavesMissing(needed=checkpoint.size, given=tree.size)
        bundle = Bundle(tree.size // WIDTH, len(batch))
        yield bundle.path, encode_bundle(batch)
        for tile in tree.extend(map(leaf_hash, batch)):
            data = tree.tile(tile)
            assert data is not None, "a tile that has just become full is held"
            yield tile.path, data
    for tile, data in tree.edge().items():
        yield tile.path, data
    if tree.root != checkpoint.root:
        raise LedgerFork(size=checkpoint.size, ours=tree.root, theirs=checkpoint.root)
    yield CHECKPOINT_PATH, verified.trimmed
