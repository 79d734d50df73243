"""The examples on the pages of the ledger's formats hold.

On each page the ``text`` blocks are ``examples`` (as bytes; the first is ``example``) and the ``python``
blocks run one after the other; ``worked_example`` are the files of the vectors' ledger.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.exchange.ledger.builders import VECTORS, folder

PAGES = Path(__file__).parents[3] / "docs" / "formats"
NAMES = ["entry-tree", "signed-note", "checkpoint", "tiles", "tlog-proof", "tlog-policy"]
BLOCK = re.compile(r"^```(text|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    return BLOCK.findall((PAGES / f"{name}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_examples_on_the_page_hold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [content.encode() for kind, content in blocks(name) if kind == "text"]
    code = "\n".join(content for kind, content in blocks(name) if kind == "python")
    names = {
        "example": examples[0],
        "examples": examples,
        "worked_example": folder(VECTORS / "worked-example" / "log"),
    }
    test = doctest.DocTestParser().get_doctest(code, names, name, f"{name}.md", 0)
    outcome = doctest.DocTestRunner().run(test)
    assert outcome.attempted > 2
    assert outcome.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_page_shows_an_example_before_anything_else(name: str) -> None:
    lines = (PAGES / f"{name}.md").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert "```text" in lines[:5]


@pytest.mark.parametrize(
    ("name", "path"), [("checkpoint", "log/checkpoint"), ("tlog-proof", "entry2.tlog-proof")]
)
def test_example_is_the_vector(name: str, path: str) -> None:
    assert blocks(name)[0][1].encode() == (VECTORS / "worked-example" / path).read_bytes()


def test_links_between_the_pages_lead_somewhere() -> None:
    for name in NAMES:
        text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert (PAGES / target).is_file(), (name, target)
