"""The documents that the demo sends: two notices in the layout of GB/T 9704-2012, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

from clients.official_paper import OfficialDocument, draw_official_document, seal_centre
from signing.stamp import StampPlace

CHINA = timezone(timedelta(hours=8))
"""成文日期 is a day in China, whatever the clock of this machine says."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A document that is ready to be sealed."""

    name: str
    title: str
    number: str
    pdf: bytes
    place: StampPlace | None
    """Where the seal belongs; None where only the document's own end can tell."""
    reason: str


def papers(own: Path | None, now: datetime) -> tuple[Paper, Paper]:
    """The two documents. With ``own`` the first is the user's PDF."""
    today = now.astimezone(CHINA).date()
    first, second = _notice(today, now), _second(today, now)
    if own is not None:
        first = Paper(own.stem, own.stem, first.number, own.read_bytes(), None, first.reason)
    return first, second


def _notice(today: date, now: datetime) -> Paper:
    document = OfficialDocument(
        issuer="市政府办公室文件",
        number=f"临政办发〔{today.year}〕12号",
        title="关于推进政务数据共享工作的通知",
        recipients=("市财政局",),
        body=(
            "为进一步提高政务服务效能，经市人民政府同意，现就推进政务数据共享工作的有关事项通知如下。",
            "一、提高认识",
            "各单位要充分认识政务数据共享的重要意义，明确分管负责人和联络员，于本月底前报送名单。",
            "二、规范目录",
            "按照统一标准编制共享数据目录，做到应编尽编、及时更新，不得擅自扩大或者缩小共享范围。",
            "三、保障安全",
            "严格落实数据分类分级保护制度，共享数据的使用情况应当全程留痕、可以核查。",
            "四、加强督促",
            "市政府办公室每季度通报工作进展，对工作不力的单位予以提醒。",
        ),
        signature="市政府办公室",
        issued_on=today,
        copies=("县教育局",),
        printer="市政府办公室",
        printed_on=today,
    )
    return _paper("政务数据共享通知", document, now)


def _second(today: date, now: datetime) -> Paper:
    document = OfficialDocument(
        issuer="市政府办公室文件",
        number=f"临政办发〔{today.year}〕13号",
        title="关于召开年度预算编制工作会议的通知",
        recipients=("市财政局", "县教育局"),
        body=(
            "定于下周三上午九时在市政府第二会议室召开年度预算编制工作会议，请你单位主要负责人参加。",
            "请于会前一个工作日将参会人员名单报市政府办公室。",
        ),
        signature="市政府办公室",
        issued_on=today,
    )
    return _paper("预算编制会议通知", document, now)


def _paper(name: str, document: OfficialDocument, now: datetime) -> Paper:
    return Paper(
        name=name,
        title=document.title,
        number=document.number,
        pdf=draw_official_document(document, created=now.astimezone(UTC)),
        place=seal_centre(document),
        reason="发文用印",
    )
