"""Reading the fields of a decoded JSON object, each exactly once and none left over."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from exchange.protocol.canonical import Json
from exchange.protocol.identifiers import Digest, is_digest, is_uuid7, parse_time
from pki.errors import Fault, NameMalformed
from pki.names import UnitId, parse_unit_id

MAX_TEXT = 512


def is_plain_text(value: str, *, max_length: int = MAX_TEXT) -> bool:
    """Whether :meth:`Fields.text` would take the string."""
    return (
        0 < len(value) <= max_length
        and all(map(_is_plain, value))
        and unicodedata.normalize("NFC", value) == value
    )


def plain_text(value: str, *, max_length: int = MAX_TEXT) -> str:
    """The string as :meth:`Fields.text` takes it: normalised, odd characters as question marks, cut off."""
    plain = "".join(one if _is_plain(one) else "?" for one in unicodedata.normalize("NFC", value))
    # Once more: a character that kept two others apart may be gone.
    return unicodedata.normalize("NFC", plain)[:max_length] or "?"


def _is_plain(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Zl", "Zp")


class Fields:
    """One object being read. Every complaint is raised as the format's own malformed error."""

    def __init__(self, value: Json, malformed: Callable[[str], Fault], where: str = "") -> None:
        self._malformed = malformed
        self._where = where
        if not isinstance(value, Mapping):
            raise self.complaint("", "must be an object")
        self._rest = dict(value)

    def complaint(self, key: str, what: str) -> Fault:
        """The malformed error, with the place named."""
        path = ".".join(part for part in (self._where, key) if part)
        return self._malformed(f"{path or 'the whole'}: {what}")

    def __contains__(self, key: str) -> bool:
        return key in self._rest

    def _take(self, key: str) -> Json:
        if key not in self._rest:
            raise self.complaint(key, "is missing")
        return self._rest.pop(key)

    def text(self, key: str, *, max_length: int = MAX_TEXT) -> str:
        """A non-empty, normalised (NFC) string without control characters."""
        return self.checked_text(self._take(key), key, max_length=max_length)

    def checked_text(self, value: Json, key: str, *, max_length: int = MAX_TEXT) -> str:
        """The rules of :meth:`text` for a value at hand."""
        if not isinstance(value, str):
            raise self.complaint(key, "must be a string")
        if not value or len(value) > max_length:
            raise self.complaint(key, f"must have 1 to {max_length} characters")
        if not all(map(_is_plain, value)):
            raise self.complaint(key, "holds a control or unassigned character")
        if unicodedata.normalize("NFC", value) != value:
            raise self.complaint(key, "must be in Unicode normal form C")
        return value

    def optional_text(self, key: str, *, max_length: int = MAX_TEXT) -> str | None:
        """As :meth:`text`; ``None`` when the key is absent."""
        return self.text(key, max_length=max_length) if key in self else None

    def integer(self, key: str, *, low: int, high: int) -> int:
        """An integer within the bounds."""
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.complaint(key, "must be an integer")
        if not low <= value <= high:
            raise self.complaint(key, f"must lie between {low} and {high}")
        return value

    def constant(self, key: str, expected: str | int) -> None:
        """Exactly this value."""
        value = self._take(key)
        if value != expected or isinstance(value, bool):
            raise self.complaint(key, f"must be {expected!r}")

    def time(self, key: str) -> datetime:
        """An instant of FORMATS §1."""
        value = self._take(key)
        try:
            return parse_time(value if isinstance(value, str) else "")
        except ValueError:
            raise self.complaint(key, "must be a UTC time like 2026-11-21T20:00:00.123Z") from None

    def uuid7(self, key: str) -> str:
        """A UUIDv7 in lower case."""
        value = self._take(key)
        if not isinstance(value, str) or not is_uuid7(value):
            raise self.complaint(key, "must be a UUIDv7 in lower case")
        return value

    def digest(self, key: str) -> Digest:
        """A SHA-256 digest."""
        return self.checked_digest(self._take(key), key)

    def checked_digest(self, value: Json, key: str) -> Digest:
        """The rule of :meth:`digest` for a value at hand."""
        if not isinstance(value, str) or not is_digest(value):
            raise self.complaint(key, "must be sha256: and 64 lower-case hexadecimal digits")
        return Digest(value)

    def unit(self, key: str) -> UnitId:
        """A unit's code."""
        return self.checked_unit(self._take(key), key)

    def checked_unit(self, value: Json, key: str) -> UnitId:
        """The rule of :meth:`unit` for a value at hand."""
        try:
            return parse_unit_id(value if isinstance(value, str) else "")
        except NameMalformed as error:
            raise self.complaint(key, str(error)) from None

    def items(self, key: str, *, max_items: int) -> Sequence[Json]:
        """An array of at most so many items."""
        value = self._take(key)
        if not isinstance(value, list):
            raise self.complaint(key, "must be an array")
        if len(value) > max_items:
            raise self.complaint(key, f"must have at most {max_items} items")
        return value

    def object(self, key: str) -> Fields:
        """A nested object, to be read and :meth:`done` on its own."""
        return self.nested(self._take(key), key)

    def nested(self, value: Json, key: str) -> Fields:
        """The reader of an object at hand."""
        where = ".".join(part for part in (self._where, key) if part)
        return Fields(value, self._malformed, where)

    def done(self) -> None:
        """Nothing may be left over: what we do not know we do not accept."""
        if self._rest:
            raise self.complaint(sorted(self._rest)[0], "is not a known field")
