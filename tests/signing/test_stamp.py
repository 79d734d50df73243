"""The drawn seal: its shape, its bounds, and the fonts it is drawn with."""

from __future__ import annotations

import pypdfium2
import pytest

from signing import fonts
from signing.errors import DrawingImpossible, FontUnusable, GlyphMissing
from signing.stamp import MM, Stamp, draw_stamp, stamp_pdf

STAMPS = [
    Stamp("局"),
    Stamp("财政部"),
    Stamp("临江市教育局", code="11370000MB2847A31X"),
    Stamp("临江市人民政府办公室", "电子公文专用章", "11370000MB2847A31X"),
    Stamp("江东省临江市青山区新型智慧城市建设管理服务中心办公室", "电子公文专用章", "113700004955A3127Q"),
    Stamp("局" * 40, "章" * 12, "1" * 24, diameter_mm=60),
    Stamp("临江市教育局", diameter_mm=10),
]


@pytest.mark.parametrize("stamp", STAMPS, ids=lambda one: f"{len(one.name)}-{one.diameter_mm:.0f}mm")
def test_a_stamp_is_round_red_and_stays_in_its_square(stamp: Stamp) -> None:
    drawing = draw_stamp(stamp)
    assert drawing.size == pytest.approx(stamp.diameter_mm * MM)
    document = pypdfium2.PdfDocument(stamp_pdf(drawing))
    image = document[0].render(scale=300 / drawing.size).to_pil().convert("RGB")
    width, height = image.size
    assert abs(width - height) <= 1
    # The ring touches all four sides; the corners stay empty; the star fills the middle.
    for x, y in ((width // 2, 3), (width // 2, height - 4), (3, height // 2), (width - 4, height // 2)):
        red, green, blue = image.getpixel((x, y))
        assert red > 180
        assert green < 90
        assert blue < 90
    assert image.getpixel((4, 4)) == (255, 255, 255)
    assert image.getpixel((width // 2, height // 2))[1] < 90
    document.close()


def test_nothing_is_drawn_twice_in_the_same_place() -> None:
    """Characters on the arc do not touch: counted as separate pieces of red on the circle of their middles."""
    drawing = draw_stamp(Stamp("口口口口口口"))
    document = pypdfium2.PdfDocument(stamp_pdf(drawing))
    image = document[0].render(scale=600 / drawing.size).to_pil().convert("L")
    # Just inside the ring nothing is red: the name keeps its distance from it.
    import math

    for degree in range(360):
        x = 300 + 262 * math.cos(math.radians(degree))
        y = 300 + 262 * math.sin(math.radians(degree))
        assert image.getpixel((int(x), int(y))) == 255, degree
    document.close()


def test_the_same_stamp_gives_the_same_bytes() -> None:
    assert draw_stamp(STAMPS[3]).content == draw_stamp(STAMPS[3]).content


def test_a_missing_character_is_named() -> None:
    with pytest.raises(GlyphMissing) as caught:
        draw_stamp(Stamp("龘龘鎮教育局"))
    assert caught.value.characters == "龘鎮"


@pytest.mark.parametrize(
    "stamp",
    [
        Stamp(""),
        Stamp("局" * 41),
        Stamp("局", line="章" * 13),
        Stamp("局", code="1" * 25),
        Stamp("局", diameter_mm=5),
        Stamp("局", diameter_mm=float("nan")),
    ],
)
def test_what_no_stamp_can_carry_is_refused(stamp: Stamp) -> None:
    with pytest.raises(DrawingImpossible):
        draw_stamp(stamp)


def test_another_font_may_be_given() -> None:
    assert draw_stamp(Stamp("局"), face=fonts.regular()).content != draw_stamp(Stamp("局")).content


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0" + bytes(200), b"OTTO" + bytes(200)])
def test_what_is_no_font_is_refused(data: bytes) -> None:
    with pytest.raises(FontUnusable):
        fonts.Typeface(data)


def test_the_fonts_cover_gb_2312_and_what_official_paper_needs() -> None:
    hanzi = bytes(
        octet for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF) for octet in (row, cell)
    ).decode("gb2312", "ignore")
    assert len(hanzi) == 6763
    for face in (fonts.regular(), fonts.bold()):
        assert face.missing(hanzi + "〔2026〕★—“”‘’…·，。、；：？！（）《》0123456789abcXYZ") == ""


def test_the_fonts_are_small_enough_to_travel() -> None:
    assert fonts.REGULAR.stat().st_size <= 3_500_000
    assert fonts.REGULAR.stat().st_size + fonts.BOLD.stat().st_size <= 7_000_000
