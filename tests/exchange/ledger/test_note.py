"""Signed notes: other people's, ours, and every edit of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.ledger.errors import KeyMalformed, LedgerError, NoteMalformed, NoteUnsigned, SignatureInvalid
from exchange.ledger.keys import parse_vkey
from exchange.ledger.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    KeyId,
    NoteSigner,
    NoteVerifier,
    Signature,
    add_signatures,
    check_key_name,
    decode_base64,
    decode_note,
    decode_private_key,
    decode_vkey,
    encode_note,
    encode_private_key,
    encode_vkey,
    known_keys,
    open_note,
    sign_note,
)
from tests.exchange.ledger.builders import VECTORS, a_log, one_byte_edits, private_key, surviving

VECTOR = json.loads((VECTORS / "notes.json").read_text())
TEXT = b"hub.example/audit\n3\nOF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=\n"
ALICE, BOB = a_log("alice.example", "alice"), a_log("bob.example", "bob")
NOTE = sign_note(TEXT, [ALICE, BOB])
BOTH = known_keys([ALICE.verifier, BOB.verifier])


def replaced(signature: Signature, *, value: bytes) -> Signature:
    return Signature(signature.key, value)


@pytest.mark.parametrize("case", VECTOR["notes"], ids=lambda case: case["src"])
def test_notes_of_other_implementations_verify(case: dict[str, Any]) -> None:
    note = case["note"].encode()
    verifier = parse_vkey(case["vkey"])
    assert verifier.vkey == case["vkey"]
    opened = open_note(note, known_keys([verifier]))
    assert opened.text + b"\n" + opened.signatures[0].line == note
    assert [item.key for item in opened.verified] == [verifier.key_id]


def test_private_key_of_go_gives_the_note_of_go() -> None:
    case = next(case for case in VECTOR["notes"] if "skey" in case)
    name, key = decode_private_key(case["skey"])
    assert encode_private_key(name, key) == case["skey"]
    signer = NoteSigner.from_key(name, key)
    assert signer.vkey == case["vkey"]
    text, _ = decode_note(case["note"].encode())
    assert sign_note(text, [signer]) == case["note"].encode()


def test_known_and_unknown_signatures_are_held_apart() -> None:
    opened = open_note(NOTE, known_keys([BOB.verifier]))
    assert opened.text == TEXT
    assert [item.key.name for item in opened.signatures] == ["alice.example", "bob.example"]
    assert [item.key.name for item in opened.verified] == ["bob.example"]
    assert [item.key.name for item in opened.unverified] == ["alice.example"]
    assert open_note(NOTE, BOTH).unverified == ()


def test_note_that_nobody_known_signed_gives_nothing() -> None:
    with pytest.raises(NoteUnsigned):
        open_note(NOTE, known_keys([a_log().verifier]))
    with pytest.raises(NoteUnsigned):
        open_note(NOTE, {})


def test_one_wrong_signature_of_a_known_key_refuses_the_whole_note() -> None:
    text, (alice, bob) = decode_note(NOTE)
    for wrong in (bob.value[:-1] + bytes([bob.value[-1] ^ 1]), b"x", bob.value + b"\0", alice.value):
        note = encode_note(text, [alice, replaced(bob, value=wrong)])
        with pytest.raises(SignatureInvalid) as caught:
            open_note(note, BOTH)
        assert caught.value.key == "bob.example"
        assert open_note(note, known_keys([ALICE.verifier])).verified == (alice,)


def test_line_that_shares_name_or_id_with_a_known_key_but_not_both_is_unknown() -> None:
    text, (alice, bob) = decode_note(NOTE)
    other_name = Signature(KeyId("carol.example", bob.key.digest), bob.value)
    other_id = Signature(KeyId("bob.example", b"\0\0\0\0"), bob.value)
    opened = open_note(encode_note(text, [alice, other_name, other_id]), BOTH)
    assert opened.verified == (alice,)
    assert opened.unverified == (other_name, other_id)


def test_repeated_line_of_a_known_key_must_hold_too() -> None:
    text, (alice, _) = decode_note(NOTE)
    assert open_note(encode_note(text, [alice, alice]), BOTH).verified == (alice, alice)
    with pytest.raises(SignatureInvalid):
        open_note(encode_note(text, [alice, replaced(alice, value=bytes(64))]), BOTH)


def test_every_edit_of_a_note_is_refused() -> None:
    note = sign_note(TEXT, [ALICE])

    def read(edited: bytes) -> bool:
        try:
            open_note(edited, BOTH)
        except LedgerError:
            return False
        return True

    assert surviving(note, read) == []


def test_every_edit_of_a_note_with_two_signatures_loses_one_of_them() -> None:
    def read(edited: bytes) -> bool:
        try:
            return not open_note(edited, BOTH).unverified
        except LedgerError:
            return False

    assert surviving(NOTE, read) == []


def test_what_is_decoded_is_encoded_to_the_same_bytes() -> None:
    accepted = 0
    for _, edited in one_byte_edits(NOTE):
        try:
            text, signatures = decode_note(edited)
        except NoteMalformed:
            continue
        accepted += 1
        assert encode_note(text, signatures) == edited
    assert accepted > 100


@pytest.mark.parametrize(
    "text", [b"\n", b"a\n\n", b"a\n\nb\n", b"\n\n\n", "公文\n".encode(), b"\xe2\x80\x94 x YWJjZGU=\n"]
)
def test_text_may_hold_empty_lines_and_lines_like_signatures(text: bytes) -> None:
    assert open_note(sign_note(text, [ALICE]), BOTH).text == text


@pytest.mark.parametrize("text", [b"", b"a", b"a\r\n", b"a\tb\n", b"\0\n", b"\xff\n", b"\xed\xa0\x80\n"])
def test_text_that_cannot_be_signed_is_refused(text: bytes) -> None:
    with pytest.raises(NoteMalformed):
        sign_note(text, [ALICE])


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n\n",
        b"text\n\n",
        b"text\n\n\n",
        b"text\n",
        b"text\n\n\xe2\x80\x94 name YWJjZGU=",
        b"text\n\n\xe2\x80\x94 name YWJjZA==\n",
        b"text\n\n\xe2\x80\x94 name YWJjZGV=\n",
        b"text\n\n\xe2\x80\x94 name YWJjZGU\n",
        b"text\n\n\xe2\x80\x94  YWJjZGU=\n",
        b"text\n\n\xe2\x80\x94 a+b YWJjZGU=\n",
        b"text\n\n\xe2\x80\x94 a\xc2\xa0b YWJjZGU=\n",
        b"text\n\n\xe2\x80\x94 a YWJjZGU= \n",
        b"text\n\n\xe2\x80\x94 a YWJj ZGU=\n",
        b"text\n\n- name YWJjZGU=\n",
        b"text\n\n\xe2\x80\x94name YWJjZGU=\n",
    ],
)
def test_malformed_note_is_refused(note: bytes) -> None:
    with pytest.raises(NoteMalformed):
        decode_note(note)


def test_long_notes_and_long_lists_are_refused() -> None:
    line = Signature(KeyId("x", bytes(4)), b"1")
    assert len(decode_note(TEXT + b"\n" + line.line * MAX_SIGNATURES)[1]) == MAX_SIGNATURES
    for note in (TEXT + b"\n" + line.line * (MAX_SIGNATURES + 1), b"a" * MAX_NOTE + b"\n\n" + line.line):
        with pytest.raises(NoteMalformed):
            decode_note(note)


def test_adding_a_signature_twice_adds_it_once() -> None:
    text, (alice, bob) = decode_note(NOTE)
    note = encode_note(text, [alice])
    once = add_signatures(note, [bob])
    assert once == NOTE
    assert add_signatures(once, [bob, alice]) == NOTE


def test_note_needs_a_signer() -> None:
    with pytest.raises(NoteMalformed):
        sign_note(TEXT, [])


def test_signature_that_is_not_ours_never_leaves() -> None:
    wrong = NoteSigner("alice.example", ALICE.public_key, private_key("mallory").sign)
    with pytest.raises(SignatureInvalid):
        sign_note(TEXT, [wrong])


def test_signer_may_be_a_function_elsewhere() -> None:
    asked: list[bytes] = []

    def service(message: bytes) -> bytes:
        asked.append(message)
        return private_key("alice").sign(message)

    remote = NoteSigner("alice.example", ALICE.public_key, service)
    assert sign_note(TEXT, [remote, BOB]) == NOTE
    assert asked == [TEXT]


def test_secrets_are_not_in_the_representation() -> None:
    assert "sign" not in repr(ALICE)


def test_vkeys_are_read_strictly() -> None:
    vkey = ALICE.vkey
    assert parse_vkey(vkey) == ALICE.verifier
    for _, edited in one_byte_edits(vkey.encode()):
        try:
            text = edited.decode()
            found = parse_vkey(text)
        except (UnicodeDecodeError, LedgerError):
            continue
        assert found.vkey == text == vkey


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        "name+00000000+AQ==",
        "+00000000+AQID",
        "n" * 5000 + "+00000000+AQID",
    ],
)
def test_malformed_vkey_is_refused(text: str) -> None:
    with pytest.raises(KeyMalformed):
        decode_vkey(text)


def test_vkey_with_the_id_in_capitals_is_refused() -> None:
    name, digest, key = ALICE.vkey.split("+", 2)
    with pytest.raises(KeyMalformed):
        decode_vkey(f"{name}+{digest.upper()}+{key}")


@pytest.mark.parametrize("case", VECTOR["vkeys"], ids=lambda case: f"{case['src']}-{case['type']}")
def test_vkeys_of_other_implementations(case: dict[str, Any]) -> None:
    if case["id_matches"]:
        key, kind, public_key = decode_vkey(case["vkey"])
        assert kind == case["type"]
        assert encode_vkey(key, kind, public_key) == case["vkey"]
        assert parse_vkey(case["vkey"]).vkey == case["vkey"]
    else:
        with pytest.raises(KeyMalformed):
            parse_vkey(case["vkey"])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\u0085", "a\nb", "a\x00b", "\ud800"])
def test_name_that_cannot_stand_in_a_line_is_refused(name: str) -> None:
    with pytest.raises(KeyMalformed):
        check_key_name(name)
    with pytest.raises(KeyMalformed):
        NoteVerifier(name, bytes(32))


def test_names_in_any_script_are_allowed() -> None:
    signer = a_log("账本.example/审计", "chinese")
    assert open_note(sign_note(TEXT, [signer]), known_keys([parse_vkey(signer.vkey)])).text == TEXT


def test_key_of_another_length_is_refused() -> None:
    with pytest.raises(KeyMalformed):
        NoteVerifier("a", bytes(31))


def test_private_key_texts_are_read_strictly() -> None:
    text = encode_private_key("alice.example", private_key("alice"))
    name, key = decode_private_key(text)
    assert (name, key.private_bytes_raw()) == ("alice.example", private_key("alice").private_bytes_raw())
    for _, edited in one_byte_edits(text.encode()):
        try:
            found = decode_private_key(edited.decode())
        except (UnicodeDecodeError, KeyMalformed):
            continue
        assert encode_private_key(*found) == edited.decode()
    for wrong in (
        "",
        text.removeprefix("PRIVATE+KEY+"),
        ALICE.vkey,
        text + "\n",
        "PRIVATE+KEY+" + ALICE.vkey,
    ):
        with pytest.raises(KeyMalformed):
            decode_private_key(wrong)


def test_message_about_a_private_key_does_not_repeat_it() -> None:
    text = encode_private_key("alice.example", private_key("alice"))
    with pytest.raises(KeyMalformed) as caught:
        decode_private_key(text[:-1])
    assert text[-20:-1] not in str(caught.value)


def test_two_keys_with_one_id_cannot_both_be_known() -> None:
    class Twin:
        name = ALICE.name
        key_id = ALICE.verifier.key_id
        public_key = bytes(32)
        vkey = "another key, the same four bytes"

        def check(self, text: bytes, signature: bytes) -> None:
            raise AssertionError

    with pytest.raises(KeyMalformed):
        known_keys([ALICE.verifier, Twin()])
    assert len(known_keys([ALICE.verifier, ALICE.verifier])) == 1


@pytest.mark.parametrize("text", ["YQ", "YQ=", "YR==", "YQ== ", "YQ==\n", "Y Q==", "YQ==YQ==", "_w==", "公"])
def test_base64_with_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)


def test_generated_key_signs() -> None:
    signer = NoteSigner.from_key("fresh.example", Ed25519PrivateKey.generate())
    assert open_note(sign_note(TEXT, [signer]), known_keys([signer.verifier])).text == TEXT
