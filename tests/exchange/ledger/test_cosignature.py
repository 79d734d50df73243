"""Cosignatures of both types: those of another implementation, ours, and wrong ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mldsa

from exchange.ledger import cosignature
from exchange.ledger.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from exchange.ledger.cosignature import (
    CosignatureSigner,
    CosignatureVerifier,
    MlDsaVerifier,
    cosign,
    cosigned_at,
    message_mldsa,
    message_v1,
)
from exchange.ledger.errors import (
    CheckpointMalformed,
    KeyMalformed,
    KeyUnsupported,
    LedgerError,
    SignatureInvalid,
)
from exchange.ledger.keys import parse_vkey
from exchange.ledger.note import (
    Signature,
    add_signatures,
    decode_note,
    encode_vkey,
    key_id,
    known_keys,
    open_note,
)
from tests.exchange.ledger.builders import NOON, VECTORS, a_log, a_witness, private_key, surviving

CASES = json.loads((VECTORS / "notes.json").read_text())["cosignatures_v1"]
WORKED = (VECTORS / "worked-example" / "log" / "checkpoint").read_bytes()
TEXT, (LOG_LINE, WITNESS_LINE) = decode_note(WORKED)


@pytest.fixture(scope="module")
def mldsa_key() -> mldsa.MLDSA44PrivateKey:
    return mldsa.MLDSA44PrivateKey.from_seed_bytes(sha256(b"demo ML-DSA key").digest())


def mldsa_signature(key: mldsa.MLDSA44PrivateKey, name: str, text: bytes, seconds: int) -> Signature:
    message = message_mldsa(name, decode_checkpoint(text), seconds)
    verifier = MlDsaVerifier(name, key.public_key().public_bytes_raw())
    return Signature(verifier.key_id, seconds.to_bytes(8, "big") + key.sign(message))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["vkey"].split("+")[0])
def test_cosignature_of_another_implementation_verifies(case: dict[str, Any]) -> None:
    verifier = parse_vkey(case["vkey"])
    assert isinstance(verifier, CosignatureVerifier)
    opened = open_note(case["note"].encode(), known_keys([verifier]))
    (signature,) = opened.verified
    assert cosigned_at(signature.value) == datetime.fromtimestamp(case["time"], UTC)
    assert bool(opened.unverified) == ("also" in case)


def test_worked_example() -> None:
    vkey = (VECTORS / "worked-example" / "witness.vkey").read_text().strip()
    at = datetime.fromtimestamp(1_790_000_000, UTC)
    assert a_witness().vkey == vkey
    assert cosign(TEXT, a_witness(), at) == WITNESS_LINE
    assert cosigned_at(WITNESS_LINE.value) == at
    assert message_v1(TEXT, 1_790_000_000) == b"cosignature/v1\ntime 1790000000\n" + TEXT
    assert WITNESS_LINE in open_note(WORKED, known_keys([parse_vkey(vkey)])).verified


def test_every_edit_of_a_cosigned_checkpoint_is_refused_or_loses_a_signature() -> None:
    known = known_keys([a_log().verifier, a_witness().verifier])

    def read(edited: bytes) -> bool:
        try:
            return not open_note(edited, known).unverified
        except LedgerError:
            return False

    assert surviving(WORKED, read) == []


def test_time_is_signed() -> None:
    known = known_keys([a_witness().verifier])
    later = Signature(WITNESS_LINE.key, (1_790_000_001).to_bytes(8, "big") + WITNESS_LINE.value[8:])
    with pytest.raises(SignatureInvalid):
        open_note(add_signatures(WORKED, [later]), known)


@pytest.mark.parametrize(
    "value", [b"", bytes(8), bytes(7), b"\xff" * 72, (253_402_300_800).to_bytes(8, "big") + bytes(64)]
)
def test_value_without_a_usable_time_is_refused(value: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        cosigned_at(value)
    with pytest.raises(SignatureInvalid):
        a_witness().verifier.check(TEXT, value)


def test_last_usable_time_is_the_end_of_the_year_9999() -> None:
    value = (253_402_300_799).to_bytes(8, "big") + bytes(64)
    assert cosigned_at(value) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_only_checkpoints_are_cosigned() -> None:
    with pytest.raises(CheckpointMalformed):
        cosign(b"anything\n", a_witness(), NOON)
    seconds = int(NOON.timestamp())
    signature = private_key("demo witness key").sign(message_v1(b"anything\n", seconds))
    with pytest.raises(SignatureInvalid):
        a_witness().verifier.check(b"anything\n", seconds.to_bytes(8, "big") + signature)


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), datetime(1969, 12, 31, tzinfo=UTC)])
def test_witness_needs_an_aware_time_since_1970(at: datetime) -> None:
    with pytest.raises(ValueError, match="aware"):
        cosign(TEXT, a_witness(), at)


def test_time_zone_does_not_matter() -> None:
    assert cosign(TEXT, a_witness(), NOON) == cosign(
        TEXT, a_witness(), NOON.astimezone(timezone(timedelta(hours=8)))
    )


def test_cosignature_that_is_not_ours_never_leaves() -> None:
    wrong = CosignatureSigner("witness.example/w1", a_witness().public_key, private_key("mallory").sign)
    with pytest.raises(SignatureInvalid):
        cosign(TEXT, wrong, NOON)


def test_log_signature_does_not_pass_for_a_cosignature_of_the_same_key() -> None:
    key = private_key("demo log key")
    witness = CosignatureSigner.from_key("hub.example/audit", key)
    assert witness.verifier.key_id != a_log().verifier.key_id
    with pytest.raises(SignatureInvalid):
        witness.verifier.check(TEXT, bytes(8) + LOG_LINE.value)


def test_mldsa_cosignature_verifies(mldsa_key: mldsa.MLDSA44PrivateKey) -> None:
    line = mldsa_signature(mldsa_key, "pq.example", TEXT, 1_790_000_000)
    assert len(line.key.digest + line.value) == 2432
    verifier = MlDsaVerifier("pq.example", mldsa_key.public_key().public_bytes_raw())
    assert parse_vkey(verifier.vkey) == verifier
    opened = open_note(add_signatures(WORKED, [line]), known_keys([verifier]))
    assert opened.verified == (line,)


def test_mldsa_cosignature_with_anything_changed_is_refused(mldsa_key: mldsa.MLDSA44PrivateKey) -> None:
    verifier = MlDsaVerifier("pq.example", mldsa_key.public_key().public_bytes_raw())
    value = mldsa_signature(mldsa_key, "pq.example", TEXT, 7).value
    verifier.check(TEXT, value)
    named = mldsa_signature(mldsa_key, "other.example", TEXT, 7).value
    larger = encode_checkpoint(Checkpoint("hub.example/audit", 4, decode_checkpoint(TEXT).root))
    for text, wrong in (
        (TEXT, (8).to_bytes(8, "big") + value[8:]),
        (TEXT, value[:-1] + bytes([value[-1] ^ 1])),
        (TEXT, value[:-1]),
        (TEXT, value[:8]),
        (TEXT, named),
        (larger, value),
        (b"anything\n", value),
        (encode_checkpoint(Checkpoint("o" * 256, 3, bytes(32))), value),
    ):
        with pytest.raises(SignatureInvalid):
            verifier.check(text, wrong)


def test_mldsa_does_not_cover_extension_lines(mldsa_key: mldsa.MLDSA44PrivateKey) -> None:
    """As the standard says; the reason why our checkpoints have none."""
    verifier = MlDsaVerifier("pq.example", mldsa_key.public_key().public_bytes_raw())
    value = mldsa_signature(mldsa_key, "pq.example", TEXT, 7).value
    verifier.check(TEXT + b"an extension\n", value)


def test_mldsa_message_is_the_structure_of_the_standard() -> None:
    message = message_mldsa("w", Checkpoint("hub", 3, b"\x11" * 32), 5)
    assert (
        message
        == b"subtree/v1\n\0"
        + b"\1w"
        + bytes(7)
        + b"\5"
        + b"\3hub"
        + bytes(8)
        + bytes(7)
        + b"\3"
        + b"\x11" * 32
    )
    with pytest.raises(KeyMalformed):
        message_mldsa("w" * 256, Checkpoint("hub", 3, bytes(32)), 5)
    with pytest.raises(CheckpointMalformed):
        message_mldsa("w", Checkpoint("h" * 256, 3, bytes(32)), 5)


def test_keys_of_other_lengths_are_refused() -> None:
    with pytest.raises(KeyMalformed):
        CosignatureVerifier("w", bytes(33))
    with pytest.raises(KeyMalformed):
        MlDsaVerifier("w", bytes(1311))
    with pytest.raises(KeyMalformed):
        MlDsaVerifier("w" * 256, bytes(1312))


def test_machine_without_mldsa_refuses_such_a_key(
    monkeypatch: pytest.MonkeyPatch, mldsa_key: mldsa.MLDSA44PrivateKey
) -> None:
    vkey = MlDsaVerifier("pq.example", mldsa_key.public_key().public_bytes_raw()).vkey

    class Without:
        @staticmethod
        def from_public_bytes(data: bytes) -> object:
            raise UnsupportedAlgorithm("no ML-DSA")

    monkeypatch.setattr(cosignature, "MLDSA44PublicKey", Without)
    with pytest.raises(KeyUnsupported):
        parse_vkey(vkey)


@pytest.mark.parametrize("kind", [0x00, 0x02, 0x03, 0x05, 0xFF])
def test_key_of_another_type_is_refused_by_name(kind: int) -> None:
    vkey = encode_vkey(key_id("a", kind, bytes(32)), kind, bytes(32))
    with pytest.raises(KeyUnsupported) as caught:
        parse_vkey(vkey)
    assert caught.value.kind == f"0x{kind:02x}"
