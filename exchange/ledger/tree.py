"""Proofs out of tiles, and the growing right edge of a ledger.

    tiles_needed_for_inclusion(5, 70_000)  ->  {tile/0/000, tile/1/000, tile/1/001.p/17, ...}
    TileNodes(the tiles read)              ->  the ``node`` that ``merkle`` asks for
    MemoryTree                             ->  the same for a ledger that grows, without reading

A client or an auditor reads tiles and makes its own proofs from :class:`TileNodes`. The hub
keeps one :class:`MemoryTree` per ledger: it appends a batch of leaf hashes and makes the
proofs of the whole batch from memory. Neither judges anything: a proof made from
wrong tiles is a wrong proof, and ``merkle.check_inclusion`` says so.

C2SP tlog-tiles for the tiles, RFC 9162 §2.1 for the proofs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from exchange.ledger.errors import HashMalformed, NodeMissing, OutOfTree, TileMalformed
from exchange.ledger.merkle import (
    HASH_SIZE,
    MAX_SIZE,
    Frontier,
    Node,
    consistency_proof,
    fold,
    frontier_level,
    inclusion_proof,
    node_hash,
    path_above,
)
from exchange.ledger.tiles import (
    TILE_HEIGHT,
    WIDTH,
    Tile,
    decode_tile,
    edge_of_size,
    encode_tile,
    width_at,
)


def place_of_node(level: int, index: int) -> tuple[int, int, int, int]:
    """Where a node lies: its tile's level and index, the row inside the tile, the place in that row."""
    tile_level, row = divmod(level, TILE_HEIGHT)
    tile_index, place = divmod(index, WIDTH >> row)
    return tile_level, tile_index, row, place


def tiles_needed_for_inclusion(index: int, size: int) -> frozenset[Tile]:
    """The tiles, in their width at that size, from which the inclusion proof can be made.

    Raises:
        OutOfTree: no such entry at that size.
    """
    needed: set[Tile] = set()
    inclusion_proof(index, size, _recorder(needed, size))
    return frozenset(needed)


def tiles_needed_for_consistency(old: int, new: int) -> frozenset[Tile]:
    """The tiles, in their width at the new size, from which the consistency proof can be made.

    Raises:
        OutOfTree: the old size is 0 or above the new one.
    """
    needed: set[Tile] = set()
    consistency_proof(old, new, _recorder(needed, new))
    return frozenset(needed)


def _recorder(needed: set[Tile], size: int) -> Node:
    """A node function that answers nonsense and writes down which tiles were asked for."""

    def node(level: int, index: int) -> bytes:
        tile_level, tile_index, _, _ = place_of_node(level, index)
        needed.add(Tile(tile_level, tile_index, width_at(tile_level, tile_index, size)))
        return bytes(HASH_SIZE)

    return node


class TileTree:
    """One tile and the nodes inside it, row by row; a row is hashed when first asked for, then kept."""

    __slots__ = ("rows",)

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self.rows: list[list[bytes]] = [list(hashes)]

    def node(self, row: int, place: int) -> bytes | None:
        """The node, or None where the tile is too narrow to have it."""
        while len(self.rows) <= row:
            below = self.rows[-1]
            self.rows.append(
                [node_hash(below[at], below[at + 1]) for at in range(0, len(below) & ~1, 2)],
            )
        nodes = self.rows[row]
        return nodes[place] if place < len(nodes) else None

    def append(self, item: bytes) -> None:
        """Put one more hash at the right end and complete the rows; only for a tree that began empty."""
        rows = self.rows
        row = 0
        while True:
            if row == len(rows):
                rows.append([])
            nodes = rows[row]
            nodes.append(item)
            if len(nodes) & 1:
                return
            item = node_hash(nodes[-2], item)
            row += 1


class TileNodes:
    """The ``node`` function over tiles that were read; proofs from the same tiles share the hashing.

    Give at least the tiles that ``tiles_needed_for_...`` names, under those names.

    Raises:
        TileMalformed: the bytes of a tile have another length than its width says.
    """

    def __init__(self, tiles: Mapping[Tile, bytes]) -> None:
        self._trees: dict[tuple[int, int], TileTree] = {}
        for tile, data in tiles.items():
            tree = TileTree(decode_tile(data, tile.width))
            held = self._trees.get((tile.level, tile.index))
            # The widest of several widths of one tile has all that the others have.
            if held is None or len(held.rows[0]) < tile.width:
                self._trees[tile.level, tile.index] = tree

    def __call__(self, level: int, index: int) -> bytes:
        """The root of that perfect subtree.

        Raises:
            NodeMissing: its tile was not given, or too narrow.
        """
        tile_level, tile_index, row, place = place_of_node(level, index)
        tree = self._trees.get((tile_level, tile_index))
        found = tree.node(row, place) if tree is not None else None
        if found is None:
            raise NodeMissing(path=Tile(tile_level, tile_index).path)
        return found


class MemoryTree:
    """The right edge of a growing ledger, and a bounded number of full tiles beside it.

    Holds the last tile of each level for good, and the ``cached`` full tiles that were finished or
    used last. Proofs for entries appended since the start, or lately, need nothing else; for
    an older entry give the tiles of ``tiles_missing`` to ``give`` first.

    Nothing in it is durable and nothing is checked against a signed root: whoever restores one
    compares ``root`` with the root that was signed.
    """

    def __init__(self, *, cached: int = 64) -> None:
        self._size = 0
        self._edge: list[TileTree] = [TileTree()]
        self._cache: OrderedDict[tuple[int, int], TileTree] = OrderedDict()
        self._cached = max(cached, 1)
        self._root: tuple[int, bytes] | None = None

    @classmethod
    def restore(cls, size: int, tiles: Mapping[Tile, bytes], *, cached: int = 64) -> MemoryTree:
        """A tree of that size from the partial tiles that ``tiles.edge_of_size`` names.

        Raises:
            NodeMissing: one of them is not there.
            TileMalformed: one of them has the wrong length.
            OutOfTree: no ledger has that size.
        """
        if not 0 <= size <= MAX_SIZE:
            raise OutOfTree(asked=size, size=MAX_SIZE)
        tree = cls(cached=cached)
        tree._size = size
        for tile in edge_of_size(size):
            if tile not in tiles:
                raise NodeMissing(path=tile.path)
            while len(tree._edge) <= tile.level:
                tree._edge.append(TileTree())
            edge = tree._edge[tile.level]
            for item in decode_tile(tiles[tile], tile.width):
                edge.append(item)
        return tree

    @property
    def size(self) -> int:
        """How many entries the ledger has."""
        return self._size

    @property
    def frontier(self) -> Frontier:
        """The frontier at the present size."""
        return self.frontier_at(self._size)

    @property
    def root(self) -> bytes:
        """The root at the present size."""
        if self._root is None or self._root[0] != self._size:
            self._root = (self._size, self.frontier.root)
        return self._root[1]

    def frontier_at(self, size: int) -> Frontier:
        """The frontier at an earlier size.

        Raises:
            OutOfTree: the ledger is not that large.
            NodeMissing: the size lies so far back that its tiles are no longer held.
        """
        self._check_size(size)
        levels = range(size.bit_length() - 1, -1, -1)
        return Frontier(size, tuple(self.node(at, (size >> at) - 1) for at in levels if size >> at & 1))

    def extend(self, leaves: Iterable[bytes]) -> tuple[Tile, ...]:
        """Append leaf hashes, in order; returns the tiles that became full, in the order they did.

        Raises:
            HashMalformed: a leaf hash is not 32 bytes; nothing was appended.
        """
        batch = list(leaves)
        if any(len(leaf) != HASH_SIZE for leaf in batch):
            raise HashMalformed(detail="a leaf hash is not 32 bytes")
        finished: list[Tile] = []
        edge = self._edge[0]
        for leaf in batch:
            edge.append(leaf)
            self._size += 1
            if not self._size % WIDTH:
                finished += self._finish()
                edge = self._edge[0]
        return tuple(finished)

    def _finish(self) -> Iterator[Tile]:
        """Move the full tiles from the edge to the cache, and their roots one level up."""
        level = 0
        while len(self._edge[level].rows[0]) == WIDTH:
            tree = self._edge[level]
            tile = Tile(level, (self._size >> TILE_HEIGHT * (level + 1)) - 1)
            self._edge[level] = TileTree()
            self._keep(tile, tree)
            if level + 1 == len(self._edge):
                self._edge.append(TileTree())
            self._edge[level + 1].append(tree.rows[TILE_HEIGHT][0])
            yield tile
            level += 1

    def _keep(self, tile: Tile, tree: TileTree) -> None:
        self._cache[tile.level, tile.index] = tree
        self._cache.move_to_end((tile.level, tile.index))
        while len(self._cache) > self._cached:
            self._cache.popitem(last=False)

    def give(self, tile: Tile, data: bytes) -> None:
        """Put a full tile that was read from storage into the cache; the one used longest ago leaves.

        Raises:
            TileMalformed: not the bytes of a full tile of this ledger.
        """
        if not tile.full or width_at(tile.level, tile.index, self._size) != WIDTH:
            raise TileMalformed(detail=f"{tile.path} is not a full tile of this ledger")
        self._keep(tile, TileTree(decode_tile(data, tile.width)))

    def tiles_missing(self, needed: Iterable[Tile]) -> tuple[Tile, ...]:
        """Those of the tiles, all full ones, that are neither on the edge nor in the cache."""
        return tuple(
            Tile(tile.level, tile.index) for tile in needed if self._tree(tile.level, tile.index) is None
        )

    def tile(self, tile: Tile) -> bytes | None:
        """The bytes of a tile in that width, or None where it is not held."""
        tree = self._tree(tile.level, tile.index)
        if tree is None or len(tree.rows[0]) < tile.width:
            return None
        return encode_tile(tree.rows[0][: tile.width])

    def edge(self) -> dict[Tile, bytes]:
        """The partial tiles at the present size: what ``restore`` needs."""
        return {tile: encode_tile(self._edge[tile.level].rows[0]) for tile in edge_of_size(self._size)}

    def node(self, level: int, index: int) -> bytes:
        """The root of that perfect subtree, from memory.

        Raises:
            NodeMissing: its tile is not held.
        """
        tile_level, tile_index, row, place = place_of_node(level, index)
        tree = self._tree(tile_level, tile_index)
        found = tree.node(row, place) if tree is not None else None
        if found is None:
            raise NodeMissing(path=Tile(tile_level, tile_index).path)
        return found

    def _tree(self, level: int, index: int) -> TileTree | None:
        if level < len(self._edge) and index == self._size >> TILE_HEIGHT * (level + 1):
            return self._edge[level]
        tree = self._cache.get((level, index))
        if tree is not None:
            self._cache.move_to_end((level, index))
        return tree

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof of one entry in the tree of that size, or of the present one.

        Raises:
            OutOfTree: no such entry or size.
            NodeMissing: a tile is needed that is not held.
        """
        at = self._size if size is None else size
        self._check_size(at)
        return inclusion_proof(index, at, self.node)

    def inclusion_proofs(self, indexes: Iterable[int], size: int | None = None) -> list[tuple[bytes, ...]]:
        """The proofs of many entries at one size; what their paths share is made once.

        Made for a fresh batch: all proofs share the part above their tile, and inside the tile
        a proof is eight look-ups.

        Raises:
            OutOfTree: no such entry or size.
            NodeMissing: a tile is needed that is not held.
        """
        at = self._size if size is None else size
        self._check_size(at)
        proofs: list[tuple[bytes, ...]] = []
        above: dict[int, tuple[bytes, ...]] = {}  # by frontier level: the end of the path
        shared: dict[int, tuple[bytes, ...]] = {}  # by tile: the path above a whole tile
        held, rows = -1, TileTree().rows
        for index in indexes:
            if not 0 <= index < at:
                raise OutOfTree(asked=index, size=at)
            top = frontier_level(0, index, at)
            if index >> TILE_HEIGHT != held:
                held = index >> TILE_HEIGHT
                rows = self._complete_rows(held)
            inside = index & (WIDTH - 1)
            siblings = [rows[row][(inside >> row) ^ 1] for row in range(min(top, TILE_HEIGHT))]
            if top >= TILE_HEIGHT:
                rest = shared.get(held)
                if rest is None:
                    upper = (self.node(level, (index >> level) ^ 1) for level in range(TILE_HEIGHT, top))
                    rest = shared[held] = (*upper, *path_above(top, at, self.node))
            else:
                rest = above.get(top)
                if rest is None:
                    rest = above[top] = tuple(path_above(top, at, self.node))
            proofs.append((*siblings, *rest))
        return proofs

    def _complete_rows(self, index: int) -> list[list[bytes]]:
        tree = self._tree(0, index)
        if tree is None:
            raise NodeMissing(path=Tile(0, index).path)
        tree.node(TILE_HEIGHT, 0)
        return tree.rows

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """The proof that the tree of ``old`` entries is a prefix of that of ``new``, or of the present one.

        Raises:
            OutOfTree: no such sizes.
            NodeMissing: a tile is needed that is not held.
        """
        at = self._size if new is None else new
        self._check_size(at)
        return consistency_proof(old, at, self.node)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise OutOfTree(asked=size, size=self._size)


def root_of_tiles(size: int, tiles: Mapping[Tile, bytes]) -> bytes:
    """The root of a ledger of that size from its partial tiles alone (those of ``tiles.edge_of_size``).

    Raises:
        NodeMissing: one of them is not there.
        TileMalformed: one of them has the wrong length.
    """
    node = TileNodes(tiles)
    levels = range(size.bit_length() - 1, -1, -1)
    return fold([node(at, (size >> at) - 1) for at in levels if size >> at & 1])
