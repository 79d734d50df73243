"""The bytes of a sealed PDF: which of them a seal covers, and what stands in its gap.

Knows nothing of PDF objects; what it is told of a signature dictionary (ByteRange,
Contents) it holds against the raw file. A PDF seal covers everything but the gap
in which it lies, so that nothing may be hidden there: the gap is one hexadecimal
string in letters of one case, holding one DER value and zeros.

    0 ............ a <308203...0000> b ............ b+c
    first part       the gap           second part

ISO 32000-2, 12.8.1; the attacks are those of "pdf-insecurity.org": universal
signature forgery, incremental saving, signature wrapping.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pki.asn1 import DerError, read_tlv
from signing.errors import ByteRangeMalformed

MAX_GAP = 4 * 1024 * 1024
"""Of one seal's gap: a CMS with time stamp takes some 20 KB in hexadecimal."""


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """Where a seal lies: the gap from ``gap_start`` to ``gap_end``, and the end of what it covers."""

    gap_start: int
    gap_end: int
    end: int

    def digest(self, pdf: bytes, hash_name: str) -> bytes:
        """The digest of the covered bytes."""
        state = hashlib.new(hash_name)
        view = memoryview(pdf)
        state.update(view[: self.gap_start])
        state.update(view[self.gap_end : self.end])
        return state.digest()


def read_byte_range(pdf: bytes, numbers: Sequence[int]) -> SignedBytes:
    """What the four numbers of a ByteRange cover.

    Raises:
        ByteRangeMalformed: not four numbers from 0 on, one gap, inside the file.
    """
    if len(numbers) != 4:
        raise ByteRangeMalformed(f"it has {len(numbers)} numbers instead of four")
    first, length, second, rest = numbers
    if first != 0:
        raise ByteRangeMalformed("it does not begin at the first byte of the file")
    if not (0 < length < second and rest > 0):
        raise ByteRangeMalformed("its parts overlap, are empty, or are out of order")
    if second + rest > len(pdf):
        raise ByteRangeMalformed("it goes beyond the end of the file")
    return SignedBytes(length, second, second + rest)


_HEX = re.compile(rb"<(?:[0-9A-F]*|[0-9a-f]*)>", re.DOTALL)


def read_gap(pdf: bytes, signed: SignedBytes, contents: bytes) -> bytes:
    """The DER value in the gap.

    ``contents`` is what the PDF reader took for the dictionary's Contents; it must
    be what stands in the gap, so that reader and digest speak of one place.

    Raises:
        ByteRangeMalformed: the gap holds anything else, or more.
    """
    if signed.gap_end - signed.gap_start > MAX_GAP:
        raise ByteRangeMalformed(f"its gap has more than {MAX_GAP} bytes")
    gap = pdf[signed.gap_start : signed.gap_end]
    if not _HEX.fullmatch(gap) or len(gap) % 2:
        raise ByteRangeMalformed("its gap is not one hexadecimal string in letters of one case")
    octets = binascii.unhexlify(gap[1:-1])
    if octets != contents:
        raise ByteRangeMalformed("the signature is not the one that stands in its gap")
    try:
        _, _, end = read_tlv(octets, 0, len(octets))
    except DerError as error:
        raise ByteRangeMalformed(f"no DER value stands in its gap: {error}") from None
    if octets[end:].strip(b"\0"):
        raise ByteRangeMalformed("something stands behind the signature in its gap")
    return octets[:end]


def _name_pattern(name: str) -> bytes:
    """A PDF name in every spelling: any character may be written as # and two hexadecimal digits."""
    return (
        b"/"
        + b"".join(b"(?:%s|#%02x|#%02X)" % (re.escape(c.encode()), ord(c), ord(c)) for c in name)
        + rb"(?=[\x00\t\n\f\r ()<>\[\]{}/%]|$)"
    )


_BYTE_RANGE = re.compile(_name_pattern("ByteRange"))


def byte_range_marks(pdf: bytes) -> tuple[int, ...]:
    """Offsets of every ``/ByteRange`` in the file, whatever object it is in or was in.

    A seal that was unhooked from the form by a later update is found here all the
    same (trap T14). One inside a compressed object is not: no seal can lie there,
    since its gap must stand in the file.
    """
    return tuple(match.start() for match in _BYTE_RANGE.finditer(pdf))
