"""Proofs out of tiles and out of memory, at every size and across the boundaries of tiles."""

from __future__ import annotations

from functools import cache

import pytest

from exchange.ledger.errors import HashMalformed, NodeMissing, OutOfTree, TileMalformed
from exchange.ledger.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
)
from exchange.ledger.tiles import Tile, edge_of_size, encode_tile, tiles_of_size, width_at
from exchange.ledger.tree import (
    MemoryTree,
    TileNodes,
    root_of_tiles,
    tiles_needed_for_consistency,
    tiles_needed_for_inclusion,
)
from tests.reference.merkle import ReferenceTree

BIG = 70_000
BOUNDARIES = [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, BIG]


@cache
def reference() -> ReferenceTree:
    return ReferenceTree([b"%d" % number for number in range(BIG)])


@cache
def leaves() -> list[bytes]:
    return [leaf_hash(entry) for entry in reference().entries]


@cache
def hashes_of_level(level: int) -> list[bytes]:
    """The hashes of a tile level for the whole of the big tree, by the reference."""
    span = 256**level
    return [reference().mth(at * span, (at + 1) * span) for at in range(BIG // span)]


def tile_bytes(tile: Tile) -> bytes:
    start = tile.index * 256
    return encode_tile(hashes_of_level(tile.level)[start : start + tile.width])


@cache
def whole_tree() -> MemoryTree:
    tree = MemoryTree(cached=1000)
    tree.extend(leaves())
    return tree


def indexes_for(size: int) -> set[int]:
    wanted = {0, 1, 254, 255, 256, 257, 511, 512, 65_535, 65_536, size // 2, size - 2, size - 1}
    return {index for index in wanted if 0 <= index < size}


@pytest.mark.parametrize("size", BOUNDARIES)
def test_inclusion_proofs_from_exactly_the_tiles_needed(size: int) -> None:
    root = reference().mth(0, size)
    for index in indexes_for(size):
        needed = tiles_needed_for_inclusion(index, size)
        assert needed <= set(tiles_of_size(size))
        proof = inclusion_proof(index, size, TileNodes({tile: tile_bytes(tile) for tile in needed}))
        assert list(proof) == reference().path(index, 0, size)
        check_inclusion(leaf=leaves()[index], index=index, size=size, proof=proof, root=root)
        for missing in needed:
            node = TileNodes({tile: tile_bytes(tile) for tile in needed if tile != missing})
            with pytest.raises(NodeMissing):
                inclusion_proof(index, size, node)


@pytest.mark.parametrize("new", BOUNDARIES)
def test_consistency_proofs_from_exactly_the_tiles_needed(new: int) -> None:
    for old in {1, 2, 255, 256, 257, 512, 65_535, 65_536, 65_537, new // 2, new - 1, new}:
        if not 0 < old <= new:
            continue
        needed = tiles_needed_for_consistency(old, new)
        assert needed <= set(tiles_of_size(new))
        proof = consistency_proof(old, new, TileNodes({tile: tile_bytes(tile) for tile in needed}))
        assert list(proof) == reference().proof(old, new)
        check_consistency(
            old_size=old,
            old_root=reference().mth(0, old),
            new_size=new,
            new_root=reference().mth(0, new),
            proof=proof,
        )


@pytest.mark.parametrize("size", [0, 1, *BOUNDARIES])
def test_root_is_in_the_partial_tiles_alone(size: int) -> None:
    edge = {tile: tile_bytes(tile) for tile in edge_of_size(size)}
    assert root_of_tiles(size, edge) == reference().mth(0, size)


@pytest.mark.parametrize("size", [0, 1, *BOUNDARIES])
def test_memory_tree_restored_from_its_edge_goes_on(size: int) -> None:
    tree = MemoryTree()
    tree.extend(leaves()[:size])
    again = MemoryTree.restore(size, tree.edge())
    assert again.size == size
    assert again.root == tree.root == reference().mth(0, size)
    assert again.frontier == tree.frontier
    more = leaves()[size : size + 600]
    assert again.extend(more) == tree.extend(more)
    assert again.root == tree.root == reference().mth(0, size + len(more))
    assert again.edge() == tree.edge()


def test_memory_tree_has_the_root_and_the_tiles_of_every_size() -> None:
    tree = MemoryTree()
    for size in range(1, 700):
        finished = tree.extend([leaves()[size - 1]])
        assert tree.root == reference().mth(0, size)
        assert finished == ((Tile(0, size // 256 - 1),) if size % 256 == 0 else ())
        for tile in tiles_of_size(size):
            assert tree.tile(tile) == tile_bytes(tile)


def test_memory_tree_names_every_tile_that_became_full() -> None:
    tree = MemoryTree()
    finished = tree.extend(leaves()[:65_536])
    assert len(finished) == 257
    assert finished[-2:] == (Tile(0, 255), Tile(1, 0))
    assert tree.tile(Tile(1, 0)) == tile_bytes(Tile(1, 0))


@pytest.mark.parametrize("size", BOUNDARIES)
def test_proofs_of_a_fresh_batch_are_those_of_the_reference(size: int) -> None:
    tree = MemoryTree()
    tree.extend(leaves()[: max(0, size - 500)])
    start = tree.size
    tree.extend(leaves()[start:size])
    proofs = tree.inclusion_proofs(range(start, size))
    assert [list(proof) for proof in proofs] == [
        reference().path(index, 0, size) for index in range(start, size)
    ]
    assert proofs[-1] == tree.inclusion_proof(size - 1)


def test_proofs_of_every_entry_in_every_small_size() -> None:
    tree = MemoryTree()
    tree.extend(leaves()[:300])
    for size in range(1, 301):
        expected = [tuple(reference().path(index, 0, size)) for index in range(size)]
        assert tree.inclusion_proofs(range(size), size) == expected
        assert tree.frontier_at(size) == Frontier().extended(leaves()[:size])
        for old in (1, size // 2, size - 1):
            if old > 0:
                assert tree.consistency_proof(old, size) == tuple(reference().proof(old, size))


def test_proofs_in_any_order_of_entries() -> None:
    indexes = [69_999, 0, 65_536, 300, 65_535, 69_888, 1, 255, 256]
    assert whole_tree().inclusion_proofs(indexes) == [
        whole_tree().inclusion_proof(index) for index in indexes
    ]


def test_old_entry_needs_tiles_that_are_given_when_asked_for() -> None:
    tree = MemoryTree(cached=2)
    tree.extend(leaves())
    needed = tiles_needed_for_inclusion(1000, BIG)
    with pytest.raises(NodeMissing):
        tree.inclusion_proof(1000)
    with pytest.raises(NodeMissing):
        tree.inclusion_proofs([1000])
    missing = tree.tiles_missing(needed)
    assert set(missing) == {Tile(0, 3), Tile(1, 0)}
    for tile in missing:
        tree.give(tile, tile_bytes(tile))
    assert tree.tiles_missing(needed) == ()
    assert list(tree.inclusion_proof(1000)) == reference().path(1000, 0, BIG)


def test_cache_of_full_tiles_is_bounded_and_keeps_what_was_used_last() -> None:
    tree = MemoryTree(cached=3)
    tree.extend(leaves()[: 256 * 6])
    assert [tree.tile(Tile(0, index)) is not None for index in range(6)] == [False] * 3 + [True] * 3
    assert tree.tile(Tile(0, 3)) is not None
    tree.give(Tile(0, 0), tile_bytes(Tile(0, 0)))
    assert [tree.tile(Tile(0, index)) is not None for index in range(6)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_wrong_pieces_are_refused() -> None:
    tree = MemoryTree()
    with pytest.raises(HashMalformed):
        tree.extend([bytes(32), bytes(31)])
    assert tree.size == 0
    with pytest.raises(TileMalformed):
        tree.give(Tile(0, 0), bytes(8192))
    with pytest.raises(TileMalformed):
        MemoryTree.restore(3, {Tile(0, 0, 3): bytes(95)})
    with pytest.raises(NodeMissing):
        MemoryTree.restore(3, {Tile(0, 0, 2): bytes(64)})
    with pytest.raises(OutOfTree):
        MemoryTree.restore(-1, {})
    with pytest.raises(TileMalformed):
        TileNodes({Tile(0, 0, 3): bytes(64)})
    with pytest.raises(OutOfTree):
        tree.inclusion_proof(0)
    with pytest.raises(OutOfTree):
        tree.inclusion_proofs([0])
    with pytest.raises(OutOfTree):
        tree.frontier_at(1)


def test_of_two_widths_of_a_tile_the_wider_is_used() -> None:
    tiles = {Tile(0, 0, width): tile_bytes(Tile(0, 0, width)) for width in (3, 5, 4)}
    node = TileNodes(tiles)
    assert node(0, 4) == leaves()[4]
    with pytest.raises(NodeMissing):
        node(0, 5)
    with pytest.raises(NodeMissing):
        node(1, 2)


@pytest.mark.parametrize("size", BOUNDARIES)
def test_tiles_hold_what_the_standard_says(size: int) -> None:
    for tile in edge_of_size(size):
        assert tile.width == size // 256**tile.level % 256 == width_at(tile.level, tile.index, size)
        held = MemoryTree.restore(size, {edge: tile_bytes(edge) for edge in edge_of_size(size)}).tile(tile)
        assert held == tile_bytes(tile)
