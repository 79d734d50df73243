"""Names and bytes of tiles and bundles."""

from __future__ import annotations

import pytest

from exchange.ledger.errors import BundleMalformed, LedgerError, TileMalformed
from exchange.ledger.merkle import MAX_SIZE, leaf_hash
from exchange.ledger.tiles import (
    Bundle,
    Tile,
    belongs,
    bundles_of_size,
    decode_bundle,
    decode_path,
    decode_tile,
    edge_of_size,
    encode_bundle,
    encode_tile,
    paths_of_size,
    tile_root,
    tiles_of_size,
    width_at,
)
from tests.exchange.ledger.builders import entries_of, one_byte_edits
from tests.reference.merkle import ReferenceTree


@pytest.mark.parametrize(
    ("file", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 1, 17), "tile/1/001.p/17"),
        (Tile(63, 999, 1), "tile/63/999.p/1"),
        (Tile(0, 1000, 255), "tile/0/x001/000.p/255"),
        (Bundle(273, 112), "tile/entries/273.p/112"),
        (Bundle(5), "tile/entries/005"),
        (Tile(0, MAX_SIZE // 256), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_path_and_back(file: Tile | Bundle, path: str) -> None:
    assert file.path == path
    assert decode_path(path) == file


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/00/001",
        "tile/64/001",
        "tile/-1/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/0/001.p/",
        "tile/0/001.p",
        "tile/0/001/",
        "/tile/0/001",
        "tile/0/001\n",
        "tile/0/٠٠١",
        "tile/0/../0/001",
        "tile/data/001",
        "tile/entries/001.p/256",
        "tile/0/" + "x999/" * 6 + "999",
        "tile/0/" + "x999/" * 60 + "999",
    ],
)
def test_path_with_another_spelling_is_refused(path: str) -> None:
    with pytest.raises(TileMalformed):
        decode_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257), (0, 2**56, 1)]
)
def test_tile_that_cannot_be_is_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(TileMalformed):
        Tile(level, index, width)


def test_every_edit_of_a_path_is_another_file_or_none() -> None:
    path = b"tile/0/x001/067.p/9"
    for _, edited in one_byte_edits(path):
        try:
            text = edited.decode()
            found = decode_path(text)
        except (UnicodeDecodeError, LedgerError):
            continue
        assert found.path == text
        assert found != Tile(0, 1067, 9)


def test_example_of_the_standard() -> None:
    tiles = list(tiles_of_size(70_000))
    assert len(tiles) == 274 + 2 + 1
    assert [tile.path for tile in tiles[-5:]] == [
        "tile/0/272",
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [tile.path for tile in tiles_of_size(256)] == ["tile/0/000", "tile/1/000.p/1"]


def test_empty_ledger_is_a_checkpoint_alone() -> None:
    assert list(paths_of_size(0)) == ["checkpoint"]
    assert edge_of_size(0) == ()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000])
def test_layout_of_a_size(size: int) -> None:
    tiles = list(tiles_of_size(size))
    bundles = list(bundles_of_size(size))
    assert len(set(tiles)) == len(tiles)
    assert sum(tile.width for tile in tiles if tile.level == 0) == size
    assert sum(bundle.width for bundle in bundles) == size
    for level in range(1, 4):
        assert sum(tile.width for tile in tiles if tile.level == level) == size // 256**level
    assert {tile for tile in tiles if not tile.full} == set(edge_of_size(size))
    for file in [*tiles, *bundles]:
        assert belongs(file, size)
        assert belongs(decode_path(file.path), size)
    for other in (Tile(0, size // 256 + 1, 1), Bundle(size // 256 + 1), Tile(5, 0, 1), Tile(9, 0)):
        assert not belongs(other, size)
    last = tiles[-1]
    assert not belongs(Tile(last.level, last.index, last.width % 256 + 1), size)


def test_width_of_the_largest_ledger_is_computed() -> None:
    assert width_at(7, 0, MAX_SIZE) == 127
    assert width_at(8, 0, MAX_SIZE) == 0
    assert [tile.width for tile in edge_of_size(MAX_SIZE)] == [255] * 7 + [127]


def test_tile_bytes_and_back() -> None:
    hashes = tuple(leaf_hash(entry) for entry in entries_of(5))
    data = encode_tile(hashes)
    assert decode_tile(data, 5) == hashes
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(TileMalformed):
            decode_tile(wrong, 5)
    for bad in ((), (b"short",), hashes * 60):
        with pytest.raises(TileMalformed):
            encode_tile(bad)


def test_root_of_a_full_tile() -> None:
    entries = entries_of(256)
    hashes = [leaf_hash(entry) for entry in entries]
    assert tile_root(hashes) == ReferenceTree(entries).mth(0, 256)
    with pytest.raises(TileMalformed):
        tile_root(hashes[:255])


def test_bundle_of_the_worked_example() -> None:
    data = encode_bundle([b"alpha", b"beta", b"gamma"])
    assert data.hex() == "0005616c706861000462657461000567616d6d61"
    assert decode_bundle(data, 3) == (b"alpha", b"beta", b"gamma")


def test_every_edit_of_a_bundle_is_refused_or_gives_other_entries() -> None:
    entries = (b"alpha", b"", b"gamma")
    data = encode_bundle(entries)
    for _, edited in one_byte_edits(data):
        try:
            found = decode_bundle(edited, 3)
        except BundleMalformed:
            continue
        assert encode_bundle(found) == edited
        assert (found == entries) == (edited == data)


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\0", 1),
        (b"\0\5abcd", 1),
        (b"\0\1a\0", 1),
        (b"\0\1a", 2),
        (b"\0\0\0\0", 1),
        (bytes(256 * 65_537 + 2), 256),
    ],
)
def test_bundle_of_other_length_is_refused(data: bytes, width: int) -> None:
    with pytest.raises(BundleMalformed):
        decode_bundle(data, width)


def test_bundle_that_cannot_be_is_refused() -> None:
    assert len(encode_bundle([bytes(65_535)])) == 65_537
    for entries in ([], [bytes(65_536)], [b""] * 257):
        with pytest.raises(BundleMalformed):
            encode_bundle(entries)
