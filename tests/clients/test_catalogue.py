"""Sentences in the reader's language: complete catalogues, sound translations, the right language."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from exchange.protocol.i18n import CHINESE, ENGLISH, language_of, negotiate, sayer, translate
from pki.text import text

TOOL = Path(__file__).resolve().parent.parent.parent / "tools" / "catalogue.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalogue", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["catalogue"] = module
    spec.loader.exec_module(module)
    return module


def test_every_sentence_is_translated_with_its_values_and_compiled(tool: ModuleType) -> None:
    assert list(tool.complaints()) == []


def test_a_mark_in_an_f_string_is_found_and_a_marked_expression_refused(tool: ModuleType) -> None:
    assert list(tool.marked("x = f\"{_('hello')} {N_('there')}\"")) == [(1, "hello"), (1, "there")]
    assert list(tool.marked("_(known)")) == []
    for source in ("N_(f'{x}')", "_('a' + b)", "N_(known)"):
        with pytest.raises(SystemExit):
            list(tool.marked(source))


@pytest.mark.parametrize(
    ("environ", "asked", "language"),
    [
        ({}, None, ENGLISH),
        ({"LANG": "zh_CN.UTF-8"}, None, CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, None, ENGLISH),
        ({"LANG": "C", "LC_MESSAGES": "zh_SG"}, None, CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, None, CHINESE),
        ({"LANG": "de_DE.UTF-8"}, None, ENGLISH),
        ({"LANG": "zh_CN.UTF-8"}, "en", ENGLISH),
        ({}, "zh-Hans", CHINESE),
        ({}, "tlh", ENGLISH),
    ],
)
def test_the_language_of_a_process(environ: dict[str, str], asked: str | None, language: str) -> None:
    assert language_of(environ, asked) == language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", ENGLISH),
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("en;q=0.8,zh;q=0.9", CHINESE),
        ("en,zh", ENGLISH),
        ("de, zh;q=0", ENGLISH),
        ("zh;q=many, en;q=0.1", ENGLISH),
        ("*", ENGLISH),
    ],
)
def test_the_language_of_a_request(header: str, language: str) -> None:
    assert negotiate(header) == language


def test_values_stay_and_known_details_are_translated() -> None:
    say = sayer(CHINESE)
    assert say(text("{path} is missing", path="tile/0")) == "缺少 tile/0"
    nested = text("the file cannot be read: {detail}", detail="the judging process ended")
    assert say(nested) == "文件无法读取：验章进程已终止"
    assert say(text("said by nobody: {x}", x="{y}")) == "said by nobody: {y}"
    assert translate("", CHINESE) == ""
