"""Official paper as GB/T 9704-2012 lays it out: a document in, a PDF out.

For the demo, for tests, and for a unit without an office system of its own. The
general form only (clause 7): one issuer, one seal; 信函, 命令, 纪要 (clause 10),
joint issue and tables are not drawn. No seal is put on here: :func:`seal_centre`
tells where it belongs, over the issuer's name and the date (7.3.5).

    document = OfficialDocument(
        issuer="临江市教育局文件", number="临教发〔2026〕12号", title="关于做好冬季校园安全工作的通知",
        recipients=("各县区教育局", "市直各学校"), body=("现将有关事项通知如下。",),
        signature="临江市教育局", issued_on=date(2026, 11, 21))
    pdf = draw_official_document(document, created=now)

The same document and ``created`` give the same bytes, with the same version of fpdf2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from fpdf import FPDF

from signing import fonts
from signing.errors import DrawingImpossible
from signing.fonts import Typeface
from signing.stamp import StampPlace

MM = 72 / 25.4
"""Points of a millimetre."""

# Clause 5.1 and 5.2.3: A4, head margin 37 mm, binding margin 28 mm, 22 lines of 28 characters.
PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
LEFT, TOP = 28.0, 37.0
WIDTH, HEIGHT = 156.0, 225.0
LINES, COLUMNS = 22, 28
PITCH = HEIGHT / LINES
CELL = WIDTH / COLUMNS

SIZE_2, SIZE_3, SIZE_4 = 22.0, 16.0, 14.0
"""Chinese type sizes 2号, 3号 and 4号 in points."""

RED = (211, 14, 21)
MAX_PAGES = 200

_NOT_FIRST = frozenset("、，。；：？！）》〉」』】〕”’…—·％%,.;:?!)]}")
_NOT_LAST = frozenset("（《〈「『【〔“‘([{")


@dataclass(frozen=True, slots=True)
class OfficialDocument:
    """The elements of one official document, by their order on paper.

    ``secrecy`` and ``urgency`` are drawn at the head of the first page as they stand
    (密级和保密期限, 紧急程度); the hub carries no classified documents, so the former
    serves tests and those who want to see a refusal.
    """

    issuer: str
    number: str
    title: str
    recipients: tuple[str, ...]
    body: tuple[str, ...]
    signature: str
    issued_on: date
    attachments: tuple[str, ...] = ()
    note: str = ""
    copies: tuple[str, ...] = ()
    printer: str = ""
    printed_on: date | None = None
    urgency: str = ""
    secrecy: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of text, placed: millimetres from the page's left and top edge to its baseline start."""

    page: int
    x: float
    baseline: float
    words: str
    size: float
    bold: bool = False
    red: bool = False
    width: float | None = None
    """The line is spread or squeezed to this width (mm); None keeps the natural cells."""


@dataclass(frozen=True, slots=True)
class _Rule:
    page: int
    y: float
    thickness: float
    red: bool = False


@dataclass(frozen=True, slots=True)
class _Layout:
    pages: int
    lines: tuple[_Line, ...]
    rules: tuple[_Rule, ...]
    seal: StampPlace


def draw_official_document(
    document: OfficialDocument,
    *,
    created: datetime,
    text_font: Path = fonts.REGULAR,
    title_font: Path = fonts.BOLD,
) -> bytes:
    """Draw the document; its fonts are embedded, cut down to the characters used.

    Raises:
        GlyphMissing: a font lacks characters of the document; other font files may be given.
        DrawingImpossible: an element is missing or too long for its place.
    """
    faces = _Faces.open(text_font, title_font)
    layout = _lay_out(document, faces)
    for bold in (False, True):
        faces.face(bold).check_covers(line.words for line in layout.lines if line.bold is bold)

    pdf = FPDF(unit="mm", format="A4")
    pdf.pdf_version = "1.7"
    pdf.set_auto_page_break(False)
    pdf.set_creation_date(created)
    pdf.set_producer("gongwen")
    pdf.set_creator("gongwen")
    pdf.set_title(document.title.replace("\n", ""))
    pdf.set_author(document.signature)
    pdf.set_lang("zh-CN")
    pdf.add_font("text", "", text_font)
    pdf.add_font("text", "B", title_font)
    for page in range(layout.pages):
        pdf.add_page()
        for rule in (r for r in layout.rules if r.page == page):
            pdf.set_draw_color(*(RED if rule.red else (0, 0, 0)))
            pdf.set_line_width(rule.thickness)
            pdf.line(LEFT, rule.y, LEFT + WIDTH, rule.y)
        for line in (ln for ln in layout.lines if ln.page == page):
            _draw_line(pdf, line, faces)
    return bytes(pdf.output())


def seal_centre(
    document: OfficialDocument, *, text_font: Path = fonts.REGULAR, title_font: Path = fonts.BOLD
) -> StampPlace:
    """Where the seal goes: upright, centred on the issuer's name and the date, pressing on both (7.3.5.1)."""
    return _lay_out(document, _Faces.open(text_font, title_font)).seal


def chinese_date(day: date) -> str:
    """成文日期 in Arabic numerals without leading zeros (7.3.5.4): 2026年11月21日."""
    return f"{day.year}年{day.month}月{day.day}日"


@dataclass(frozen=True, slots=True)
class _Faces:
    text: Typeface
    title: Typeface

    @classmethod
    def open(cls, text_font: Path, title_font: Path) -> _Faces:
        return cls(
            fonts.regular() if text_font == fonts.REGULAR else Typeface(text_font.read_bytes()),
            fonts.bold() if title_font == fonts.BOLD else Typeface(title_font.read_bytes()),
        )

    def face(self, bold: bool) -> Typeface:
        return self.title if bold else self.text

    def width(self, words: str, size: float, *, bold: bool = False) -> float:
        """Natural width in millimetres: hanzi on the cells of the grid, others by their own width."""
        return sum(self.advance(c, size, bold=bold) for c in words)

    def advance(self, character: str, size: float, *, bold: bool = False) -> float:
        em = CELL * size / SIZE_3
        return em if _full_width(character) else em * self.face(bold).advance(character)


def _full_width(character: str) -> bool:
    """Does it fill a cell? Chinese quotation marks and dashes do, though Unicode calls them ambiguous."""
    return ord(character) > 0x2E7F or character in "“”‘’—…·★"


def _lay_out(document: OfficialDocument, faces: _Faces) -> _Layout:
    """Place everything: the head (7.2), the body (7.3), the imprint (7.4), the page numbers (7.5)."""
    for what, words in (
        ("issuer", document.issuer),
        ("number", document.number),
        ("title", document.title),
        ("signature", document.signature),
    ):
        if not words.strip():
            raise DrawingImpossible(f"the {what} is empty")
    head_lines, head_rules, start = _head(document, faces)
    flow = _Flow(start)
    lines = list(head_lines)
    for words in _title_lines(document.title, faces):
        lines.append(flow.centred(words, SIZE_2, faces, bold=True))
    flow.skip(1)
    if document.recipients:
        lines.extend(flow.paragraph("，".join(document.recipients) + "：", faces, indent=0))
    for paragraph in document.body:
        first = paragraph[:4]
        lines.extend(
            flow.paragraph(
                paragraph, faces, indent=2, bold="、" in first and first[0] in "一二三四五六七八九十"
            )
        )
    if document.attachments:
        flow.skip(1)
        for number, name in enumerate(document.attachments, 1):
            label = f"{number}. {name}" if len(document.attachments) > 1 else name
            prefix = "附件：" if number == 1 else "　　　"
            lines.extend(flow.paragraph(prefix + label, faces, indent=2))
    # The name and the date stay together, with two lines above for the seal to press on text and not on air alone.
    flow.skip(2)
    flow.keep(3 if document.note else 2)
    day = chinese_date(document.issued_on)
    day_width = faces.width(day, SIZE_3)
    day_x = LEFT + WIDTH - 4 * CELL - day_width
    name_width = faces.width(document.signature, SIZE_3)
    name_x = min(day_x + (day_width - name_width) / 2, LEFT + WIDTH - 2 * CELL - name_width)
    if name_x < LEFT:
        raise DrawingImpossible("the signature is longer than a line")
    name_line = flow.line(name_x, document.signature, SIZE_3)
    day_line = flow.line(day_x, day, SIZE_3)
    lines += [name_line, day_line]
    seal = StampPlace(
        day_line.page, day_x + day_width / 2, (name_line.baseline + day_line.baseline) / 2 - 1.9
    )
    if document.note:
        lines.extend(flow.paragraph(f"（{document.note}）", faces, indent=2))
    imprint_lines, imprint_rules = _imprint(document, faces, flow)
    lines.extend(imprint_lines)
    pages = flow.page + 1
    lines.extend(_page_numbers(pages, faces))
    return _Layout(pages, tuple(lines), (*head_rules, *imprint_rules), seal)


def _head(document: OfficialDocument, faces: _Faces) -> tuple[list[_Line], list[_Rule], int]:
    """版头 (7.2): marks, the issuer in red, the number, the red line; and the row where the title starts."""
    lines = []
    for row, mark in ((1, document.secrecy), (2, document.urgency)):
        if mark:
            lines.append(_Line(0, LEFT, _baseline(row), mark, SIZE_3, bold=True))
    natural = faces.width(document.issuer, SIZE_3, bold=True)
    size = min(62.0, SIZE_3 * WIDTH / natural)
    width = min(WIDTH, natural * size / SIZE_3 * 1.04)
    # 7.2.4: the upper edge of the issuer's name lies 35 mm under the head of the text block.
    height = size / MM * 0.92
    baseline = TOP + 35 + height * 0.93
    middle = LEFT + WIDTH / 2
    lines.append(
        _Line(0, middle - width / 2, baseline, document.issuer, size, bold=True, red=True, width=width)
    )
    number_width = faces.width(document.number, SIZE_3)
    if number_width > WIDTH:
        raise DrawingImpossible("the number is longer than a line")
    number_baseline = TOP + 35 + height + 2.6 * PITCH
    lines.append(_Line(0, middle - number_width / 2, number_baseline, document.number, SIZE_3))
    rule = number_baseline + 1.0 + 4.0
    start = int((rule - TOP) / PITCH) + 3
    return lines, [_Rule(0, rule, 0.5, red=True)], start


def _title_lines(title: str, faces: _Faces) -> list[str]:
    """The title's lines: as given where it has line breaks, else of nearly equal length."""
    if "\n" in title:
        given = [part.strip() for part in title.split("\n") if part.strip()]
    else:
        most = WIDTH - 2 * CELL
        count = int(faces.width(title, SIZE_2, bold=True) / most) + 1
        length = -(-len(title) // count)
        given = []
        rest = title
        while rest:
            cut = length
            while cut < len(rest) and rest[cut] in _NOT_FIRST:
                cut += 1
            while 1 < cut < len(rest) and rest[cut - 1] in _NOT_LAST:
                cut -= 1
            given.append(rest[:cut])
            rest = rest[cut:]
    if any(faces.width(words, SIZE_2, bold=True) > WIDTH for words in given) or len(given) > 6:
        raise DrawingImpossible("the title is too long")
    return given


def _imprint(document: OfficialDocument, faces: _Faces, flow: _Flow) -> tuple[list[_Line], list[_Rule]]:
    """版记 (7.4): copies and imprint between lines at the foot of the last page."""
    rows: list[list[tuple[float, str]]] = []
    em = CELL * SIZE_4 / SIZE_3
    if document.copies:
        copies = "抄送：" + "，".join(document.copies) + "。"
        hang = 3 * em
        for i, words in enumerate(
            _break(copies, faces, SIZE_4, first=WIDTH - 2 * em, later=WIDTH - 2 * em - hang)
        ):
            rows.append([(LEFT + em + (hang if i else 0), words)])
    copies_rows = len(rows)
    if document.printer:
        row = [(LEFT + em, document.printer)]
        if document.printed_on is not None:
            printed = chinese_date(document.printed_on) + "印发"
            row.append((LEFT + WIDTH - em - faces.width(printed, SIZE_4), printed))
        rows.append(row)
    if not rows:
        return [], []
    if len(rows) > LINES - 2:
        raise DrawingImpossible("the imprint is longer than a page")
    height = 7.6
    flow.keep(math.ceil(height * len(rows) / PITCH))
    top = TOP + HEIGHT - height * len(rows)
    lines = [
        _Line(flow.page, x, top + height * i + height * 0.68, words, SIZE_4)
        for i, row in enumerate(rows)
        for x, words in row
    ]
    # 7.4.1: the first and the last line are thick (0.35 mm), those between thin (0.25 mm).
    rules = [_Rule(flow.page, top, 0.35), _Rule(flow.page, TOP + HEIGHT, 0.35)]
    if document.copies and document.printer:
        rules.append(_Rule(flow.page, top + height * copies_rows, 0.25))
    return lines, rules


def _page_numbers(pages: int, faces: _Faces) -> Iterator[_Line]:
    """— 1 — in 4号, 7 mm under the text block; odd pages to the right, even ones to the left (7.5)."""
    for page in range(pages):
        words = f"— {page + 1} —"
        width = faces.width(words, SIZE_4)
        x = LEFT + CELL if page % 2 else LEFT + WIDTH - CELL - width
        yield _Line(page, x, TOP + HEIGHT + 7 + 3.6, words, SIZE_4)


def _baseline(row: int) -> float:
    """The baseline of a row of the grid, in millimetres from the top edge of the page."""
    return TOP + PITCH * row + PITCH * 0.68


class _Flow:
    """A pen that goes down the rows of the grid and turns the page."""

    def __init__(self, row: int) -> None:
        self.page = 0
        self.row = row

    def skip(self, rows: int) -> None:
        self.row += rows

    def keep(self, rows: int) -> None:
        """Turn the page unless so many rows are left on it."""
        if self.row + rows > LINES:
            self.page, self.row = self.page + 1, 0
        if self.page >= MAX_PAGES:
            raise DrawingImpossible(f"the document has more than {MAX_PAGES} pages")

    def line(
        self, x: float, words: str, size: float, *, bold: bool = False, width: float | None = None
    ) -> _Line:
        self.keep(1)
        placed = _Line(self.page, x, _baseline(self.row), words, size, bold=bold, width=width)
        self.row += 1
        return placed

    def centred(self, words: str, size: float, faces: _Faces, *, bold: bool = False) -> _Line:
        return self.line(LEFT + (WIDTH - faces.width(words, size, bold=bold)) / 2, words, size, bold=bold)

    def paragraph(self, words: str, faces: _Faces, *, indent: int, bold: bool = False) -> Iterator[_Line]:
        broken = _break(words, faces, SIZE_3, first=WIDTH - indent * CELL, later=WIDTH, bold=bold)
        for i, part in enumerate(broken):
            shift = 0.0 if i else indent * CELL
            # The last line keeps its natural cells, unless a mark was drawn into it.
            spread = i < len(broken) - 1 or faces.width(part, SIZE_3, bold=bold) > WIDTH - shift
            yield self.line(LEFT + shift, part, SIZE_3, bold=bold, width=WIDTH - shift if spread else None)


def _break(
    words: str, faces: _Faces, size: float, *, first: float, later: float, bold: bool = False
) -> list[str]:
    """Break text into lines no wider than the measure.

    Up to two marks that may not begin a line are drawn into the line before, which is
    then squeezed; an opening bracket goes down with what it opens. Numbers and
    Latin words stay whole where a line can hold them.
    """
    lines: list[str] = []
    line, used, measure = "", 0.0, first
    for token in _tokens(words):
        width = faces.width(token, size, bold=bold)
        squeezed = token in _NOT_FIRST and used + width <= measure + 2.01 * CELL
        if line and used + width > measure + 0.01 and not squeezed:
            carried = ""
            while len(line) > 1 and line[-1] in _NOT_LAST:
                carried, line = line[-1] + carried, line[:-1]
            lines.append(line)
            line, measure = carried, later
            used = faces.width(line, size, bold=bold)
        if width > measure and len(token) > 1:
            for character in token:
                step = faces.advance(character, size, bold=bold)
                if line and used + step > measure:
                    lines.append(line)
                    line, used, measure = "", 0.0, later
                line, used = line + character, used + step
            continue
        line, used = line + token, used + width
    return [*lines, line] if line or not lines else lines


def _tokens(words: str) -> Iterator[str]:
    """Single full-width characters, and runs of others without a space."""
    run = ""
    for character in words:
        if _full_width(character) or character == " ":
            if run:
                yield run
                run = ""
            yield character
        else:
            run += character
    if run:
        yield run


def _draw_line(pdf: FPDF, line: _Line, faces: _Faces) -> None:
    """Put one line on the page, each character on its cell, in as few runs as may be."""
    pdf.set_font("text", "B" if line.bold else "", line.size)
    pdf.set_text_color(*(RED if line.red else (0, 0, 0)))
    natural = faces.width(line.words, line.size, bold=line.bold)
    gaps = len(line.words) - 1
    slack = (line.width - natural) / gaps if line.width is not None and gaps else 0.0
    x = line.x
    for run in _runs(line.words):
        # A cell is a little narrower than the type's em (28 characters on 156 mm): spacing takes it up.
        em = CELL * line.size / SIZE_3
        spacing = slack + (em - line.size / MM) if _full_width(run[0]) else slack + (em - line.size / MM) / 2
        pdf.set_char_spacing(spacing * MM)
        pdf.text(x, line.baseline, run)
        x += sum(faces.advance(c, line.size, bold=line.bold) + slack for c in run)
    pdf.set_char_spacing(0)


def _runs(words: str) -> Sequence[str]:
    """Cut a line where it changes between full-width characters and others."""
    runs: list[str] = []
    for character in words:
        if runs and _full_width(runs[-1][0]) == _full_width(character):
            runs[-1] += character
        else:
            runs.append(character)
    return runs
