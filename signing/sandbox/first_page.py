"""The lines at the head of a PDF's first page, for the secrecy mark.

Runs pdfium, a large program in C++ over untrusted bytes: only ever called in a
worker process. Reads the text that a viewer would select, also invisible text (the
layer that text recognition puts under a scan). Draws nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pypdfium2
import pypdfium2.raw as pdfium

from signing.errors import DocumentMalformed
from signing.secrecy import Line

MAX_CHARACTERS = 20_000
_GAP = 4.0
"""So many heights apart, two words on one line are two parts."""


@dataclass(frozen=True, slots=True)
class _Glyph:
    character: str
    left: float
    right: float
    top: float
    bottom: float


def first_page_lines(pdf: bytes) -> tuple[Line, ...]:
    """The lines of the first page from the top, parts that stand far apart as lines of their own.

    Raises:
        DocumentMalformed: pdfium cannot open it.
    """
    try:
        document = pypdfium2.PdfDocument(pdf)
    except pypdfium2.PdfiumError as error:
        raise DocumentMalformed(f"pdfium: {error}") from None
    try:
        page = document[0]
        try:
            return _lines(_glyphs(page))
        finally:
            page.close()
    except pypdfium2.PdfiumError as error:
        raise DocumentMalformed(f"pdfium: {error}") from None
    finally:
        document.close()


def _glyphs(page: pypdfium2.PdfPage) -> list[_Glyph]:
    """Every character with its box, as fractions of the page as displayed, downwards."""
    left, bottom, right, top = page.get_cropbox()
    width, height = max(right - left, 1e-6), max(top - bottom, 1e-6)
    turn = page.get_rotation()
    text_page = page.get_textpage()
    found = []
    try:
        edges = [ctypes.c_double() for _ in range(4)]
        for index in range(min(text_page.count_chars(), MAX_CHARACTERS)):
            code = pdfium.FPDFText_GetUnicode(text_page, index)
            if code <= 0x20 or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
                continue
            if not pdfium.FPDFText_GetCharBox(text_page, index, *map(ctypes.byref, edges)):
                continue
            x1, x2, y1, y2 = (edge.value for edge in edges)
            u1, u2 = (x1 - left) / width, (x2 - left) / width
            v1, v2 = (y1 - bottom) / height, (y2 - bottom) / height
            # /Rotate turns the page clockwise: what is displayed downwards is user space's ...
            across, down = {
                0: ((u1, u2), (1 - v2, 1 - v1)),
                90: ((v1, v2), (u1, u2)),
                180: ((1 - u2, 1 - u1), (v1, v2)),
                270: ((1 - v2, 1 - v1), (1 - u2, 1 - u1)),
            }[turn]
            # Fractions of the page's height in both directions, so that a gap compares with a height.
            aspect = (width / height) if turn % 180 == 0 else (height / width)
            found.append(_Glyph(chr(code), across[0] * aspect, across[1] * aspect, down[0], down[1]))
    finally:
        text_page.close()
    return found


def _lines(glyphs: Sequence[_Glyph]) -> tuple[Line, ...]:
    """Glyphs whose middles are about as high make a line; wide gaps cut it."""
    rows: list[list[_Glyph]] = []
    for glyph in sorted(glyphs, key=lambda g: (g.top + g.bottom) / 2):
        middle = (glyph.top + glyph.bottom) / 2
        if rows:
            last = rows[-1]
            reference = (last[-1].top + last[-1].bottom) / 2
            tallest = max(g.bottom - g.top for g in last)
            if abs(middle - reference) <= 0.5 * max(tallest, glyph.bottom - glyph.top, 0.004):
                last.append(glyph)
                continue
        rows.append([glyph])
    lines = []
    for row in rows:
        row.sort(key=lambda g: g.left)
        height = max(max(g.bottom - g.top for g in row), 0.008)
        top = max(min(g.top for g in row), 0.0)
        words = row[0].character
        for before, glyph in pairwise(row):
            if glyph.left - before.right > _GAP * height:
                lines.append(Line(words, top))
                words = ""
            words += glyph.character
        lines.append(Line(words, top))
    return tuple(lines)
