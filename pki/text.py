"""A sentence for a person, kept apart from its values so that it can be translated.

Pure modules say what they found as a :class:`Text`; only the edges (command
line, problem documents, pages) look the template up in a gettext catalogue.
``str()`` gives the English sentence.

    >>> str(text("{name} expired at {at}", name="hub", at="2026-01-01"))
    'hub expired at 2026-01-01'
"""

from __future__ import annotations

from dataclasses import dataclass


def N_(template: str) -> str:  # noqa: N802 - gettext's customary name
    """Mark a template for the catalogue without translating it here."""
    return template


@dataclass(frozen=True, slots=True)
class Text:
    """A template (the catalogue's key, in English) and the values that go into it.

    A value may be a sentence itself (a reason, say), so that it can be translated as well.
    """

    template: str
    fields: tuple[tuple[str, str | Text], ...] = ()

    def __str__(self) -> str:
        return self.template.format(**dict(self.fields))


def text(template: str, **fields: object) -> Text:
    """Build a :class:`Text`; every value but a :class:`Text` is kept as its string."""
    kept = ((name, value if isinstance(value, Text) else str(value)) for name, value in fields.items())
    return Text(template, tuple(kept))
