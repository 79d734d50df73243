"""The tree of RFC 9162 §2.1, written down as the RFC defines it: recursive, slow, obvious.

``exchange.ledger.merkle`` is judged by this. Ranges take the place of lists of entries so that the roots
of subtrees can be remembered; nothing else is clever.
"""

from __future__ import annotations

from hashlib import sha256


def largest_power_below(n: int) -> int:
    """k: the largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


class ReferenceTree:
    """D[0], D[1], ... and the functions MTH, PATH and SUBPROOF over ranges of them."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        self._roots: dict[tuple[int, int], bytes] = {}

    def mth(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        found = self._roots.get((start, end))
        if found is None:
            found = self._roots[start, end] = self._mth(start, end)
        return found

    def _mth(self, start: int, end: int) -> bytes:
        n = end - start
        if n == 0:
            return sha256(b"").digest()
        if n == 1:
            return sha256(b"\x00" + self.entries[start]).digest()
        k = largest_power_below(n)
        return sha256(b"\x01" + self.mth(start, start + k) + self.mth(start + k, end)).digest()

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        """PATH(m, D[start:end])."""
        n = end - start
        if n == 1:
            return []
        k = largest_power_below(n)
        if m < k:
            return [*self.path(m, start, start + k), self.mth(start + k, end)]
        return [*self.path(m - k, start + k, end), self.mth(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[0:n])."""
        return self.subproof(m, 0, n, True)

    def subproof(self, m: int, start: int, end: int, whole: bool) -> list[bytes]:
        """SUBPROOF(m, D[start:end], whole)."""
        n = end - start
        if m == n:
            return [] if whole else [self.mth(start, end)]
        k = largest_power_below(n)
        if m <= k:
            return [*self.subproof(m, start, start + k, whole), self.mth(start + k, end)]
        return [*self.subproof(m - k, start + k, end, False), self.mth(start, start + k)]


def root_from_path(leaf: bytes, m: int, n: int, path: list[bytes]) -> bytes | None:
    """The root that PATH(m, D[n]) leads to, by the same recursion backwards; None if it cannot be one."""
    if n == 1:
        return leaf if not path else None
    if not path:
        return None
    k = largest_power_below(n)
    *inner, last = path
    if m < k:
        left = root_from_path(leaf, m, k, inner)
        return None if left is None else sha256(b"\x01" + left + last).digest()
    right = root_from_path(leaf, m - k, n - k, inner)
    return None if right is None else sha256(b"\x01" + last + right).digest()
