"""The files of the static layout: tiles, entry bundles, their paths.

For a ledger of 70,000 entries, beside ``checkpoint``:

    tile/0/000 ... tile/0/272          273 full tiles of leaf hashes
    tile/0/273.p/112                   the last 112 leaf hashes
    tile/1/000  tile/1/001.p/17        one hash for each full tile below
    tile/2/000.p/1
    tile/entries/000 ... tile/entries/273.p/112

A tile holds up to 256 hashes of 32 bytes. Hash ``i`` of tile ``n`` at level ``l`` is the root over
the entries from ``(n * 256 + i) * 256**l``, 256**l of them; only full tiles are hashed upward. A
bundle holds the entries of the level-0 tile of the same index, each behind its length in
two bytes, big-endian.

C2SP tlog-tiles v0.1.0. This module knows names and bytes; ``tree`` makes proofs out of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from exchange.ledger.errors import BundleMalformed, TileMalformed
from exchange.ledger.merkle import HASH_SIZE, MAX_SIZE, node_hash

WIDTH: Final = 256
"""Hashes in a full tile, entries in a full bundle."""

TILE_HEIGHT: Final = 8
MAX_ENTRY: Final = 65_535
MAX_TILE_BYTES: Final = WIDTH * HASH_SIZE
MAX_BUNDLE_BYTES: Final = WIDTH * (2 + MAX_ENTRY)
CHECKPOINT_PATH: Final = "checkpoint"

_MAX_LEVEL: Final = 63
_TILE_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of one tile: level, index in the level, and how many hashes it holds.

    Raises:
        TileMalformed: no tile can have these coordinates.
    """

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= _MAX_LEVEL:
            raise TileMalformed(detail=f"level {self.level}")
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        """Where it lies in the static layout."""
        return f"tile/{self.level}/{_encode_place(self.index, self.width)}"

    @property
    def full(self) -> bool:
        """Whether it holds all 256 hashes, so that it will never change or move again."""
        return self.width == WIDTH


@dataclass(frozen=True, slots=True)
class Bundle:
    """The name of one entry bundle: its index and how many entries it holds.

    Raises:
        TileMalformed: no bundle can have this name.
    """

    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        """Where it lies in the static layout."""
        return f"tile/entries/{_encode_place(self.index, self.width)}"

    @property
    def first(self) -> int:
        """The index of its first entry in the ledger."""
        return self.index * WIDTH


def _check_place(index: int, width: int) -> None:
    if not 0 <= index <= MAX_SIZE // WIDTH:
        raise TileMalformed(detail=f"index {index}")
    if not 1 <= width <= WIDTH:
        raise TileMalformed(detail=f"width {width}")


def _encode_place(index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03}")
    path = "/".join(reversed(groups))
    return path if width == WIDTH else f"{path}.p/{width}"


def decode_path(path: str) -> Tile | Bundle:
    """The tile or bundle that a path names. Strict: one path for each, so ``decode_path(x).path == x``.

    Raises:
        TileMalformed: it names neither.
    """
    found = _TILE_PATH.fullmatch(path) if len(path) <= 64 else None
    if found is None:
        raise TileMalformed(detail="no such path in the layout")
    kind, place, partial = found.groups()
    index = int(place.replace("x", "").replace("/", ""))
    width = int(partial) if partial else WIDTH
    file = Bundle(index, width) if kind == "entries" else Tile(int(kind), index, width)
    # Refuses x000/001 for 001 and 000.p/256 for 000.
    if file.path != path:
        raise TileMalformed(detail="not the shortest form of its path")
    return file


def width_at(level: int, index: int, size: int) -> int:
    """How many hashes the tile has in a ledger of ``size`` entries; 0 where there is none."""
    return max(0, min(WIDTH, (size >> TILE_HEIGHT * level) - index * WIDTH))


def belongs(file: Tile | Bundle, size: int) -> bool:
    """Whether this file, in this width, is part of the static layout of a ledger of that size."""
    level = file.level if isinstance(file, Tile) else 0
    return file.width == width_at(level, file.index, size)


def tiles_of_size(size: int) -> Iterator[Tile]:
    """Exactly the tiles of a ledger of that size, level by level: full ones, then the partial one, if any."""
    level = 0
    while hashes := size >> TILE_HEIGHT * level:
        for index in range((hashes + WIDTH - 1) // WIDTH):
            yield Tile(level, index, width_at(level, index, size))
        level += 1


def bundles_of_size(size: int) -> Iterator[Bundle]:
    """Exactly the entry bundles of a ledger of that size, in order."""
    for index in range((size + WIDTH - 1) // WIDTH):
        yield Bundle(index, width_at(0, index, size))


def paths_of_size(size: int) -> Iterator[str]:
    """Every file of the static layout: tiles, bundles and, last, the checkpoint."""
    yield from (tile.path for tile in tiles_of_size(size))
    yield from (bundle.path for bundle in bundles_of_size(size))
    yield CHECKPOINT_PATH


def edge_of_size(size: int) -> tuple[Tile, ...]:
    """The partial tiles of a ledger of that size, one at most for each level, lowest first."""
    return tuple(
        Tile(level, (size >> TILE_HEIGHT * level) // WIDTH, width)
        for level in range(_MAX_LEVEL // TILE_HEIGHT + 1)
        if (width := (size >> TILE_HEIGHT * level) % WIDTH)
    )


def encode_tile(hashes: Iterable[bytes]) -> bytes:
    """The bytes of a tile.

    Raises:
        TileMalformed: none or more than 256 hashes, or one that is not 32 bytes.
    """
    items = tuple(hashes)
    if not 1 <= len(items) <= WIDTH or any(len(item) != HASH_SIZE for item in items):
        raise TileMalformed(detail=f"{len(items)} hashes, or one that is not 32 bytes")
    return b"".join(items)


def decode_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """The hashes of a tile of that width.

    Raises:
        TileMalformed: the length is another.
    """
    if len(data) != width * HASH_SIZE:
        raise TileMalformed(detail=f"{len(data)} bytes instead of {width * HASH_SIZE}")
    return tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE))


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """The bytes of an entry bundle.

    Raises:
        BundleMalformed: none or more than 256 entries, or one above 65,535 bytes.
    """
    items = tuple(entries)
    if not 1 <= len(items) <= WIDTH or any(len(item) > MAX_ENTRY for item in items):
        raise BundleMalformed(detail=f"{len(items)} entries, or one above {MAX_ENTRY} bytes")
    return b"".join(len(item).to_bytes(2, "big") + item for item in items)


def decode_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle of that width; they are not yet checked against any hash.

    Raises:
        BundleMalformed: not exactly that many whole entries.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleMalformed(detail=f"more than {MAX_BUNDLE_BYTES} bytes")
    entries: list[bytes] = []
    at, end = 0, len(data)
    while at < end and len(entries) < width:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != end or len(entries) != width:
        raise BundleMalformed(detail=f"not {width} whole entries")
    return tuple(entries)


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """The hash of a full tile in the level above.

    Raises:
        TileMalformed: the tile is not full; partial tiles are never hashed upward.
    """
    if len(hashes) != WIDTH:
        raise TileMalformed(detail=f"{len(hashes)} hashes do not make a full tile")
    row = hashes
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]
