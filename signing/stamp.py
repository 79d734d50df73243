"""The picture of an official seal: a red ring, a star, the unit's name on the arc.

Drawn as paths, the characters too, so that a stamp needs no font where it is
shown and looks the same everywhere. State Council document 国发〔1999〕25号 gives
the form that people know: round, 42 mm for most units, the name in 宋体 from left
to right along the ring, a five-pointed star in the middle.

A picture proves nothing. What counts is the signature that it stands for; this
module knows nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from signing import fonts
from signing.errors import DrawingImpossible
from signing.fonts import Outline, Typeface

MM = 72 / 25.4
"""Points of a millimetre."""

RED = (0.827, 0.055, 0.082)

MAX_NAME = 40
MAX_LINE = 12
MAX_CODE = 24

_SPREAD = (0.0, 44.0, 84.0, 118.0, 142.0, 163.0, 182.0)
"""Degrees that a name of 1 to 7 characters takes, from centre to centre."""

_CAP_HEIGHT = 0.72
"""Of the digits and capitals of the faces that come with us, in ems."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the stamp shows.

    ``name`` stands on the arc (1 to 40 characters), ``line`` under the star (such
    as 电子公文专用章), ``code`` along the lower edge. ``diameter_mm`` is over all.
    """

    name: str
    line: str = ""
    code: str = ""
    diameter_mm: float = 42.0


@dataclass(frozen=True, slots=True)
class StampPlace:
    """Where the middle of the stamp goes: millimetres from the left and the top edge as displayed.

    ``page`` counts from 0; -1 is the last page.
    """

    page: int
    x_mm: float
    y_mm: float


@dataclass(frozen=True, slots=True)
class StampDrawing:
    """A drawn stamp: a square of ``size`` points and the operators that fill it, lower left at 0, 0."""

    size: float
    content: bytes


def draw_stamp(stamp: Stamp, *, face: Typeface | None = None) -> StampDrawing:
    """Draw a stamp. The same stamp gives the same bytes.

    Raises:
        GlyphMissing: the face lacks a character of the stamp.
        DrawingImpossible: a text is empty or longer than a stamp can carry, or
            the size is not between 10 and 60 mm.
    """
    if not 10 <= stamp.diameter_mm <= 60:
        raise DrawingImpossible("a stamp measures 10 to 60 mm")
    for what, words, least, most in (
        ("name", stamp.name, 1, MAX_NAME),
        ("line", stamp.line, 0, MAX_LINE),
        ("code", stamp.code, 0, MAX_CODE),
    ):
        if not least <= len(words) <= most:
            raise DrawingImpossible(f"the stamp's {what} has {least} to {most} characters")
    return _draw(stamp, face) if face is not None else _draw_with_ours(stamp)


@lru_cache(maxsize=64)
def _draw_with_ours(stamp: Stamp) -> StampDrawing:
    """A unit seals many documents with one stamp; drawing it takes longer than signing."""
    return _draw(stamp, fonts.bold())


def _draw(stamp: Stamp, face: Typeface) -> StampDrawing:
    face.check_covers((stamp.name, stamp.line, stamp.code))
    radius = stamp.diameter_mm * MM / 2
    unit = radius / 21  # one millimetre of the 42 mm form
    parts = ["{:.3f} {:.3f} {:.3f} rg {:.3f} {:.3f} {:.3f} RG".format(*RED, *RED)]
    parts.append(f"1 0 0 1 {radius:.3f} {radius:.3f} cm")
    ring = 1.2 * unit
    parts.append(f"{ring:.3f} w {_circle(radius - ring / 2)} S")
    lifted = 1.2 * unit if stamp.line else 0.0
    parts.append(f"{_star(7 * unit, lifted)} f")
    # The line and the code need the lower part of the circle for themselves.
    reach = 216.0 if stamp.line else 250.0 if stamp.code else 270.0
    parts.extend(_name_on_arc(stamp.name, face, radius=radius - ring - 1.0 * unit, unit=unit, most=reach))
    if stamp.line:
        parts.extend(_line(stamp.line, face, unit=unit))
    if stamp.code:
        parts.extend(_code_on_arc(stamp.code, face, radius=radius - ring - 0.7 * unit, unit=unit))
    return StampDrawing(2 * radius, ("q " + "\n".join(parts) + " Q").encode("ascii"))


def stamp_pdf(drawing: StampDrawing) -> bytes:
    """The stamp as a PDF of one page of its size, with nothing behind it."""
    side = f"{drawing.size:.3f}"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {side} {side}] /Contents 4 0 R >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing.content), drawing.content),
    )
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _circle(r: float) -> str:
    """A circle around the origin, of four Bezier curves (off by less than 0.03 %)."""
    k = 0.5522847498 * r
    return (
        f"{r:.3f} 0 m {r:.3f} {k:.3f} {k:.3f} {r:.3f} 0 {r:.3f} c "
        f"{-k:.3f} {r:.3f} {-r:.3f} {k:.3f} {-r:.3f} 0 c "
        f"{-r:.3f} {-k:.3f} {-k:.3f} {-r:.3f} 0 {-r:.3f} c "
        f"{k:.3f} {-r:.3f} {r:.3f} {-k:.3f} {r:.3f} 0 c h"
    )


def _star(r: float, lift: float) -> str:
    """A five-pointed star with one point up; its inner corners lie where its lines cross."""
    inner = r * math.sin(math.radians(18)) / math.sin(math.radians(54))
    corners = []
    for i in range(10):
        angle = math.radians(90 + 36 * i)
        reach = inner if i % 2 else r
        corners.append(f"{reach * math.cos(angle):.3f} {reach * math.sin(angle) + lift:.3f}")
    return f"{corners[0]} m " + " ".join(f"{c} l" for c in corners[1:]) + " h"


def _name_on_arc(name: str, face: Typeface, *, radius: float, unit: float, most: float) -> Iterator[str]:
    """The name from left to right over the star, feet to the centre.

    Height and spread follow the number of characters, as seal makers do it: few
    characters stand tall and apart, many are narrow and reach further down.
    """
    count = len(name)
    height = unit * (7.2 if count <= 8 else max(4.2, 7.2 - 0.14 * (count - 8)))
    middle = radius - height / 2
    # Degrees between the centres of the first and the last character.
    spread = min(most, _SPREAD[count - 1] if count <= len(_SPREAD) else 182.0 + 6.5 * (count - 7))
    step = spread / (count - 1) if count > 1 else 0.0
    # At the feet the characters come closest; 8 % of the pitch stays free there.
    pitch = math.radians(step) * (radius - height * 0.78) if count > 1 else height
    width = min(height * 0.92, pitch * 0.97)
    for i, character in enumerate(name):
        angle = 90 + spread / 2 - i * step
        yield _placed(
            face.outline(character), face.units_per_em, width, height, angle=angle, turn=-90, radius=middle
        )


def _code_on_arc(code: str, face: Typeface, *, radius: float, unit: float) -> Iterator[str]:
    """The code along the lower edge, read from left to right, heads to the centre."""
    height = 1.7 * unit
    middle = radius - height / 2
    step = math.degrees(1.45 * unit / middle)
    for i, character in enumerate(code):
        angle = 270 + (i - (len(code) - 1) / 2) * step
        outline = face.outline(character)
        width = min(height * outline.advance / face.units_per_em / _CAP_HEIGHT, 1.4 * unit)
        yield _placed(
            outline,
            face.units_per_em,
            width,
            height / _CAP_HEIGHT,
            angle=angle,
            turn=90,
            radius=middle,
            foot=_CAP_HEIGHT / 2,
        )


def _line(words: str, face: Typeface, *, unit: float) -> Iterator[str]:
    """A straight line under the star, as wide as the circle allows there."""
    height = 4.2 * unit
    width = min(height * 0.9, 25 * unit / len(words))
    for i, character in enumerate(words):
        x = (i - (len(words) - 1) / 2) * width
        yield _glyph(
            face.outline(character), face.units_per_em, width * 0.96, height, (1, 0, 0, 1, x, -9.6 * unit)
        )


def _placed(
    outline: Outline,
    em: int,
    width: float,
    height: float,
    *,
    angle: float,
    turn: float,
    radius: float,
    foot: float | None = None,
) -> str:
    """A glyph whose middle lies on a circle at ``angle``, turned by ``angle + turn``."""
    a, t = math.radians(angle), math.radians(angle + turn)
    c, s = math.cos(t), math.sin(t)
    return _glyph(
        outline, em, width, height, (c, s, -s, c, radius * math.cos(a), radius * math.sin(a)), foot=foot
    )


def _glyph(
    outline: Outline,
    em: int,
    width: float,
    height: float,
    matrix: tuple[float, float, float, float, float, float],
    *,
    foot: float | None = None,
) -> str:
    """The path of a glyph, scaled to ``width`` by ``height`` about its middle, then moved by ``matrix``.

    ``foot`` is how far the middle lies above the baseline in ems; a hanzi's is 0.38.
    """
    a, b, c, d, e, f = matrix
    sx, sy = width / outline.advance if outline.advance else 0.0, height / em
    mx, my = outline.advance / 2, em * (0.38 if foot is None else foot)
    words = []
    for operator, points in outline.path:
        for x, y in points:
            u, v = (x - mx) * sx, (y - my) * sy
            words.append(f"{a * u + c * v + e:.2f} {b * u + d * v + f:.2f}")
        words.append(operator)
    words.append("f")
    return " ".join(words)
