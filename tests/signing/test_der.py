"""Strict DER: what is read has one encoding, and only that one."""

from __future__ import annotations

import pytest

from signing import der
from signing.der import INTEGER, OCTET_STRING, SEQUENCE, SET, Reader
from signing.errors import DerMalformed


def test_elements_come_back_as_they_were_written() -> None:
    written = der.sequence(der.integer(5), der.octet_string(b"x" * 300))
    fields = Reader(written).enter(SEQUENCE)
    assert fields.read(INTEGER) == b"\x05"
    assert fields.element(OCTET_STRING) == b"\x04\x82\x01\x2c" + b"x" * 300
    fields.finish()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_every_length_is_written_in_its_shortest_form_and_read_back(size: int) -> None:
    written = der.octet_string(b"a" * size)
    reader = Reader(written)
    assert reader.read(OCTET_STRING) == b"a" * size
    reader.finish()


@pytest.mark.parametrize(
    "defect",
    [
        pytest.param("", id="nothing"),
        pytest.param("04", id="tag-alone"),
        pytest.param("0402ff", id="longer-than-the-data"),
        pytest.param("0480ff0000", id="indefinite-length"),
        pytest.param("048101ff", id="long-form-below-128"),
        pytest.param("04820001ff", id="leading-zero-in-length"),
        pytest.param("0485000000000100", id="absurd-length-of-length"),
        pytest.param("04ff", id="reserved-length"),
        pytest.param("0302ff00", id="another-tag"),
        pytest.param("1f0401ff", id="high-tag-number"),
    ],
)
def test_what_is_not_strict_der_is_refused(defect: str) -> None:
    with pytest.raises(DerMalformed):
        Reader(bytes.fromhex(defect)).read(OCTET_STRING)


def test_an_element_may_not_reach_beyond_what_holds_it() -> None:
    inner = Reader(bytes.fromhex("3003040261") + b"bc").enter(SEQUENCE)
    with pytest.raises(DerMalformed):
        inner.read(OCTET_STRING)


def test_leftover_bytes_are_refused() -> None:
    reader = Reader(der.integer(1) + b"\x00")
    reader.read(INTEGER)
    with pytest.raises(DerMalformed):
        reader.finish()


def test_more_elements_than_allowed_are_refused() -> None:
    three = der.integer(1) * 3
    assert len(list(Reader(three).elements(INTEGER, most=3))) == 3
    with pytest.raises(DerMalformed):
        list(Reader(three).elements(INTEGER, most=2))


def test_set_of_is_sorted_by_encoding() -> None:
    long, short, high = der.octet_string(b"aa"), der.octet_string(b"z"), der.integer(9)
    assert der.set_of([long, short, high]) == der.encode(SET, high + short + long)


@pytest.mark.parametrize(
    ("dotted", "encoded"),
    [
        ("1.2.840.113549.1.7.2", "06092a864886f70d010702"),
        ("2.16.840.1.101.3.4.2.1", "0609608648016503040201"),
        ("2.5.4.97", "0603550461"),
    ],
)
def test_object_identifiers_are_written_as_in_the_standards(dotted: str, encoded: str) -> None:
    assert der.oid(dotted).hex() == encoded


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "020100"), (127, "02017f"), (128, "02020080"), (256, "02020100")]
)
def test_integers_are_never_negative(value: int, encoded: str) -> None:
    assert der.integer(value).hex() == encoded
