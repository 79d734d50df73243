"""Hashes, frontier and proofs against the reference tree and against other people's vectors."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from typing import Any

import pytest

from exchange.ledger.errors import HashMalformed, OutOfTree, ProofInvalid
from exchange.ledger.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of_path,
)
from tests.exchange.ledger.builders import VECTORS, entries_of
from tests.reference.merkle import ReferenceTree, root_from_path

SWEPT = 301
ENTRIES = entries_of(SWEPT)
REFERENCE = ReferenceTree(ENTRIES)
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
CASES = json.loads((VECTORS / "merkle-proofs.json").read_text())


def node(level: int, index: int) -> bytes:
    return REFERENCE.mth(index << level, (index + 1) << level)


def decoded(text: str | None) -> bytes:
    return b64decode(text or "")


def test_check_values_of_rfc_6962_test_suites() -> None:
    assert sha256(b"").digest() == EMPTY_ROOT
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert (
        node_hash(b"N123", b"N456").hex()
        == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


def test_worked_example() -> None:
    values = json.loads((VECTORS / "worked-example" / "values.json").read_text())
    leaves = [leaf_hash(entry.encode()) for entry in values["entries"]]
    assert [leaf.hex() for leaf in leaves] == values["leaf_hashes_hex"]
    for size, root in values["roots_hex"].items():
        assert Frontier().extended(leaves[: int(size)]).root.hex() == root
    assert node_hash(leaves[0], leaves[1]).hex() == values["node01_hex"]


def test_frontier_has_the_root_of_every_size() -> None:
    frontier = Frontier()
    for size in range(SWEPT):
        assert frontier.size == size
        assert frontier.root == REFERENCE.mth(0, size)
        frontier = frontier.extended([LEAVES[size]])


@pytest.mark.parametrize("cut", [0, 1, 2, 7, 8, 100, 255, 256, 300])
def test_frontier_extended_in_two_steps_is_the_same(cut: int) -> None:
    whole = Frontier().extended(LEAVES[:300])
    assert Frontier().extended(LEAVES[:cut]).extended(LEAVES[cut:300]) == whole


@pytest.mark.parametrize(
    ("size", "hashes"),
    [
        (0, (bytes(32),)),
        (1, ()),
        (3, (bytes(32),)),
        (1, (bytes(31),)),
        (1, (bytes(33),)),
        (-1, ()),
        (2**63, (bytes(32),)),
    ],
)
def test_frontier_that_cannot_be_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(HashMalformed):
        Frontier(size, hashes)


def test_frontier_refuses_leaves_that_are_no_hashes() -> None:
    with pytest.raises(HashMalformed):
        Frontier().extended([bytes(32), b"short"])


def test_inclusion_proofs_of_every_entry_in_every_size() -> None:
    for size in range(1, SWEPT):
        root = REFERENCE.mth(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, node)
            assert list(proof) == REFERENCE.path(index, 0, size)
            check_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=root)


def test_consistency_proofs_of_every_pair_of_sizes() -> None:
    for new in range(1, SWEPT):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, node)
            assert list(proof) == REFERENCE.proof(old, new)
            check_consistency(
                old_size=old,
                old_root=REFERENCE.mth(0, old),
                new_size=new,
                new_root=REFERENCE.mth(0, new),
                proof=proof,
            )


def test_proof_holds_for_no_other_index_or_size() -> None:
    """Compared with the reference recursion, also where the proof leads somewhere by accident of shape."""
    for size in range(1, 25):
        for index in range(size):
            proof = inclusion_proof(index, size, node)
            for other_size in range(1, 25):
                for other in range(other_size):
                    try:
                        found = root_of_path(leaf=LEAVES[index], index=other, size=other_size, proof=proof)
                    except ProofInvalid:
                        found = None
                    assert found == root_from_path(LEAVES[index], other, other_size, list(proof))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 255, 256, 257, 300])
def test_every_flipped_proof_is_refused(size: int) -> None:
    root = REFERENCE.mth(0, size)
    for index in {0, size // 2, size - 1}:
        proof = inclusion_proof(index, size, node)
        edits = [[*proof[:at], _flip(proof[at]), *proof[at + 1 :]] for at in range(len(proof))]
        edits += [list(proof[:at]) + list(proof[at + 1 :]) for at in range(len(proof))]
        edits += [[*proof, root], [root, *proof]]
        for edit in edits:
            with pytest.raises(ProofInvalid):
                check_inclusion(leaf=LEAVES[index], index=index, size=size, proof=edit, root=root)
        with pytest.raises(ProofInvalid):
            check_inclusion(leaf=_flip(LEAVES[index]), index=index, size=size, proof=proof, root=root)
        with pytest.raises(ProofInvalid):
            check_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=_flip(root))


def test_every_flipped_consistency_proof_is_refused() -> None:
    for old, new in [(1, 2), (1, 8), (2, 3), (3, 5), (4, 7), (6, 8), (128, 300), (255, 257), (256, 300)]:
        proof = list(consistency_proof(old, new, node))
        edits = [[*proof[:at], _flip(proof[at]), *proof[at + 1 :]] for at in range(len(proof))]
        edits += [proof[:at] + proof[at + 1 :] for at in range(len(proof))]
        edits += [[*proof, bytes(32)], [REFERENCE.mth(0, old), *proof], []]
        for edit in edits:
            with pytest.raises(ProofInvalid):
                check_consistency(
                    old_size=old,
                    old_root=REFERENCE.mth(0, old),
                    new_size=new,
                    new_root=REFERENCE.mth(0, new),
                    proof=edit,
                )


def test_consistency_proof_holds_for_no_other_root() -> None:
    for old, new in [(1, 2), (4, 7), (3, 5), (6, 8), (128, 300), (255, 257), (299, 300)]:
        proof, old_root, new_root = REFERENCE.proof(old, new), REFERENCE.mth(0, old), REFERENCE.mth(0, new)
        for one, other in ((_flip(old_root), new_root), (old_root, _flip(new_root)), (new_root, old_root)):
            with pytest.raises(ProofInvalid):
                check_consistency(old_size=old, old_root=one, new_size=new, new_root=other, proof=proof)


def test_consistency_of_equal_sizes_wants_equal_roots_and_no_proof() -> None:
    root = REFERENCE.mth(0, 5)
    check_consistency(old_size=5, old_root=root, new_size=5, new_root=root, proof=[])
    for other, proof in ((_flip(root), []), (root, [root])):
        with pytest.raises(ProofInvalid):
            check_consistency(old_size=5, old_root=root, new_size=5, new_root=other, proof=proof)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (6, 5), (-1, 5), (5, MAX_SIZE + 1)])
def test_consistency_has_no_proof_from_nothing_or_backwards(old: int, new: int) -> None:
    with pytest.raises(OutOfTree):
        consistency_proof(old, new, node)
    with pytest.raises(ProofInvalid):
        check_consistency(old_size=old, old_root=bytes(32), new_size=new, new_root=bytes(32), proof=[])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (MAX_SIZE, MAX_SIZE + 1)])
def test_entry_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(OutOfTree):
        inclusion_proof(index, size, node)
    with pytest.raises(ProofInvalid):
        check_inclusion(leaf=bytes(32), index=index, size=size, proof=[], root=bytes(32))


def test_empty_leaf_is_not_under_an_empty_root() -> None:
    with pytest.raises(ProofInvalid):
        check_inclusion(leaf=b"", index=0, size=1, proof=[], root=b"")


def test_vectors_are_all_here() -> None:
    assert len(CASES["inclusion"]) == len(CASES["consistency"]) == 98
    assert sum(case["wantErr"] for case in CASES["inclusion"] + CASES["consistency"]) == 184


@pytest.mark.parametrize("case", CASES["inclusion"], ids=lambda case: case["file"])
def test_inclusion_vector(case: dict[str, Any]) -> None:
    def check() -> None:
        check_inclusion(
            leaf=decoded(case["leafHash"]),
            index=case["leafIdx"],
            size=case["treeSize"],
            proof=[decoded(item) for item in case["proof"] or []],
            root=decoded(case["root"]),
        )

    if case["wantErr"]:
        with pytest.raises(ProofInvalid):
            check()
    else:
        check()


@pytest.mark.parametrize("case", CASES["consistency"], ids=lambda case: case["file"])
def test_consistency_vector(case: dict[str, Any]) -> None:
    def check() -> None:
        check_consistency(
            old_size=case["size1"],
            old_root=decoded(case["root1"]),
            new_size=case["size2"],
            new_root=decoded(case["root2"]),
            proof=[decoded(item) for item in case["proof"] or []],
        )

    # One valid vector has roots that are no hashes; we ask for 32 bytes first (its README).
    placeholder = len(decoded(case["root1"])) != 32 and not case["wantErr"]
    if case["wantErr"] or placeholder:
        assert not placeholder or case["size1"] == case["size2"]
        with pytest.raises(ProofInvalid):
            check()
    else:
        check()


def _flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
