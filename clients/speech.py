"""How the command line talks: one language per process, results to stdout, people's messages to stderr.

With ``--json`` stdout gets one JSON document and nothing else. Without it, results are
aligned columns on a terminal and tab-separated values in a pipe. What comes from
others (titles, names in certificates, file names) is shown without control characters,
so that no document can move the cursor or colour its own verdict.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TextIO

from exchange.protocol.i18n import ENGLISH, language_of, sayer, translate
from pki.text import Text

_language = ENGLISH


def use_language(asked: str | None, environ: Mapping[str, str] | None = None) -> None:
    """Choose the language of this process, before anything is said."""
    global _language
    _language = language_of(os.environ if environ is None else environ, asked)


def language() -> str:
    """The language in use."""
    return _language


def _(message: str) -> str:
    """A message of the catalogue in the language in use; for help texts and headings."""
    return translate(message, _language)


def say(sentence: Text) -> str:
    """A sentence in the language in use, on one line and free of control characters."""
    return plain(sayer(_language)(sentence))


def plain(text: str) -> str:
    """The text with everything that is not printable shown as U+FFFD; bidirectional controls too."""
    return "".join(
        character if character.isprintable() and unicodedata.category(character) != "Cf" else "\ufffd"
        for character in text
    )


def tell(sentence: Text | str) -> None:
    """A message for the person, on stderr."""
    line = say(sentence) if isinstance(sentence, Text) else sentence
    print(line, file=sys.stderr)


def show(line: str) -> None:
    """A line of the result, on stdout."""
    print(line)


def show_json(value: object) -> None:
    """The whole result as one JSON document on stdout."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=_json_of)
    sys.stdout.write("\n")


def _json_of(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def show_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, out: TextIO | None = None) -> None:
    """Rows under heads, if there are any: aligned on a terminal, tab-separated in a pipe."""
    file = sys.stdout if out is None else out
    cells = [[plain(_cell(value)) for value in row] for row in rows]
    table = [list(heads), *cells] if heads else cells
    if not file.isatty():
        for row in table:
            print("\t".join(row), file=file)
        return
    widths = [max(map(width, column)) for column in zip(*table, strict=True)]
    for row in table:
        padded = [cell + " " * (size - width(cell)) for cell, size in zip(row, widths, strict=True)]
        print("  ".join(padded).rstrip(), file=file)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local_time(value)
    return str(value)


def local_time(at: datetime) -> str:
    """The instant on this machine's clock, with its offset."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def width(text: str) -> int:
    """Columns on a terminal; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
