"""Strict DER, as much of it as the signature profile needs (FORMATS §1).

Holds a reader that walks elements from front to back, and the writers of the
types that occur. It does not know what the elements mean (``cms.py`` does) and
keeps no tree. X.690 clause 10: definite lengths, the shortest length octets,
SET OF sorted; elements are split by ``pki.asn1``.

    >>> reader = Reader(bytes.fromhex("3006020101040161"))
    >>> inner = reader.enter(SEQUENCE)
    >>> inner.read(INTEGER), inner.read(OCTET_STRING)
    (b'\\x01', b'a')
    >>> inner.finish(); reader.finish()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pki.asn1 import DerError, encode_tlv, read_tlv
from signing.errors import DerMalformed

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTEXT_0: Final = 0xA0
CONTEXT_1: Final = 0xA1
CONTEXT_4: Final = 0xA4


class Reader:
    """Walks the elements of one DER value, from front to back.

    Every method raises :class:`DerMalformed` and nothing else. An element that
    is handed out has the shortest length octets and lies wholly inside the
    value it was read from; what it contains has not been looked at.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    def peek(self) -> int | None:
        """The tag of the next element, or None at the end; nothing is consumed."""
        return self._data[self._at] if self._at < self._end else None

    def read(self, tag: int) -> bytes:
        """The contents of the next element, which must bear ``tag``."""
        start, end = self._step(tag)
        return self._data[start:end]

    def element(self, tag: int) -> bytes:
        """The next element whole, tag and length included."""
        first = self._at
        _, end = self._step(tag)
        return self._data[first:end]

    def enter(self, tag: int) -> Reader:
        """A reader over the contents of the next element."""
        start, end = self._step(tag)
        return Reader(self._data, start, end)

    def elements(self, tag: int, *, most: int) -> Iterator[bytes]:
        """All elements up to the end, whole; each bears ``tag`` and there are at most ``most``."""
        for _ in range(most):
            if self._at >= self._end:
                return
            yield self.element(tag)
        self.finish()

    def finish(self) -> None:
        """Nothing is left over, else it is malformed."""
        if self._at != self._end:
            raise DerMalformed(f"{self._end - self._at} bytes too many at offset {self._at}")

    def _step(self, tag: int) -> tuple[int, int]:
        """Bounds of the next element's contents; moves behind it."""
        at = self._at
        try:
            found, start, end = read_tlv(self._data, at, self._end)
        except DerError as error:
            raise DerMalformed(f"{error} (offset {at})") from None
        if found != tag:
            raise DerMalformed(f"tag {found:#04x} at offset {at} where {tag:#04x} is expected")
        self._at = end
        return start, end


def encode(tag: int, content: bytes) -> bytes:
    """One element, with the shortest length octets."""
    return encode_tlv(tag, content)


def sequence(*elements: bytes) -> bytes:
    """A SEQUENCE of elements that are encoded already."""
    return encode(SEQUENCE, b"".join(elements))


def set_of(elements: Iterable[bytes], *, tag: int = SET) -> bytes:
    """A SET OF elements that are encoded already, in DER's order.

    X.690 clause 11.6 compares encodings padded with zeros; as no element is a
    prefix of another, plain order of the bytes is the same.
    """
    return encode(tag, b"".join(sorted(elements)))


def octet_string(content: bytes) -> bytes:
    """An OCTET STRING."""
    return encode(OCTET_STRING, content)


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return encode(OID, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))
