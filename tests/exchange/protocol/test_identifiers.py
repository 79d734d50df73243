"""Ids, digests and instants, each in its one spelling."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.protocol.identifiers import (
    digest_of,
    format_time,
    is_digest,
    is_uuid7,
    parse_time,
    to_milliseconds,
    uuid7,
)
from tests.exchange.protocol.builders import SAME_EVERY_TIME

ANY_INSTANT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
OF_UNIX = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))


@given(ANY_INSTANT)
@SAME_EVERY_TIME
def test_instants_come_back_to_the_millisecond(at: datetime) -> None:
    text = format_time(at)
    assert len(text) == 24
    assert parse_time(text) == to_milliseconds(at)
    assert format_time(parse_time(text)) == text


@given(ANY_INSTANT, ANY_INSTANT)
@SAME_EVERY_TIME
def test_texts_sort_as_instants_do(one: datetime, other: datetime) -> None:
    assert (format_time(one) < format_time(other)) == (to_milliseconds(one) < to_milliseconds(other))


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    china = timezone(timedelta(hours=8))
    assert format_time(datetime(2026, 11, 22, 4, 0, 0, 123999, china)) == "2026-11-21T20:00:00.123Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21T20:00:00Z",
        "2026-11-21T20:00:00.123",
        "2026-11-21T20:00:00.123456Z",
        "2026-11-21 20:00:00.123Z",
        "2026-11-21t20:00:00.123z",
        "2026-11-21T20:00:00,123Z",
        "2026-11-21T20:00:00.123Z ",
        "2026-11-21T20:00:00.123Z\n",
        "2026-13-21T20:00:00.123Z",
        "2026-11-31T20:00:00.123Z",
        "2026-11-21T24:00:00.123Z",
        "2026-11-21T20:60:00.123Z",
        "2026-11-21T20:00:60.123Z",
        "0000-11-21T20:00:00.123Z",
        "２０２６-11-21T20:00:00.123Z",
        "2026-11-21T20:00:00.１２３Z",
        "2026-11-21T20:00:00.12٣Z",
        "2026-W47-6T20:00:00.123Z",
    ],
)
def test_other_spellings_of_instants(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


@given(OF_UNIX, st.binary(min_size=10, max_size=10))
@SAME_EVERY_TIME
def test_uuids_are_of_version_7_and_hold_their_millisecond(at: datetime, random: bytes) -> None:
    text = uuid7(at, random)
    assert is_uuid7(text)
    value = uuid.UUID(text)
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    milliseconds = (to_milliseconds(at) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert value.int >> 80 == milliseconds


@given(OF_UNIX, OF_UNIX, st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
@SAME_EVERY_TIME
def test_uuids_sort_as_their_milliseconds_do(one: datetime, other: datetime, a: bytes, b: bytes) -> None:
    if to_milliseconds(one) < to_milliseconds(other):
        assert uuid7(one, a) < uuid7(other, b)


def test_all_random_bits_but_six_are_used() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    base = int(uuid7(at, bytes(10)).replace("-", ""), 16)
    full = int(uuid7(at, b"\xff" * 10).replace("-", ""), 16)
    assert (base ^ full).bit_count() == 74


@pytest.mark.parametrize(
    "text",
    [
        "",
        "018F6C2E-3D50-7A11-9C7E-5B0C1D2E3F40",
        "018f6c2e3d507a119c7e5b0c1d2e3f40",
        "018f6c2e-3d50-4a11-9c7e-5b0c1d2e3f40",
        "018f6c2e-3d50-7a11-cc7e-5b0c1d2e3f40",
        "{018f6c2e-3d50-7a11-9c7e-5b0c1d2e3f40}",
        "018f6c2e-3d50-7a11-9c7e-5b0c1d2e3f40\n",
        "０18f6c2e-3d50-7a11-9c7e-5b0c1d2e3f40",
    ],
)
def test_other_spellings_of_uuids(text: str) -> None:
    assert not is_uuid7(text)


def test_digests_have_one_spelling() -> None:
    digest = digest_of(b"")
    assert is_digest(digest)
    for other in (
        digest.upper(),
        digest[7:],
        digest + "0",
        digest[:-1],
        digest + "\n",
        "sha512:" + digest[7:],
    ):
        assert not is_digest(other)
