"""Policy files, and checkpoints that meet them or do not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from exchange.ledger.checkpoint import Checkpoint, decode_checkpoint
from exchange.ledger.cosignature import MlDsaVerifier, cosign, message_mldsa
from exchange.ledger.errors import (
    CheckpointMalformed,
    ForeignSignature,
    LedgerError,
    LogUnknown,
    NoteMalformed,
    NoteUnsigned,
    PolicyMalformed,
    QuorumUnmet,
    SignatureInvalid,
)
from exchange.ledger.note import KeyId, Signature, add_signatures, decode_note, sign_note
from exchange.ledger.policy import (
    GroupLine,
    LogLine,
    Policy,
    WitnessLine,
    encode_policy,
    parse_policy,
)
from tests.exchange.ledger.builders import (
    NOON,
    ORIGIN,
    VECTORS,
    a_checkpoint,
    a_log,
    a_note,
    a_policy,
    a_witness,
    entries_of,
    surviving,
)

LOG = f"log {a_log().vkey}\n"
WITNESSES = "".join(f"witness w{number} {a_witness(number).vkey}\n" for number in (1, 2, 3))
CHECKPOINT = a_checkpoint(entries_of(5))


def policy_of(*lines: str) -> Policy:
    return parse_policy((LOG + WITNESSES + "\n".join(lines) + "\n").encode())


def cosigned(*numbers: int) -> bytes:
    note = a_note(CHECKPOINT)
    text, _ = decode_note(note)
    times = {number: NOON + timedelta(minutes=number) for number in numbers}
    return add_signatures(note, [cosign(text, a_witness(number), times[number]) for number in numbers])


def test_worked_example_meets_its_policy() -> None:
    folder = VECTORS / "worked-example"
    policy = parse_policy(
        f"log {(folder / 'log.vkey').read_text().strip()}\n"
        f"witness w1 {(folder / 'witness.vkey').read_text().strip()}\n"
        "quorum w1\n".encode()
    )
    verified = policy.check((folder / "log" / "checkpoint").read_bytes())
    assert (verified.checkpoint.origin, verified.checkpoint.size) == (ORIGIN, 3)
    (cosignature,) = verified.cosignatures
    assert (cosignature.witness, cosignature.key.name) == ("w1", "witness.example/w1")
    assert cosignature.at is not None
    assert cosignature.at.timestamp() == 1_790_000_000
    assert verified.proven_at == cosignature.at
    assert verified.unknown_lines == ()
    assert verified.trimmed == verified.note


def test_policy_file_and_back() -> None:
    text = (
        f"# who is believed\n\n \t log\t{a_log().vkey}  https://hub.example/ledger \n"
        f"{WITNESSES}group ab 2 w1 w2\ngroup all any ab w3\nquorum all"
    )
    policy = parse_policy(text.encode())
    assert policy.logs == (LogLine(a_log().verifier, "https://hub.example/ledger"),)
    assert [line.name for line in policy.witnesses] == ["w1", "w2", "w3"]
    assert policy.groups == (GroupLine("ab", 2, ("w1", "w2")), GroupLine("all", 1, ("ab", "w3")))
    assert policy.quorum == "all"
    plain = encode_policy(policy)
    assert parse_policy(plain) == policy
    assert encode_policy(parse_policy(plain)) == plain


@pytest.mark.parametrize(
    ("quorum", "enough", "too_few"),
    [
        (("quorum none",), [(), (1,)], []),
        (("quorum w2",), [(2,), (1, 2)], [(), (1, 3)]),
        (("group g any w1 w2", "quorum g"), [(1,), (2,)], [(), (3,)]),
        (("group g all w1 w2 w3", "quorum g"), [(1, 2, 3)], [(), (1, 2)]),
        (("group g 2 w1 w2 w3", "quorum g"), [(1, 3), (1, 2, 3)], [(), (2,)]),
        (("group a all w1 w2", "group g any a w3", "quorum g"), [(3,), (1, 2)], [(1,), (2,)]),
        (("group a any w1 w2", "group g all a w3", "quorum g"), [(1, 3)], [(1, 2), (3,)]),
    ],
)
def test_quorum(
    quorum: tuple[str, ...], enough: list[tuple[int, ...]], too_few: list[tuple[int, ...]]
) -> None:
    policy = policy_of(*quorum)
    for numbers in enough:
        verified = policy.check(cosigned(*numbers))
        assert {item.witness for item in verified.cosignatures} == {f"w{number}" for number in numbers}
    for numbers in too_few:
        with pytest.raises(QuorumUnmet) as caught:
            policy.check(cosigned(*numbers))
        assert caught.value.witnesses == tuple(f"w{number}" for number in numbers)


def test_same_witness_twice_is_one_witness() -> None:
    text, _ = decode_note(a_note(CHECKPOINT))
    twice = [cosign(text, a_witness(), NOON + timedelta(seconds=second)) for second in (0, 1)]
    with pytest.raises(QuorumUnmet):
        policy_of("group g 2 w1 w2 w3", "quorum g").check(add_signatures(a_note(CHECKPOINT), twice))


def test_proven_time_is_when_the_quorum_was_complete() -> None:
    assert policy_of("group g 2 w1 w2 w3", "quorum g").check(cosigned(3, 2, 1)).proven_at == NOON + timedelta(
        minutes=2
    )
    assert policy_of("quorum w3").check(cosigned(1, 3)).proven_at == NOON + timedelta(minutes=3)
    assert policy_of("quorum none").check(cosigned(1, 3)).proven_at == NOON + timedelta(minutes=3)
    assert policy_of("quorum none").check(cosigned()).proven_at is None


def test_lines_of_unknown_keys_are_shown_and_trimmed() -> None:
    grease = Signature(KeyId("grease.example", b"abcd"), b"whatever")
    note = add_signatures(a_note(CHECKPOINT), [grease])
    verified = a_policy().check(note)
    assert verified.unknown_lines == (grease,)
    assert verified.note == note
    assert verified.trimmed == a_note(CHECKPOINT)
    with pytest.raises(ForeignSignature) as caught:
        verified.check_no_unknown_lines()
    assert caught.value.key == "grease.example"
    a_policy().check(verified.trimmed).check_no_unknown_lines()


def test_wrong_signature_of_a_named_witness_refuses_even_without_a_quorum() -> None:
    text, (log, witness) = decode_note(cosigned(1))
    bad = Signature(witness.key, witness.value[:-1] + bytes([witness.value[-1] ^ 1]))
    note = text + b"\n" + log.line + bad.line
    with pytest.raises(SignatureInvalid):
        policy_of("quorum none").check(note)


def test_checkpoint_of_nobody_named_is_unsigned() -> None:
    with pytest.raises(NoteUnsigned):
        a_policy().check(a_note(a_checkpoint([], "other.example")))


def test_log_signs_for_its_own_origin_only() -> None:
    other = a_log("other.example", "other")
    policy = Policy((LogLine(a_log().verifier), LogLine(other.verifier)))
    text, _ = decode_note(a_note(CHECKPOINT))
    with pytest.raises(LogUnknown) as caught:
        policy.check(sign_note(text, [other]))
    assert caught.value.origin == ORIGIN
    assert policy.check(sign_note(text, [other, a_log()])).log_keys == (a_log().verifier.key_id,)


def test_witness_alone_does_not_make_a_checkpoint() -> None:
    text, (_, witness) = decode_note(cosigned(1))
    with pytest.raises(LogUnknown):
        policy_of("quorum w1").check(text + b"\n" + witness.line)


def test_signed_text_that_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointMalformed):
        a_policy().check(sign_note(b"hello\n", [a_log()]))
    with pytest.raises(NoteMalformed):
        a_policy().check(b"hello")


def test_two_keys_of_one_log_while_it_changes_them() -> None:
    new = a_log(words="the next key")
    policy = Policy((LogLine(a_log().verifier), LogLine(new.verifier)))
    text, _ = decode_note(a_note(CHECKPOINT))
    for signers in ([a_log()], [new], [a_log(), new]):
        verified = policy.check(sign_note(text, signers))
        assert verified.log_keys == tuple(signer.verifier.key_id for signer in signers)


def test_mldsa_witness_counts_and_zero_is_no_time() -> None:
    key = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32))
    verifier = MlDsaVerifier("pq.example", key.public_key().public_bytes_raw())
    policy = Policy((LogLine(a_log().verifier),), (WitnessLine("pq", verifier),), (), "pq")
    assert parse_policy(encode_policy(policy)) == policy
    text, _ = decode_note(a_note(CHECKPOINT))
    for seconds in (0, 7):
        value = seconds.to_bytes(8, "big") + key.sign(
            message_mldsa("pq.example", decode_checkpoint(text), seconds)
        )
        verified = policy.check(add_signatures(a_note(CHECKPOINT), [Signature(verifier.key_id, value)]))
        (cosignature,) = verified.cosignatures
        assert (cosignature.at is None) == (seconds == 0)
        assert verified.proven_at == cosignature.at


def test_every_edit_of_a_checkpoint_is_refused() -> None:
    policy = policy_of("quorum w1")

    def read(edited: bytes) -> bool:
        try:
            policy.check(edited).check_no_unknown_lines()
        except LedgerError:
            return False
        return True

    assert surviving(cosigned(1), read) == []


MALFORMED = {
    "no quorum": ("", 0),
    "two quorums": ("quorum none\nquorum none\n", 6),
    "quorum of nobody": ("quorum w4\n", 5),
    "quorum before its group": ("quorum g\ngroup g any w1\n", 5),
    "quorum of two names": ("quorum w1 w2\n", 5),
    "group of nobody": ("group g any\nquorum g\n", 5),
    "group of an unknown member": ("group g any w4\nquorum g\n", 5),
    "group of itself": ("group g any g\nquorum g\n", 5),
    "group with none": ("group g any none\nquorum g\n", 5),
    "group named none": ("group none any w1\nquorum none\n", 5),
    "group named as a witness": ("group w1 any w2\nquorum w1\n", 5),
    "threshold of zero": ("group g 0 w1\nquorum g\n", 5),
    "threshold above the members": ("group g 3 w1 w2\nquorum g\n", 5),
    "threshold with a leading zero": ("group g 01 w1\nquorum g\n", 5),
    "threshold with a sign": ("group g +1 w1\nquorum g\n", 5),
    "threshold in words": ("group g most w1\nquorum g\n", 5),
    "member twice": ("group g 2 w1 w1\nquorum g\n", 5),
    "member of two groups": ("group g any w1\ngroup h any w1\nquorum g\n", 6),
    "witness named none": (f"witness none {a_witness(4).vkey}\nquorum none\n", 5),
    "witness name taken": (f"witness w1 {a_witness(4).vkey}\nquorum none\n", 5),
    "witness key taken": (f"witness w4 {a_witness(1).vkey}\nquorum none\n", 5),
    "witness key under another key name": (
        f"witness w4 {a_witness(1).__class__('x', a_witness(1).public_key, bytes).vkey}\nquorum none\n",
        5,
    ),
    "witness with a log's key": (f"witness w4 {a_log(words='x').vkey}\nquorum none\n", 5),
    "log with a witness's key": (f"log {a_witness(4).vkey}\nquorum none\n", 5),
    "log twice": (f"{LOG}quorum none\n", 5),
    "log's key as its own witness": (
        f"witness w4 {a_witness().__class__(ORIGIN, a_log().public_key, bytes).vkey}\nquorum none\n",
        5,
    ),
    "broken key": (f"log {a_log(words='x').vkey[:-1]}\nquorum none\n", 5),
    "key of another type": ("log a+b7e2c0e4+AgAA\nquorum none\n", 5),
    "too many words": (f"log {a_log(words='x').vkey} url more\nquorum none\n", 5),
    "too few words": ("witness w4\nquorum none\n", 5),
    "unknown word": ("monitor m\nquorum none\n", 5),
    "word in capitals": ("Quorum none\n", 5),
    "carriage return": ("quorum none\r\n", 5),
    "control character in a comment": ("# \x07\nquorum none\n", 5),
    "delete character": ("quorum none\x7f\n", 5),
    "space that is not ASCII": ("quorum\u00a0none\n", 5),
    "65 groups": ("".join(f"group g{n} any {'w1' if n == 0 else f'g{n - 1}'}\n" for n in range(65)), 69),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_policy_is_refused_with_its_line(name: str) -> None:
    lines, number = MALFORMED[name]
    with pytest.raises(PolicyMalformed) as caught:
        parse_policy((LOG + WITNESSES + lines).encode())
    assert caught.value.line == number


def test_policy_that_is_too_long_or_not_text_is_refused() -> None:
    for data in (b"#" * (512 * 1024 + 1), b"# \xff\nquorum none\n"):
        with pytest.raises(PolicyMalformed):
            parse_policy(data)


def test_policy_built_by_hand_keeps_the_same_rules() -> None:
    log, witness = LogLine(a_log().verifier), WitnessLine("w", a_witness().verifier)
    for build in (
        lambda: Policy((log, log)),
        lambda: Policy((log,), (witness, witness)),
        lambda: Policy((log,), (WitnessLine("a b", a_witness().verifier),)),
        lambda: Policy((LogLine(a_log().verifier, "a b"),)),
        lambda: Policy((log,), (), (GroupLine("g", 1, ("w",)),), "g"),
        lambda: Policy((log,), (witness,), (), "x"),
    ):
        with pytest.raises(PolicyMalformed) as caught:
            build()
        assert caught.value.line == 0


def test_policy_without_logs_accepts_nothing() -> None:
    with pytest.raises(NoteUnsigned):
        parse_policy(b"quorum none\n").check(a_note(CHECKPOINT))


def test_empty_ledger_can_be_signed() -> None:
    empty = a_checkpoint([])
    assert a_policy().check(a_note(empty)).checkpoint == Checkpoint(ORIGIN, 0, empty.root)
