"""Canonical JSON: what ``rfc8785`` writes, and nothing else is read."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from exchange.protocol import canonical
from exchange.protocol.canonical import MAX_BYTES, MAX_DEPTH, Json
from exchange.protocol.errors import JsonMalformed
from tests.exchange.protocol.builders import SAME_EVERY_TIME, edits

KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
LEAVES = (
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
EXAMPLE: dict[str, Json] = {
    "b": [1, -2, True, False, [], {}],
    "a": '关于"通知"\\/\n\t\b\f\r\u0001\u007f\u2028€😀',
    "a_1": {"z": 9007199254740991, "y": -9007199254740991},
}


@given(VALUES)
@SAME_EVERY_TIME
def test_it_writes_what_rfc8785_writes(value: Json) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(VALUES)
@SAME_EVERY_TIME
def test_decoding_and_encoding_are_inverse(value: Json) -> None:
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    assert canonical.encode(canonical.decode(data)) == data


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@SAME_EVERY_TIME
def test_any_bytes_are_refused_or_given_back(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except JsonMalformed:
        return
    assert canonical.encode(value) == data


def test_every_single_byte_edit_is_refused_or_given_back() -> None:
    for edited in edits(canonical.encode(EXAMPLE), *(1 << bit for bit in range(8))):
        try:
            value = canonical.decode(edited)
        except JsonMalformed:
            continue
        assert canonical.encode(value) == edited


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "nothing-but-space": b" ",
    "space-before": b" {}",
    "space-behind": b"{} ",
    "line-behind": b"{}\n",
    "space-inside": b'{"a": 1}',
    "byte-order-mark": b"\xef\xbb\xbf{}",
    "two-values": b"{}{}",
    "null": b"null",
    "null-inside": b'{"a":null}',
    "duplicate-key": b'{"a":1,"a":1}',
    "duplicate-key-inside": b'{"a":{"b":1,"b":2}}',
    "duplicate-key-by-escape": b'{"a":1,"\\u0061":1}',
    "keys-not-sorted": b'{"b":1,"a":1}',
    "key-upper-case": b'{"A":1}',
    "key-empty": b'{"":1}',
    "key-beginning-with-a-digit": b'{"1a":1}',
    "key-with-a-hyphen": b'{"a-b":1}',
    "key-not-ascii": '{"键":1}'.encode(),
    "key-escaped": b'{"\\u0061":1}',
    "float": b"1.5",
    "float-that-is-whole": b"1.0",
    "exponent": b"1e2",
    "negative-zero": b"-0",
    "leading-zero": b"01",
    "plus": b"+1",
    "too-large": b"9007199254740992",
    "too-small": b"-9007199254740992",
    "far-too-large": b"9" * 5000,
    "nan": b"NaN",
    "infinity": b"Infinity",
    "escape-not-needed": b'"\\u0061"',
    "solidus-escaped": b'"\\/"',
    "tab-as-u-escape": b'"\\u0009"',
    "hex-in-upper-case": b'"\\u001F"',
    "chinese-escaped": b'"\\u516c"',
    "control-character": b'"\x01"',
    "lone-high-surrogate": b'"\\ud800"',
    "lone-low-surrogate": b'"\\udc00"',
    "surrogate-pair-escaped": b'"\\ud83d\\ude00"',
    "surrogate-in-utf-8": b'"\xed\xa0\x80"',
    "not-utf-8": b'"\xff"',
    "overlong-utf-8": b'"\xc0\x80"',
    "cut-off": b'{"a":1',
    "comma-behind": b"[1,]",
    "single-quotes": b"{'a':1}",
    "comment": b"{}//",
    "utf-16": '{"a":1}'.encode("utf-16"),
    "nested-too-deeply": b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
    "nested-far-too-deeply": b"[" * 200_000 + b"]" * 200_000,
    "objects-nested-far-too-deeply": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "too-long": b'"' + b"x" * MAX_BYTES + b'"',
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(JsonMalformed):
        canonical.decode(REFUSED[name])


def test_as_deep_as_allowed_is_taken() -> None:
    data = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert canonical.encode(canonical.decode(data)) == data


UNFIT = [
    None,
    1.0,
    float("nan"),
    2**53,
    -(2**53),
    b"x",
    {"A": 1},
    {1: 1},
    {"a": None},
    [[None]],
    "\ud800",
    {"a": {1}},
]


@pytest.mark.parametrize("value", UNFIT, ids=repr)
def test_what_is_outside_is_not_written(value: Json) -> None:
    with pytest.raises(JsonMalformed):
        canonical.encode(value)


def test_the_limit_of_length_is_the_callers() -> None:
    assert canonical.decode(b'"abc"', max_bytes=5) == "abc"
    with pytest.raises(JsonMalformed):
        canonical.decode(b'"abcd"', max_bytes=5)


def test_what_it_says_quotes_nothing_of_the_content() -> None:
    secret = "机密内容"
    for data in (f'{{"a":"{secret}",}}', f'{{"{secret}":1}}', f'["{secret}", 1]', f'{{"a":{secret}}}'):
        with pytest.raises(JsonMalformed) as error:
            canonical.decode(data.encode())
        assert secret not in str(error.value)


def test_json_agrees_on_what_it_means() -> None:
    assert json.loads(canonical.encode(EXAMPLE)) == EXAMPLE
