"""Sentences in the reader's language, from gettext catalogues beside this module.

    say = sayer(language_of({"LANG": "zh_CN.UTF-8"}))
    say(text("{name} expired at {at}", name="hub", at="2026-01-01"))

Pure modules say what they found as :class:`~pki.text.Text`; the edges (command line,
problem documents, pages) ask here. English is the catalogue's key and needs no file.
``tools/catalogue.py`` extracts, updates and compiles the catalogues.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from pki.text import Text

DOMAIN = "gongwen"
ENGLISH = "en"
CHINESE = "zh_CN"
LANGUAGES = (ENGLISH, CHINESE)
LOCALES = Path(__file__).resolve().parent / "locale"

Say = Callable[[Text], str]


def language_named(name: str) -> str | None:
    """The language of ours that a name means (``zh``, ``zh-Hans``, ``zh_CN.UTF-8``, ``en``), or none."""
    head = name.strip().lower().replace("_", "-").partition(".")[0].partition("-")[0]
    return {"zh": CHINESE, "en": ENGLISH, "c": ENGLISH, "posix": ENGLISH}.get(head)


def language_of(environ: Mapping[str, str], asked: str | None = None) -> str:
    """The language to speak: what was asked for, else the locale's, else English.

    POSIX: of LC_ALL, LC_MESSAGES and LANG the first that is set counts.
    """
    if asked:
        return language_named(asked) or ENGLISH
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environ.get(variable)
        if value:
            return language_named(value) or ENGLISH
    return ENGLISH


def negotiate(accept_language: str) -> str:
    """The language of an ``Accept-Language`` header (RFC 9110 §12.5.4); else English."""
    best: tuple[float, int, str] = (0.0, 0, ENGLISH)
    for place, part in enumerate(accept_language.split(",")[:20]):
        name, _, weight = part.partition(";")
        language = language_named(name)
        if language is None:
            continue
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        # The earlier of equals wins.
        best = max(best, (quality, -place, language)) if quality > 0 else best
    return best[2]


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> gettext.NullTranslations:
    """The catalogue of a language; an unknown one speaks English."""
    if language not in LANGUAGES or language == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, LOCALES, [language], fallback=True)


def translate(message: str, language: str) -> str:
    """One message; itself where the catalogue lacks it. (The empty message is the catalogue's header.)"""
    return catalogue(language).gettext(message) if message else ""


def sayer(language: str) -> Say:
    """A function that says a :class:`Text` in this language.

    Values that are themselves sentences (a ``detail``) are translated as well; all
    others stand as they are.
    """

    def say(sentence: Text) -> str:
        values = {
            name: say(value) if isinstance(value, Text) else translate(value, language)
            for name, value in sentence.fields
        }
        return translate(sentence.template, language).format(**values)

    return say
