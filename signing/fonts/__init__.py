"""The typefaces that come with us, and glyph outlines out of them.

Two subsets of Noto Serif SC (SIL Open Font License 1.1, see ``README.md`` and
``OFL.txt`` beside this file): ASCII, the punctuation of official paper and the
hanzi of GB/T 2312. A caller with rarer characters gives a TrueType file of their own.

Nothing here shapes text: hanzi stand one to a cell, and who draws a line places
each character. OpenType features, vertical forms and CFF outlines are not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont, TTLibError

from signing.errors import FontUnusable, GlyphMissing

REGULAR = Path(__file__).parent / "gongwen-serif-regular.ttf"
BOLD = Path(__file__).parent / "gongwen-serif-bold.ttf"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Outline:
    """One glyph: PDF path operators as (operator, points) in font units, and its box.

    Operators are ``m``, ``l``, ``c`` and ``h`` of ISO 32000-2, 8.5.2; quadratic
    curves of TrueType are raised to cubic ones, exactly.
    """

    advance: float
    path: tuple[tuple[str, tuple[Point, ...]], ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of all control points; zeros for a blank glyph."""
        points = [point for _, operands in self.path for point in operands]
        if not points:
            return (0.0, 0.0, 0.0, 0.0)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return (min(xs), min(ys), max(xs), max(ys))


class Typeface:
    """One TrueType font, read lazily: opening it costs a few milliseconds."""

    def __init__(self, data: bytes) -> None:
        """Open a font file.

        Raises:
            FontUnusable: not a TrueType font, or one without Unicode characters.
        """
        try:
            self._font = TTFont(BytesIO(data), lazy=True, recalcTimestamp=False)
            self._characters: dict[int, str] = dict(self._font.getBestCmap())
            self._glyphs = self._font.getGlyphSet()
            self.units_per_em = int(self._font["head"].unitsPerEm)
            if "glyf" not in self._font:
                raise FontUnusable("it has no TrueType outlines")
        except (TTLibError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise FontUnusable(str(error)) from error

    def missing(self, words: str) -> str:
        """The characters of ``words`` that this font cannot draw, each once, in order."""
        return "".join(dict.fromkeys(c for c in words if ord(c) not in self._characters))

    def check_covers(self, words: Iterable[str]) -> None:
        """Make sure that nothing would be drawn as an empty box.

        Raises:
            GlyphMissing: names every character that is lacking.
        """
        lacking = self.missing("".join(words))
        if lacking:
            raise GlyphMissing(lacking)

    def advance(self, character: str) -> float:
        """How wide a character is, in ems. Raises GlyphMissing."""
        return float(self._glyphs[self._name(character)].width) / self.units_per_em

    def outline(self, character: str) -> Outline:
        """The outline of one character. Raises GlyphMissing."""
        name = self._name(character)
        pen = DecomposingRecordingPen(self._glyphs)
        self._glyphs[name].draw(pen)
        return Outline(float(self._glyphs[name].width), tuple(_cubic(pen.value)))

    def _name(self, character: str) -> str:
        try:
            return self._characters[ord(character)]
        except KeyError:
            raise GlyphMissing(character) from None


def _cubic(
    recorded: list[tuple[str, tuple[Point | None, ...]]],
) -> Iterable[tuple[str, tuple[Point, ...]]]:
    """Turn recorded pen calls into PDF path operators."""
    here: Point = (0.0, 0.0)
    for call, operands in recorded:
        points = [p for p in operands if p is not None]
        if call == "moveTo":
            here = points[0]
            yield "m", (here,)
        elif call == "lineTo":
            here = points[0]
            yield "l", (here,)
        elif call == "qCurveTo":
            if len(points) != len(operands):
                # A contour of off-curve points only: start in the middle of the last and the first.
                here = _middle(points[-1], points[0])
                yield "m", (here,)
                points.append(here)
            for i, control in enumerate(points[:-1]):
                end = points[-1] if i == len(points) - 2 else _middle(control, points[i + 1])
                yield "c", (_towards(here, control), _towards(end, control), end)
                here = end
        elif call == "closePath":
            yield "h", ()


def _middle(a: Point, b: Point) -> Point:
    return ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)


def _towards(end: Point, control: Point) -> Point:
    """The cubic control point two thirds of the way from an end to the quadratic's control."""
    return (end[0] + 2 * (control[0] - end[0]) / 3, end[1] + 2 * (control[1] - end[1]) / 3)


@lru_cache(maxsize=2)
def regular() -> Typeface:
    """The text face that comes with us."""
    return Typeface(REGULAR.read_bytes())


@lru_cache(maxsize=2)
def bold() -> Typeface:
    """The title and seal face that comes with us."""
    return Typeface(BOLD.read_bytes())
