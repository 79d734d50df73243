"""The secrecy mark: 绝密, 机密 or 秘密 at the head of a document (FORMATS §9).

A pure function over lines of text that somebody else took from the first page, and
one over the 密级 of the metadata. It reads marks as GB/T 9704-2012, 7.2.2 sets them: a
line of its own at the head of the first page, the level alone or with ★ and a term.
It does not know what is secret: a document without a mark may be, and scans are
not read.

    >>> find_mark([Line("机密★10年", 0.15), Line("临江市教育局文件", 0.28)])
    '机密★10年'
    >>> find_mark([Line("保守国家秘密", 0.15)]) is None
    True
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

HEAD = 0.40
"""The head is so much of the page: the mark stands above the red line, which ends at about 45 %."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, or a part of one that stands by itself; ``top`` is 0 at the upper edge, 1 at the lower."""

    words: str
    top: float


# Traditional characters too: documents from Hong Kong, Macao and Taiwan are marked alike.
_LEVELS = "绝密|機密|机密|秘密|絕密|祕密|絶密"
_STARS = "★☆⭐✩✪✭✮✯✰⋆*＊"
_URGENCY = "特提|特急|加急|平急|急件"

# After a star anything goes: no running text reads 机密★. Without one only an urgency may follow,
# which some put on the same line.
_MARK = re.compile(rf"(?:{_LEVELS})(?:$|[{_STARS}].*|[·.、,]?(?:{_URGENCY})$)")

_NO_LEVEL = frozenset(
    {"", "无", "無", "非密", "非涉密", "不涉密", "公开", "公開", "普通", "none", "public", "unclassified"}
)


def find_mark(lines: Sequence[Line]) -> str | None:
    """The secrecy mark at the head of the page, or None.

    Spaces between the characters, full-width digits and compatibility forms make no
    difference; the mark is given in its plain form.
    """
    for line in lines:
        if not 0 <= line.top <= HEAD:
            continue
        plain = _plain(line.words)
        if len(plain) <= 60 and _MARK.match(plain):
            return plain
    return None


def is_secret_level(level: object) -> bool:
    """Whether the 密级 of the metadata is other than none. What we do not understand counts as a level."""
    if level is None:
        return False
    return not isinstance(level, str) or _plain(level).casefold() not in _NO_LEVEL


def _plain(words: str) -> str:
    """NFKC, without spaces and what is invisible."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", words)
        if unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn")
    )
