"""Opening a PDF with pyHanko, and the few questions about pages that sealing and judging share.

The doorway to pyHanko's reader: whatever it raises on odd files comes out as
:class:`DocumentMalformed`. It opens strictly, decrypts nothing and draws nothing.

ISO 32000-2; decode limits are pyHanko's for untrusted input.
"""

# mypy: allow-untyped-calls
# (pyHanko is typed in part only.)
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader

from signing.errors import DocumentEncrypted, DocumentMalformed

T = TypeVar("T")

# pyHanko logs what it dislikes about a file, with names and stack traces. What matters comes back as
# an error or a verdict; the rest must neither fill people's terminals nor put names into logs (DESIGN §9).
for _chatty in ("pyhanko", "pyhanko_certvalidator"):
    logging.getLogger(_chatty).setLevel(logging.CRITICAL + 1)

MAX_PAGES = 20_000
MAX_DEPTH = 40
"""Of the page tree; deeper ones are made to exhaust us."""

DEFAULT_BOX = (0.0, 0.0, 595.0, 842.0)


@dataclass(frozen=True, slots=True)
class Page:
    """What is seen of a page: its box in user space (left, bottom, right, top) and its turn in degrees."""

    box: tuple[float, float, float, float]
    rotation: int

    @property
    def width(self) -> float:
        """As displayed, in points."""
        left, bottom, right, top = self.box
        return top - bottom if self.rotation % 180 else right - left

    @property
    def height(self) -> float:
        """As displayed, in points."""
        left, bottom, right, top = self.box
        return right - left if self.rotation % 180 else top - bottom


def guarded(what: Callable[[], T]) -> T:
    """Run something that reads a document with pyHanko; any failure means that it is malformed.

    Not a narrower list of exceptions: AttributeError, KeyError, TypeError,
    AssertionError and RecursionError all left the library on odd files (trap T12).
    Running out of memory is none of them and goes on up.
    """
    try:
        return what()
    except DocumentMalformed:
        raise
    except MemoryError:
        raise
    except Exception as error:
        raise DocumentMalformed(f"{type(error).__name__}: {error}"[:300]) from error


def open_pdf(pdf: bytes) -> PdfFileReader:
    """A strict reader over the file.

    Raises:
        DocumentMalformed: it is not a PDF that can be read without guessing.
        DocumentEncrypted: it is protected by a password or a certificate.
    """
    reader = guarded(lambda: PdfFileReader(BytesIO(pdf), strict=True))
    if guarded(lambda: "/Encrypt" in reader.trailer):
        raise DocumentEncrypted("it has an encryption dictionary")
    guarded(lambda: reader.root["/Pages"])
    return reader


def page_count(reader: PdfFileReader) -> int:
    """How many pages the document says it has. Raises DocumentMalformed."""
    count = guarded(lambda: int(reader.root["/Pages"]["/Count"]))
    if not 0 < count <= MAX_PAGES:
        raise DocumentMalformed(f"a page count of {count}")
    return count


def page_at(reader: PdfFileReader, number: int) -> Page:
    """One page, counted from 0. Raises DocumentMalformed; the number is the caller's to check."""

    def look() -> Page:
        page = reader.find_page_for_modification(number)[0].get_object()
        crop = _inherited(page, "/CropBox") or _inherited(page, "/MediaBox")
        media = _inherited(page, "/MediaBox")
        box = _meet(_box(crop), _box(media))
        turn: object = _inherited(page, "/Rotate")
        rotation = turn % 360 if isinstance(turn, int) else 0
        if rotation % 90:
            raise DocumentMalformed(f"a page turned by {rotation} degrees")
        return Page(box, rotation)

    return guarded(look)


def _inherited(page: generic.PdfObject, key: str) -> generic.PdfObject | None:
    """An attribute of the page or of the nodes above it (ISO 32000-2, 7.7.3.4)."""
    node: object = page
    for _ in range(MAX_DEPTH):
        if not isinstance(node, generic.DictionaryObject):
            return None
        if key in node:
            found = node[key]
            assert isinstance(found, generic.PdfObject)
            return found
        node = node.get("/Parent")
    raise DocumentMalformed("a page tree that is too deep")


def _box(value: generic.PdfObject | None) -> tuple[float, float, float, float]:
    if value is None:
        return DEFAULT_BOX
    if not isinstance(value, generic.ArrayObject) or len(value) != 4:
        raise DocumentMalformed("a page box that is not four numbers")
    a, b, c, d = (float(number) for number in value)
    return (min(a, c), min(b, d), max(a, c), max(b, d))


def _meet(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    left, bottom = max(one[0], other[0]), max(one[1], other[1])
    right, top = min(one[2], other[2]), min(one[3], other[3])
    if right <= left or top <= bottom:
        raise DocumentMalformed("a page without a visible area")
    return (left, bottom, right, top)
