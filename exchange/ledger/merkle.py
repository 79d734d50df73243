"""The Merkle tree of the ledger: hashes, the frontier, proofs and their checks.

    leaf(entry)        = SHA-256(0x00 || entry)
    node(left, right)  = SHA-256(0x01 || left || right)

RFC 9162 §2.1 (the same tree as RFC 6962 §2.1). Odd nodes are promoted, never
doubled. A tree of any size is a row of *perfect* subtrees, from left to right one
for each set bit of the size; their roots are the frontier, and folding them from the
right gives the root of the whole:

    size 7 = 4 + 2 + 1          root = node(A, node(B, C))

             root
            /    \\
           A      .             A = (level 2, index 0)
          / \\    / \\            B = (level 1, index 2)
         .   .  B   C           C = (level 0, index 6)
        /\\  /\\  /\\  |
        0 1 2 3 4 5 6

Every node that a proof needs is therefore the root of a perfect subtree, named by
its level and index, or the fold of the last few of them. Whoever can name those
nodes (:data:`Node`) can make proofs: tiles, a database, a list in memory.

This module stores nothing and signs nothing. Entries come in as bytes, and all
other functions take leaf *hashes*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from exchange.ledger.errors import HashMalformed, OutOfTree, ProofInvalid

HASH_SIZE: Final = 32
MAX_SIZE: Final = 2**63 - 1
"""No tree is larger: sizes and indexes are signed 64-bit numbers in other people's code."""

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of a tree without entries."""

Node = Callable[[int, int], bytes]
"""``node(level, index)``: the root of the perfect subtree over the 2**level leaves from index * 2**level."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry, exactly as its bytes are stored."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring nodes."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The roots of the perfect subtrees of a tree, largest first: all that appending needs.

    Raises:
        HashMalformed: not one hash of 32 bytes for each set bit of the size.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.hashes) != self.size.bit_count():
            raise HashMalformed(detail=f"{len(self.hashes)} hashes are no frontier of size {self.size}")
        if any(len(item) != HASH_SIZE for item in self.hashes):
            raise HashMalformed(detail="a frontier hash is not 32 bytes")

    @property
    def root(self) -> bytes:
        """The root of the whole tree."""
        return fold(self.hashes)

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """The frontier after these leaf hashes were appended, in order. Two hashes a leaf, on average.

        Raises:
            HashMalformed: a leaf hash is not 32 bytes.
        """
        stack = list(self.hashes)
        size = self.size
        push, pop = stack.append, stack.pop
        for leaf in leaves:
            if len(leaf) != HASH_SIZE:
                raise HashMalformed(detail=f"leaf {size} has {len(leaf)} bytes")
            merged, carry = leaf, size
            while carry & 1:
                merged = sha256(b"\x01" + pop() + merged).digest()
                carry >>= 1
            push(merged)
            size += 1
        return Frontier(size, tuple(stack))


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over a row of perfect subtrees that grow smaller to the right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def inclusion_proof(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """The proof that entry ``index`` is in the tree of the first ``size`` entries (RFC 9162 §2.1.3.1).

    Sibling hashes, the leaf's first. Reads through ``node`` only nodes that lie inside that tree.

    Raises:
        OutOfTree: no such entry at that size.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise OutOfTree(asked=index, size=size)
    return path_of_node(0, index, size, node)


def consistency_proof(old: int, new: int, node: Node) -> tuple[bytes, ...]:
    """The proof that the tree of ``old`` entries is a prefix of the tree of ``new`` (RFC 9162 §2.1.4.1).

    Empty when the sizes are equal. An empty old tree is a prefix of everything and has no proof:
    whoever accepts size 0 (a witness that starts) does so before asking here.

    Raises:
        OutOfTree: ``old`` is 0 or larger than ``new``.
    """
    if not 0 < old <= new <= MAX_SIZE:
        raise OutOfTree(asked=old, size=new)
    if old == new:
        return ()
    # The last perfect subtree of the old tree is a node of the new one, and the rest of the
    # proof is the path from it to the new root. Where it is the whole old tree the verifier
    # has its hash already: it is the old root.
    level = (old & -old).bit_length() - 1
    index = (old >> level) - 1
    path = path_of_node(level, index, new, node)
    return path if index == 0 else (node(level, index), *path)


def path_of_node(level: int, index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """The siblings on the way from a perfect subtree to the root of the tree of that size.

    The subtree must lie inside the tree. Up to the top of the perfect subtree of the
    frontier in which it lies the siblings are nodes; then comes the fold of all that is
    right of it, if anything is, and then the rest of the frontier, right to left.
    """
    top = frontier_level(level, index, size)
    path = [node(at, (index >> (at - level)) ^ 1) for at in range(level, top)]
    path += path_above(top, size, node)
    return tuple(path)


def frontier_level(level: int, index: int, size: int) -> int:
    """The level of the frontier's subtree that holds this node: where first and size part ways."""
    return ((index << level) ^ size).bit_length() - 1


def path_above(top: int, size: int, node: Node) -> list[bytes]:
    """The end of every proof from the frontier's subtree at level ``top``: what is right of it, then left."""
    right = [node(at, (size >> at) - 1) for at in range(top - 1, -1, -1) if size >> at & 1]
    left = [node(at, (size >> at) - 1) for at in range(top + 1, size.bit_length()) if size >> at & 1]
    return [fold(right), *left] if right else left


def root_of_path(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 §2.1.3.2); the caller compares it.

    Raises:
        ProofInvalid: a hash is not 32 bytes, the index is not below the size, or the proof is too long or
            too short for that place in the tree.
    """
    _check_hashes(leaf, *proof)
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofInvalid(detail=f"entry {index} is not in a tree of {size}")
    first, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid(detail="the proof is too long")
        if first & 1 or first == last:
            root = node_hash(sibling, root)
            while first and not first & 1:
                first >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        first >>= 1
        last >>= 1
    if last != 0:
        raise ProofInvalid(detail="the proof is too short")
    return root


def check_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the entry with leaf hash ``leaf`` is entry ``index`` of the tree with that size and root.

    Raises:
        ProofInvalid: it is not shown to be.
    """
    # root_of_path wants a leaf of 32 bytes: in a tree of one entry the leaf is the root, and two empty
    # strings are equal.
    if root_of_path(leaf=leaf, index=index, size=size, proof=proof) != root:
        raise ProofInvalid(detail=f"entry {index} is not under the root of size {size}")


def check_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the old tree is a prefix of the new one (RFC 9162 §2.1.4.2).

    Strict: an old size of 0 is refused here, as transparency-dev/merkle does.

    Raises:
        ProofInvalid: it is not shown to be.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 < old_size <= new_size <= MAX_SIZE:
        raise ProofInvalid(detail=f"no proof leads from size {old_size} to size {new_size}")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ProofInvalid(detail=f"two roots or a needless proof for size {old_size}")
        return
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not proof:
        raise ProofInvalid(detail="the proof is empty")
    first, last = old_size - 1, new_size - 1
    while first & 1:
        first >>= 1
        last >>= 1
    from_old = from_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid(detail="the proof is too long")
        if first & 1 or first == last:
            from_old = node_hash(sibling, from_old)
            from_new = node_hash(sibling, from_new)
            while first and not first & 1:
                first >>= 1
                last >>= 1
        else:
            from_new = node_hash(from_new, sibling)
        first >>= 1
        last >>= 1
    if last != 0:
        raise ProofInvalid(detail="the proof is too short")
    if from_old != old_root:
        raise ProofInvalid(detail=f"the proof does not start from the root of size {old_size}")
    if from_new != new_root:
        raise ProofInvalid(detail=f"the proof does not lead to the root of size {new_size}")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(item) != HASH_SIZE for item in hashes):
        raise ProofInvalid(detail="a hash is not 32 bytes")
