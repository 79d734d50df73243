"""Proof files: strict, inverse, and true for one entry under one checkpoint only."""

from __future__ import annotations

from base64 import b64encode

import pytest

from exchange.ledger.errors import (
    LedgerError,
    NoteUnsigned,
    ProofInvalid,
    ProofMalformed,
    QuorumUnmet,
)
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.note import KeyId, Signature, add_signatures
from exchange.ledger.proof import MAX_EXTRA, TlogProof, check_proof, decode_proof, encode_proof
from exchange.ledger.tree import MemoryTree
from tests.exchange.ledger.builders import (
    VECTORS,
    a_checkpoint,
    a_note,
    a_policy,
    entries_of,
    one_byte_edits,
    surviving,
)

WORKED = (VECTORS / "worked-example" / "entry2.tlog-proof").read_bytes()
ENTRIES = entries_of(7)
TREE = MemoryTree()
TREE.extend(map(leaf_hash, ENTRIES))
NOTE = a_note(a_checkpoint(ENTRIES), witnesses=1)


def a_proof(index: int = 5, *, extra: bytes | None = None) -> TlogProof:
    return TlogProof(index, TREE.inclusion_proof(index), NOTE, extra)


def test_worked_example() -> None:
    proof = decode_proof(WORKED)
    assert proof.index == 2
    assert [item.hex() for item in proof.hashes] == [
        "983cb57c04cddd52634edab38a7bef85708a974f114bbd9aa9ec5d4ce6656b4b"
    ]
    assert proof.extra is None
    assert encode_proof(proof) == WORKED
    verified = check_proof(proof, entry=b"gamma", policy=a_policy(witnesses=1, needed=1))
    assert verified.checkpoint.size == 3
    verified.check_no_unknown_lines()


@pytest.mark.parametrize("extra", [None, b"x", bytes(range(256)), b"e" * MAX_EXTRA])
@pytest.mark.parametrize("index", range(7))
def test_proof_and_back(index: int, extra: bytes | None) -> None:
    proof = a_proof(index, extra=extra)
    data = encode_proof(proof)
    assert decode_proof(data) == proof
    assert max(map(len, data.split(b"\n"))) < 65_536
    check_proof(proof, entry=ENTRIES[index], policy=a_policy(witnesses=1, needed=1))


def test_proof_in_a_ledger_of_one_entry_has_no_hashes() -> None:
    note = a_note(a_checkpoint([b"alone"]))
    data = encode_proof(TlogProof(0, (), note))
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\nhub.example/audit\n1\n")
    check_proof(decode_proof(data), entry=b"alone", policy=a_policy())


def test_entry_or_index_of_another_is_refused() -> None:
    policy = a_policy(witnesses=1)
    for index in range(7):
        for entry in [*ENTRIES[:index], *ENTRIES[index + 1 :], ENTRIES[index] + b"\0"]:
            if entry != ENTRIES[index]:
                with pytest.raises(ProofInvalid):
                    check_proof(a_proof(index), entry=entry, policy=policy)
        moved = TlogProof((index + 1) % 7, a_proof(index).hashes, NOTE)
        with pytest.raises(ProofInvalid):
            check_proof(moved, entry=ENTRIES[index], policy=policy)


def test_policy_is_asked_before_the_hashes() -> None:
    with pytest.raises(QuorumUnmet):
        check_proof(a_proof(), entry=b"wrong", policy=a_policy(witnesses=2, needed=2))
    with pytest.raises(NoteUnsigned):
        check_proof(
            TlogProof(0, (), a_note(a_checkpoint([b"x"], "other.example"))), entry=b"x", policy=a_policy()
        )


def test_lines_of_unknown_keys_are_left_to_the_caller() -> None:
    grease = Signature(KeyId("grease.example", b"abcd"), b"whatever")
    proof = TlogProof(5, a_proof().hashes, add_signatures(NOTE, [grease]))
    assert check_proof(proof, entry=ENTRIES[5], policy=a_policy(witnesses=1)).unknown_lines == (grease,)


@pytest.mark.parametrize("extra", [None, b"salt"], ids=["without extra", "with extra"])
def test_every_edit_of_a_proof_is_refused(extra: bytes | None) -> None:
    """Except in the extra bytes, which nothing authenticates: there another value is read."""
    policy = a_policy(witnesses=1, needed=1)

    def read(edited: bytes) -> bool:
        try:
            proof = decode_proof(edited)
            check_proof(proof, entry=ENTRIES[5], policy=policy).check_no_unknown_lines()
        except LedgerError:
            return False
        return proof.extra == extra

    assert surviving(encode_proof(a_proof(extra=extra)), read) == []


def test_what_is_decoded_is_encoded_to_the_same_bytes() -> None:
    for data in (WORKED, encode_proof(a_proof(extra=b"salt"))):
        for _, edited in one_byte_edits(data):
            try:
                proof = decode_proof(edited)
            except ProofMalformed:
                continue
            assert encode_proof(proof) == edited


HEAD = b"c2sp.org/tlog-proof@v1\n"
HASH = b64encode(bytes(32)) + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"index 0\n",
        HEAD + b"index 0\n\n",
        HEAD + b"\n" + NOTE,
        HEAD + b"index 0\n" + NOTE,
        HEAD + HASH + b"\n" + NOTE,
        b"c2sp.org/tlog-proof@v2\nindex 0\n\n" + NOTE,
        HEAD + b"extra eA==\n\n" + NOTE,
        HEAD + b"extra \nindex 0\n\n" + NOTE,
        HEAD + b"extra eA\nindex 0\n\n" + NOTE,
        HEAD + b"extra eB==\nindex 0\n\n" + NOTE,
        HEAD + b"extra eA==\nextra eA==\nindex 0\n\n" + NOTE,
        HEAD + b"index 0\nextra eA==\n\n" + NOTE,
        HEAD + b"index 00\n\n" + NOTE,
        HEAD + b"index -1\n\n" + NOTE,
        HEAD + b"index 9223372036854775807\n\n" + NOTE,
        HEAD + b"index 0\nAAAA\n\n" + NOTE,
        HEAD + b"index 0\n" + HASH * 64 + b"\n" + NOTE,
        HEAD + b"index 0\r\n\n" + NOTE,
        HEAD + "index ٣\n\n".encode() + NOTE,
        HEAD + b"index 0\n\nhub.example/audit\n",
        HEAD + b"extra " + b64encode(bytes(MAX_EXTRA + 1)) + b"\nindex 0\n\n" + NOTE,
        HEAD + b"index 0\n\n" + b"a" * 2_000_000,
    ],
)
def test_malformed_proof_is_refused(data: bytes) -> None:
    with pytest.raises(ProofMalformed):
        decode_proof(data)


def test_longest_proof_is_read() -> None:
    data = HEAD + b"index 9223372036854775806\n" + HASH * 63 + b"\n" + NOTE
    assert encode_proof(decode_proof(data)) == data


@pytest.mark.parametrize(
    ("index", "hashes", "extra"),
    [(-1, (), None), (2**63 - 1, (), None), (0, (b"",), None), (0, (), b""), (0, (), bytes(MAX_EXTRA + 1))],
)
def test_proof_that_cannot_be_is_refused(index: int, hashes: tuple[bytes, ...], extra: bytes | None) -> None:
    with pytest.raises(ProofMalformed):
        TlogProof(index, hashes, NOTE, extra)
