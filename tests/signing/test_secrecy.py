"""The secrecy mark: found where GB/T 9704 sets it, in every spelling, and nowhere else."""

from __future__ import annotations

import pytest

from signing.secrecy import Line, find_mark, is_secret_level


@pytest.mark.parametrize(
    ("words", "mark"),
    [
        ("绝密", "绝密"),
        ("机密", "机密"),
        ("秘密", "秘密"),
        ("机密★10年", "机密★10年"),
        ("机密★１０年", "机密★10年"),
        ("绝 密 ★ 长 期", "绝密★长期"),
        ("秘　密", "秘密"),
        ("秘\u200b密★一年", "秘密★一年"),
        ("秘密☆6个月", "秘密☆6个月"),
        ("秘密*1年", "秘密*1年"),
        ("秘密★", "秘密★"),
        ("秘密★启用前", "秘密★启用前"),
        ("機密★10年", "機密★10年"),
        ("机密 特急", "机密特急"),
        ("机密★1年  特急", "机密★1年特急"),
    ],
)
def test_a_mark_is_found(words: str, mark: str) -> None:
    assert find_mark([Line("000001", 0.13), Line(words, 0.17), Line("市政府文件", 0.28)]) == mark


@pytest.mark.parametrize(
    "words",
    [
        "商业秘密",
        "保守国家秘密",
        "秘密级文件管理办法",
        "机密文件传递规定",
        "秘密工作",
        "机密、绝密级国家秘密",
        "关于加强商业秘密保护工作的通知",
        "绝密飞行",
        "保密",
        "内部资料",
        "密",
        "",
    ],
)
def test_running_text_and_titles_are_no_marks(words: str) -> None:
    assert find_mark([Line(words, 0.2)]) is None


@pytest.mark.parametrize("top", [0.41, 0.6, 0.99, -0.1, 1.5])
def test_a_mark_elsewhere_on_the_page_does_not_count(top: float) -> None:
    assert find_mark([Line("机密", top)]) is None


def test_an_empty_page_has_no_mark() -> None:
    assert find_mark([]) is None


@pytest.mark.parametrize("level", ["绝密", "机密★10年", "秘密", "内部", "secret", 3, ["秘密"], "?"])
def test_a_level_in_the_metadata_counts(level: object) -> None:
    assert is_secret_level(level)


@pytest.mark.parametrize("level", [None, "", " ", "无", "公开", "非涉密", "None", "Ｎｏｎｅ"])
def test_no_level_is_none(level: object) -> None:
    assert not is_secret_level(level)
