"""Official paper: measured against GB/T 9704-2012, and read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pypdfium2
import pytest

from clients.official_paper import OfficialDocument, chinese_date, draw_official_document, seal_centre
from signing.errors import DrawingImpossible, GlyphMissing
from signing.sandbox.first_page import first_page_lines
from signing.secrecy import find_mark

CREATED = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)
DOCUMENT = OfficialDocument(
    issuer="临江市教育局文件",
    number="临教发〔2026〕12号",
    title="关于做好冬季校园安全工作的通知",
    recipients=("各县（区）教育局",),
    body=("现将有关事项通知如下。",),
    signature="临江市教育局",
    issued_on=date(2026, 11, 21),
)


def drawn(document: OfficialDocument) -> pypdfium2.PdfDocument:
    return pypdfium2.PdfDocument(draw_official_document(document, created=CREATED))


def lines(document: OfficialDocument, page: int = 0) -> list[str]:
    text = drawn(document)[page].get_textpage().get_text_range()
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_the_elements_stand_in_their_order() -> None:
    document = replace(
        DOCUMENT, note="此件公开发布", copies=("市政府办公室",), printer="办公室", urgency="特急"
    )
    assert lines(document) == [
        "特急",
        "临江市教育局文件",
        "临教发〔2026〕12号",
        "关于做好冬季校园安全工作的通知",
        "各县（区）教育局：",
        "现将有关事项通知如下。",
        "临江市教育局",
        "2026年11月21日",
        "（此件公开发布）",
        "抄送：市政府办公室。",
        "办公室",
        "— 1 —",
    ]


def test_the_page_is_a4_and_text_keeps_its_margins() -> None:
    page = drawn(replace(DOCUMENT, body=("安全工作" * 400,)))[0]
    assert page.get_size() == pytest.approx((595.28, 841.89), abs=0.01)
    text = page.get_textpage()
    millimetres = [tuple(v / 72 * 25.4 for v in text.get_charbox(i)) for i in range(text.count_chars())]
    inside = [box for box in millimetres if box[2] > box[0]]
    assert min(box[0] for box in inside) >= 28 - 1
    assert max(box[2] for box in inside) <= 210 - 26 + 1
    assert max(box[3] for box in inside) <= 297 - 37 + 1


def test_a_full_page_has_22_lines_of_28_characters() -> None:
    page = lines(replace(DOCUMENT, body=("安全工作" * 400,)), page=1)
    assert page[-1] == "— 2 —"
    assert len(page) == 23
    assert {len(line) for line in page[:-1]} == {28}


def test_no_line_begins_with_a_mark_that_may_not() -> None:
    page = lines(replace(DOCUMENT, body=("安全，工作。" * 150,)), page=1)
    assert all(line[0] not in "，。、；：）》”" for line in page)


def test_pages_are_added_as_needed() -> None:
    assert len(drawn(DOCUMENT)) == 1
    assert len(drawn(replace(DOCUMENT, body=("安全工作" * 700,)))) == 6


def test_the_date_has_no_leading_zeros() -> None:
    assert chinese_date(date(2026, 1, 5)) == "2026年1月5日"


def test_the_seal_lies_over_name_and_date() -> None:
    place = seal_centre(DOCUMENT)
    page = drawn(DOCUMENT)[place.page]
    text = page.get_textpage()
    words = text.get_text_range()
    at = words.rindex("月21日")
    left, bottom, right, top = (value / 72 * 25.4 for value in text.get_charbox(at))
    assert left - 25 < place.x_mm < right + 25
    assert abs((297 - top) - place.y_mm) < 12
    assert bottom < top


def test_the_same_document_gives_the_same_bytes() -> None:
    assert draw_official_document(DOCUMENT, created=CREATED) == draw_official_document(
        DOCUMENT, created=CREATED
    )


def test_a_secrecy_mark_stands_where_it_is_looked_for() -> None:
    marked = draw_official_document(replace(DOCUMENT, secrecy="机密★10年"), created=CREATED)
    assert find_mark(first_page_lines(marked)) == "机密★10年"
    assert find_mark(first_page_lines(draw_official_document(DOCUMENT, created=CREATED))) is None


def test_a_missing_character_is_named() -> None:
    with pytest.raises(GlyphMissing, match="龘"):
        draw_official_document(replace(DOCUMENT, body=("龘",)), created=CREATED)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": ""},
        {"number": " "},
        {"title": ""},
        {"signature": ""},
        {"title": "题" * 200},
        {"number": "号" * 40},
    ],
    ids=["no-issuer", "no-number", "no-title", "no-signature", "long-title", "long-number"],
)
def test_what_has_no_place_on_paper_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(DrawingImpossible):
        draw_official_document(replace(DOCUMENT, **change), created=CREATED)  # type: ignore[arg-type]
