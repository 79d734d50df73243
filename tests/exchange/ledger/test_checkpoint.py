"""Checkpoint bodies: strict, inverse, signed by the key of their origin."""

from __future__ import annotations

import pytest

from exchange.ledger.checkpoint import (
    Checkpoint,
    decode_checkpoint,
    decode_decimal,
    encode_checkpoint,
    sign_checkpoint,
)
from exchange.ledger.errors import CheckpointMalformed, NoteMalformed
from exchange.ledger.merkle import EMPTY_ROOT, MAX_SIZE
from exchange.ledger.note import decode_note, known_keys, open_note
from tests.exchange.ledger.builders import ORIGIN, VECTORS, a_log, one_byte_edits

EXAMPLE = b"hub.example/audit\n3\nOF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=\n"


def test_worked_example() -> None:
    checkpoint = decode_checkpoint(EXAMPLE)
    assert (checkpoint.origin, checkpoint.size) == ("hub.example/audit", 3)
    assert checkpoint.root.hex() == "385da30f3917282c8939dff851957e519ab1846b1351a14c0adb3b11632742aa"
    assert encode_checkpoint(checkpoint) == EXAMPLE


def test_signed_as_in_the_worked_example() -> None:
    text, lines = decode_note((VECTORS / "worked-example" / "log" / "checkpoint").read_bytes())
    note = sign_checkpoint(decode_checkpoint(EXAMPLE), [a_log()])
    assert decode_note(note) == (text, lines[:1])
    assert open_note(note, known_keys([a_log().verifier])).text == EXAMPLE


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("a", 0, EMPTY_ROOT),
        Checkpoint("a b+c", MAX_SIZE, bytes(32)),
        Checkpoint("公文/账本", 1, bytes(range(32))),
        Checkpoint("a", 1, bytes(32), ("extension 1", "— x")),
    ],
)
def test_encode_and_decode_are_inverse(checkpoint: Checkpoint) -> None:
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


def test_every_edit_is_refused_or_another_checkpoint() -> None:
    for _, edited in one_byte_edits(EXAMPLE):
        try:
            found = decode_checkpoint(edited)
        except CheckpointMalformed:
            continue
        assert encode_checkpoint(found) == edited
        assert edited == EXAMPLE or found != decode_checkpoint(EXAMPLE)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"a\n1\n",
        EXAMPLE[:-1],
        EXAMPLE + b"\n",
        EXAMPLE + b"extension",
        EXAMPLE + b"\nx\n",
        EXAMPLE.replace(b"3\n", b"03\n"),
        EXAMPLE.replace(b"3\n", b"-3\n"),
        EXAMPLE.replace(b"3\n", b"+3\n"),
        EXAMPLE.replace(b"\n3\n", b"\n\xd9\xa3\n"),
        EXAMPLE.replace(b"3\n", b"9223372036854775808\n"),
        EXAMPLE.replace(b"3\n", b"9" * 5000 + b"\n"),
        EXAMPLE.replace(b"Qqo=", b"Qqp="),
        EXAMPLE.replace(b"OF2jD", b"OF2j"),
        EXAMPLE.replace(b"hub", b"\xff"),
        EXAMPLE.replace(b"hub", b"\r"),
        b"\n3\nOF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=\n",
        b"a\n3\n\n",
        b"a\n3\nAAAA\n",
        b"a" * 1_000_001,
    ],
)
def test_malformed_checkpoint_is_refused(text: bytes) -> None:
    with pytest.raises(CheckpointMalformed):
        decode_checkpoint(text)


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 1, bytes(32), ()),
        ("a\nb", 1, bytes(32), ()),
        ("a", -1, bytes(32), ()),
        ("a", MAX_SIZE + 1, bytes(32), ()),
        ("a", 1, bytes(31), ()),
        ("a", 1, bytes(32), ("",)),
        ("a", 1, bytes(32), ("x\n",)),
    ],
)
def test_checkpoint_that_cannot_be_is_refused(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(CheckpointMalformed):
        Checkpoint(origin, size, root, extensions)


def test_origin_that_is_no_text_is_refused() -> None:
    with pytest.raises(CheckpointMalformed):
        encode_checkpoint(Checkpoint("\ud800", 1, bytes(32)))


def test_key_of_another_name_does_not_sign() -> None:
    checkpoint = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    with pytest.raises(CheckpointMalformed):
        sign_checkpoint(checkpoint, [a_log("other.example", "x")])
    with pytest.raises(NoteMalformed):
        sign_checkpoint(checkpoint, [])


def test_two_keys_sign_while_one_follows_the_other() -> None:
    keys = [a_log(), a_log(words="the next key")]
    note = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), keys)
    assert len(open_note(note, known_keys(key.verifier for key in keys)).verified) == 2


@pytest.mark.parametrize("text", ["", "00", "01", "-1", "+1", " 1", "1\n", "1_0", "٣", "9223372036854775808"])
def test_decimal_with_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        decode_decimal(text)
    assert decode_decimal("9223372036854775807") == MAX_SIZE
