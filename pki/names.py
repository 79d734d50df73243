"""What a unit is called: its code, its distinguished name, and the way back.

A unit is named by its 统一社会信用代码 (GB 32100-2015), a sub-unit by that code,
a slash and a name: ``11310000000000000X`` or ``11310000000000000X/办公厅``.
In a certificate the code stands in organizationIdentifier (2.5.4.97), the
sub-unit in OU, the name for people in O, and name and role in CN.

Whether a unit exists is not asked here: the authority's register knows.
"""

from __future__ import annotations

import unicodedata
from typing import NewType

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.errors import NameMalformed

UnitId = NewType("UnitId", str)
"""A unit's code, with ``/`` and a name for a sub-unit; :func:`parse_unit_id` makes it of foreign text."""

CODE_LENGTH = 18
SUB_UNIT_LENGTH = 64
NAME_LENGTH = 64
"""Upper bound of X.520 for O, OU and CN."""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100-2015: digits and capitals without I, O, S, V, Z."""
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_WEIGHTS = tuple(pow(3, position, 31) for position in range(CODE_LENGTH - 1))


def check_character(first: str) -> str:
    """The 18th character of a code, from the first 17 (ISO 7064 MOD 31-3).

    Raises:
        NameMalformed: not 17 characters of the code's alphabet.
    """
    if len(first) != CODE_LENGTH - 1 or any(character not in _VALUES for character in first):
        raise NameMalformed(
            detail="a unit code has 17 digits or capitals (no I, O, S, V, Z) and a check character"
        )
    total = sum(_VALUES[character] * weight for character, weight in zip(first, _WEIGHTS, strict=True))
    return _ALPHABET[-total % 31]


def parse_unit_id(text: str) -> UnitId:
    """The unit that the text names, spelt exactly as it must be.

    One spelling per unit: capitals only, no surrounding space, the sub-unit's
    name in Unicode NFC without control, private or unassigned characters and
    without a further slash.

    Raises:
        NameMalformed: not a code, wrong check character, or a sub-unit name that is refused.
    """
    code, slash, sub_unit = text.partition("/")
    if len(code) != CODE_LENGTH:
        raise NameMalformed(detail=f"a unit code has {CODE_LENGTH} characters")
    if check_character(code[:-1]) != code[-1]:
        raise NameMalformed(detail=f"the check character of {code} is wrong")
    if not code[2:8].isdigit():
        raise NameMalformed(
            detail="characters 3 to 8 of a unit code are the digits of its administrative division"
        )
    if slash:
        _check_plain(sub_unit, "the sub-unit's name", SUB_UNIT_LENGTH)
        if "/" in sub_unit:
            raise NameMalformed(detail="the sub-unit's name holds a slash")
    return UnitId(text)


def unit_code(unit: UnitId) -> str:
    """The 18 characters, without the sub-unit."""
    return unit[:CODE_LENGTH]


def sub_unit_name(unit: UnitId) -> str | None:
    """The sub-unit's name, if it is one."""
    return unit[CODE_LENGTH + 1 :] or None


def unit_subject(unit: UnitId, name: str, role: str) -> x509.Name:
    """The distinguished name of a unit's certificate.

    ``C=CN, O=name, organizationIdentifier=code, OU=sub-unit if any, CN=name role``.

    Many libraries take the 64 of CN for bytes, so a name of more than some twenty Chinese
    characters stands whole in O alone, and CN begins with the code instead.

    Raises:
        NameMalformed: the name is empty, odd, or longer than 64 characters.
    """
    _check_plain(name, "the unit's name", NAME_LENGTH)
    common_name = f"{name} {role}"
    if len(common_name.encode()) > NAME_LENGTH:
        common_name = f"{unit_code(unit)} {role}"
    _check_plain(common_name, "the role", NAME_LENGTH)
    attributes = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
        x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, unit_code(unit)),
    ]
    sub_unit = sub_unit_name(unit)
    if sub_unit is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, sub_unit))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def unit_of(certificate: x509.Certificate) -> UnitId:
    """The unit that the certificate's subject names.

    Says nothing about who issued it: ask for a path first.

    Raises:
        NameMalformed: no organizationIdentifier, several, several OU, or not a unit code.
    """
    codes = _values(certificate.subject, NameOID.ORGANIZATION_IDENTIFIER)
    sub_units = _values(certificate.subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
    # Several values would let two readers see two different units in one certificate.
    if len(codes) != 1 or len(sub_units) > 1:
        raise NameMalformed(detail="the certificate's subject does not name exactly one unit")
    return parse_unit_id("/".join((*codes, *sub_units)))


def display_name(certificate: x509.Certificate) -> str:
    """What to call the certificate's holder before people: O with OU, else CN, else the whole name.

    Never raises on a loaded certificate; control characters are left out.
    """
    subject = certificate.subject
    parts = (
        _values(subject, NameOID.ORGANIZATION_NAME)[:1]
        + _values(subject, NameOID.ORGANIZATIONAL_UNIT_NAME)[:1]
    )
    if not parts:
        parts = _values(subject, NameOID.COMMON_NAME)[:1]
    shown = " ".join(parts) or subject.rfc4514_string()
    return "".join(character for character in shown if character.isprintable())[:200] or "?"


def _values(name: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]


def _check_plain(value: str, what: str, limit: int) -> None:
    if not 1 <= len(value) <= limit:
        raise NameMalformed(detail=f"{what} has 1 to {limit} characters")
    if value != value.strip() or not value.isprintable():
        raise NameMalformed(detail=f"{what} holds control characters or begins or ends with a space")
    # Two spellings of one name would be two units to a computer and one to a reader.
    if not unicodedata.is_normalized("NFC", value):
        raise NameMalformed(detail=f"{what} is not in Unicode NFC")
