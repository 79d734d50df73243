"""Receipts: packed and read strictly, and judged; not one byte of them may change."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.ledger.checkpoint import Checkpoint, sign_checkpoint
from exchange.ledger.cosignature import CosignatureSigner, cosign
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.note import NoteSigner, add_signatures, decode_note, sign_note
from exchange.ledger.policy import GroupLine, LogLine, Policy, WitnessLine, encode_policy, parse_policy
from exchange.ledger.proof import TlogProof, decode_proof, encode_proof
from exchange.protocol import canonical
from exchange.protocol.entry import Entry, commitment, encode_entry
from exchange.protocol.errors import ReceiptMalformed
from exchange.protocol.events import Event
from exchange.protocol.evidence import Actor, decode_evidence, encode_evidence
from exchange.protocol.identifiers import digest_of
from exchange.protocol.judge import JudgedReceipt, judge_receipt
from exchange.protocol.receipt import (
    Extra,
    Receipt,
    Revocation,
    assemble_receipt,
    decode_extra,
    decode_receipt,
    encode_extra,
    encode_receipt,
    is_receipt,
    read_proof,
)
from pki.asn1 import encode_certificate
from pki.profile import HUB_EVIDENCE, UNIT_SEAL
from pki.revocation import RevocationList
from pki.trust import TrustStore
from signing.cms import CadesSigner, decode_cades
from signing.container import ASIC_S, decode_container, encode_container
from signing.report import Result, TimeSource, Verdict
from tests.exchange.protocol.papers import Papers, the_papers
from tests.worlds.pki import PkiWorld

GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)
SIGNED = Event.CONSIGNMENT_ACCEPTANCE.wire


@pytest.fixture(scope="module")
def papers() -> Papers:
    return the_papers()


def judged(
    data: bytes,
    papers: Papers,
    *,
    now: datetime | None = None,
    at: datetime | None = None,
    policy: bytes | Policy | None = b"",
    trust: TrustStore | None = None,
) -> JudgedReceipt:
    return judge_receipt(
        data,
        name="a.receipt.asics",
        trust=trust or papers.trust,
        policy=papers.policy if policy == b"" else policy,
        now=now or papers.now,
        at=at,
    )


def verdict(data: bytes, papers: Papers, **options: object) -> Verdict:
    return judged(data, papers, **options).report.verdict  # type: ignore[arg-type]


def failed(data: bytes, papers: Papers, **options: object) -> set[str]:
    """Names of the steps that did not pass."""
    report = judged(data, papers, **options).report  # type: ignore[arg-type]
    return {step.step for seal in report.seals for step in seal.steps if step.result is not Result.PASSED}


# --- as they are


@pytest.mark.parametrize("event", ["SubmissionAcceptance", "ContentConsignment", "ContentHandover", SIGNED])
def test_every_receipt_is_good_and_says_so_step_by_step(papers: Papers, event: str) -> None:
    found = judged(papers.receipts[event], papers)
    # Only the hub's own ledger dates it: that is the remark.
    assert found.report.verdict is Verdict.VALID_WITH_REMARKS
    assert failed(papers.receipts[event], papers) == set()
    assert found.evidence is not None
    assert found.evidence.event.wire == event
    assert found.entry is not None
    for seal in found.report.seals:
        assert seal.time_source is TimeSource.LEDGER
        assert [step.step for step in seal.steps][:7] == [
            "container", "evidence", "signers", "commitment", "ledger-proof", "entry-time", "revocation-data",
        ]  # fmt: skip
    units = {seal.unit for seal in found.report.seals}
    expected = (
        {papers.hub.unit, papers.units[1].unit} if event in ("ContentHandover", SIGNED) else {papers.hub.unit}
    )
    assert units == expected


def test_receipts_come_back_byte_for_byte(papers: Papers) -> None:
    for data in (*papers.receipts.values(), *papers.others.values()):
        receipt = decode_receipt(data)
        assert encode_receipt(receipt) == data
        assert is_receipt(data)
        proof, extra = read_proof(receipt)
        assert (
            assemble_receipt(
                evidence=receipt.evidence,
                signature=receipt.signature,
                entry=extra.entry,
                salt=extra.salt,
                index=proof.index,
                hashes=proof.hashes,
                checkpoint=proof.checkpoint,
                revocation=reversed([one.body for one in receipt.revocation]),
            )
            == data
        )


def test_other_files_are_no_receipts() -> None:
    for data in (b"", b"PK\x03\x04", ASIC_S, bytes(100), b"%PDF-1.7" + bytes(100)):
        assert not is_receipt(data)
        with pytest.raises(ReceiptMalformed):
            decode_receipt(data)


# --- not one byte


def flipped(data: bytes, place: int, mask: int) -> bytes:
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def test_no_byte_of_the_file_can_be_changed(papers: Papers) -> None:
    data = papers.receipts[SIGNED]
    for place in range(len(data)):
        assert verdict(flipped(data, place, 0x01), papers) not in GOOD, place
    chance = random.Random(7)
    for place in chance.sample(range(len(data)), 400):
        for mask in (0x80, 0xFF, chance.randrange(1, 256)):
            assert verdict(flipped(data, place, mask), papers) not in GOOD, (place, mask)


def inside(receipt: Receipt) -> Iterator[tuple[str, Receipt]]:
    """Bytes of every part changed (all of evidence and proof, a part of the rest), with the container made anew around it: its CRC-32 is no help."""
    chance = random.Random(11)
    for place in range(len(receipt.evidence)):
        yield (
            f"evidence {place}",
            replace(receipt, evidence=flipped(receipt.evidence, place, chance.randrange(1, 256))),
        )
    for place in range(0, len(receipt.signature), 3):
        yield (
            f"signature {place}",
            replace(receipt, signature=flipped(receipt.signature, place, chance.randrange(1, 256))),
        )
    assert receipt.proof is not None
    for place in range(len(receipt.proof)):
        yield (
            f"proof {place}",
            replace(receipt, proof=flipped(receipt.proof, place, chance.randrange(1, 256))),
        )
    for number, one in enumerate(receipt.revocation):
        for place in range(0, len(one.body), 5):
            lists = list(receipt.revocation)
            lists[number] = replace(one, body=flipped(one.body, place, chance.randrange(1, 256)))
            yield f"list {number} {place}", replace(receipt, revocation=tuple(lists))


def test_no_byte_of_a_part_can_be_changed(papers: Papers) -> None:
    receipt = decode_receipt(papers.receipts[SIGNED])
    count = 0
    for name, changed in inside(receipt):
        if changed == receipt:
            continue
        count += 1
        assert verdict(encode_receipt(changed), papers) not in GOOD, name
    assert count > 2500


def test_no_byte_of_what_the_proof_carries_can_be_changed(papers: Papers) -> None:
    receipt = decode_receipt(papers.receipts[SIGNED])
    proof, extra = read_proof(receipt)
    for part in ("entry", "salt"):
        original = getattr(extra, part)
        for place in range(len(original)):
            changed = encode_extra(replace(extra, **{part: flipped(original, place, 1)}))
            data = encode_receipt(replace(receipt, proof=encode_proof(replace(proof, extra=changed))))
            assert verdict(data, papers) not in GOOD


@pytest.mark.parametrize("cut", [1, 2, 22, 100, 1000, 5000])
def test_cut_off_or_lengthened(papers: Papers, cut: int) -> None:
    data = papers.receipts[SIGNED]
    for changed in (data[:-cut], data[cut:], data + bytes(cut), bytes(cut) + data):
        assert verdict(changed, papers) is Verdict.NOT_VALID


# --- parts of others, parts too many, parts too few


def test_parts_of_another_receipt(papers: Papers) -> None:
    one = decode_receipt(papers.receipts[SIGNED])
    for other_data in (
        papers.others[SIGNED],
        papers.receipts["ContentHandover"],
        papers.receipts["ContentConsignment"],
    ):
        other = decode_receipt(other_data)
        for part in ("evidence", "signature", "proof"):
            mixed = encode_receipt(replace(one, **{part: getattr(other, part)}))
            assert verdict(mixed, papers) is Verdict.NOT_VALID, part
        proof, extra = read_proof(one)
        other_proof, other_extra = read_proof(other)
        for mixed_proof in (
            replace(proof, extra=other_proof.extra),
            replace(proof, index=other_proof.index),
            replace(proof, hashes=other_proof.hashes),
            replace(proof, extra=encode_extra(Extra(extra.entry, other_extra.salt))),
            replace(proof, extra=encode_extra(Extra(other_extra.entry, extra.salt))),
        ):
            if mixed_proof == proof:
                continue
            data = encode_receipt(replace(one, proof=encode_proof(mixed_proof)))
            assert verdict(data, papers) is Verdict.NOT_VALID


def test_an_entry_in_the_container_that_has_no_place(papers: Papers) -> None:
    entries = list(decode_container(papers.receipts[SIGNED]))
    for name in ("note.txt", "META-INF/other.p7s", "META-INF/revocation/x.crl", "evidence2.json"):
        data = encode_container([*entries, (name, b"x")])
        assert verdict(data, papers) is Verdict.NOT_VALID


def test_parts_in_another_order(papers: Papers) -> None:
    entries = list(decode_container(papers.receipts[SIGNED]))
    for at in range(1, len(entries) - 1):
        swapped = [*entries]
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
        assert verdict(encode_container(swapped), papers) is Verdict.NOT_VALID


@pytest.mark.parametrize("part", [1, 2])
def test_a_part_that_is_missing(papers: Papers, part: int) -> None:
    entries = list(decode_container(papers.receipts[SIGNED]))
    del entries[part]
    assert verdict(encode_container(entries), papers) is Verdict.NOT_VALID


def test_without_a_proof_it_is_undecided(papers: Papers) -> None:
    receipt = replace(decode_receipt(papers.receipts[SIGNED]), proof=None)
    assert verdict(encode_receipt(receipt), papers) is Verdict.UNDECIDED
    assert verdict(encode_receipt(receipt), papers, at=papers.now) is Verdict.UNDECIDED
    assert failed(encode_receipt(receipt), papers) == {"ledger-proof"}


def test_without_a_policy_it_is_undecided(papers: Papers) -> None:
    assert verdict(papers.receipts[SIGNED], papers, policy=None) is Verdict.UNDECIDED
    assert verdict(papers.receipts[SIGNED], papers, policy=None, at=papers.now) is Verdict.UNDECIDED


def test_a_policy_of_another_ledger_or_none_at_all(papers: Papers) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
    for name in (papers.ledger_key.verifier.name, "other.example.gov/ledger"):
        key = NoteSigner(name, other.public_key().public_bytes_raw(), other.sign)
        policy = encode_policy(Policy((LogLine(key.verifier),)))
        assert verdict(papers.receipts[SIGNED], papers, policy=policy) not in GOOD
    for broken in (b"not a policy", b"quorum none\n", b"\xff"):
        assert verdict(papers.receipts[SIGNED], papers, policy=broken) not in GOOD


def test_without_anchors_it_is_undecided(papers: Papers) -> None:
    assert verdict(papers.receipts[SIGNED], papers, trust=TrustStore.of([])) is Verdict.UNDECIDED


def test_the_revocation_data_inside_is_enough(papers: Papers) -> None:
    """Ten years on there is a trust folder without lists."""
    bare = TrustStore.of([papers.pki.root.certificate])
    assert verdict(papers.receipts[SIGNED], papers, trust=bare) in GOOD
    receipt = replace(decode_receipt(papers.receipts[SIGNED]), revocation=())
    assert verdict(encode_receipt(receipt), papers, trust=bare) is Verdict.UNDECIDED


def test_a_foreign_revocation_list_inside(papers: Papers) -> None:
    receipt = decode_receipt(papers.receipts[SIGNED])
    foreign = PkiWorld().seals.revocation_list(papers.now)
    lists = tuple(sorted((*receipt.revocation, Revocation("crl", foreign.der)), key=lambda one: one.name))
    data = encode_receipt(replace(receipt, revocation=lists))
    assert verdict(data, papers) is Verdict.NOT_VALID
    assert "revocation-data" in failed(data, papers)


def test_an_unread_kind_of_evidence_is_undecided(papers: Papers) -> None:
    """A time-stamp and an OCSP response are not evaluated yet: what nobody looked at is no yes."""
    receipt = decode_receipt(papers.receipts[SIGNED])
    stamped = encode_receipt(replace(receipt, anchor=b"a time-stamp"))
    assert verdict(stamped, papers) is Verdict.UNDECIDED
    lists = tuple(sorted((*receipt.revocation, Revocation("ocsp", b"x")), key=lambda one: one.name))
    assert verdict(encode_receipt(replace(receipt, revocation=lists)), papers) is Verdict.UNDECIDED


# --- notes


def with_checkpoint(data: bytes, checkpoint: bytes) -> bytes:
    receipt = decode_receipt(data)
    proof, _ = read_proof(receipt)
    return encode_receipt(replace(receipt, proof=encode_proof(replace(proof, checkpoint=checkpoint))))


def test_a_line_of_an_unknown_key_is_undecided(papers: Papers) -> None:
    proof, _ = read_proof(decode_receipt(papers.receipts[SIGNED]))
    other = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
    witness = CosignatureSigner("witness.example/w1", other.public_key().public_bytes_raw(), other.sign)
    text, _ = decode_note(proof.checkpoint)
    line = cosign(text, witness, papers.now)
    data = with_checkpoint(papers.receipts[SIGNED], add_signatures(proof.checkpoint, [line]))
    assert verdict(data, papers) is Verdict.UNDECIDED
    assert failed(data, papers) == {"ledger-proof"}
    # Named by the policy, the same line proves the time: nothing is left to remark.
    policy = Policy(
        parse_policy(papers.policy).logs,
        (WitnessLine("w1", witness.verifier),),
        (GroupLine("outside", 1, ("w1",)),),
        "outside",
    )
    later = papers.now + timedelta(seconds=2)
    found = judged(data, papers, policy=policy, now=later)
    assert found.report.verdict is Verdict.VALID
    assert {seal.time_source for seal in found.report.seals} == {TimeSource.COSIGNATURE}
    # And without it the quorum is not met.
    assert verdict(papers.receipts[SIGNED], papers, policy=policy) not in GOOD


def test_a_checkpoint_signed_by_somebody_else(papers: Papers) -> None:
    proof, _ = read_proof(decode_receipt(papers.receipts[SIGNED]))
    text, _ = decode_note(proof.checkpoint)
    other = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
    name = papers.ledger_key.verifier.name
    forged = sign_note(text, [NoteSigner(name, other.public_key().public_bytes_raw(), other.sign)])
    assert verdict(with_checkpoint(papers.receipts[SIGNED], forged), papers) not in GOOD


def test_an_older_and_a_newer_checkpoint_do_not_fit_the_proof(papers: Papers) -> None:
    newer, _ = read_proof(decode_receipt(papers.others[SIGNED]))
    older, _ = read_proof(decode_receipt(papers.receipts["SubmissionAcceptance"]))
    for other in (newer, older):
        data = with_checkpoint(papers.receipts[SIGNED], other.checkpoint)
        assert verdict(data, papers) is Verdict.NOT_VALID


# --- time


def test_when_the_certificates_have_expired_only_the_hubs_word_is_not_enough(papers: Papers) -> None:
    later = papers.now + timedelta(days=3650)
    assert verdict(papers.receipts[SIGNED], papers, now=later) is Verdict.UNDECIDED
    assert "time-proof" in failed(papers.receipts[SIGNED], papers, now=later)
    assert verdict(papers.receipts[SIGNED], papers, now=later, at=papers.now) is Verdict.VALID


def test_a_list_that_has_run_out_makes_it_undecided_until_there_is_a_new_one(papers: Papers) -> None:
    later = papers.now + timedelta(days=30)
    assert verdict(papers.receipts[SIGNED], papers, now=later) is Verdict.UNDECIDED
    fresh = papers.pki.trust(later)
    assert verdict(papers.receipts[SIGNED], papers, now=later, trust=fresh) is Verdict.VALID_WITH_REMARKS


def test_judged_before_it_was_made(papers: Papers) -> None:
    early = papers.now - timedelta(days=1)
    assert verdict(papers.receipts[SIGNED], papers, at=papers.now - timedelta(days=60)) not in GOOD
    # The entry lies in the future then: it proves nothing, and nothing is raised.
    judged(papers.receipts[SIGNED], papers, now=early)


def test_a_unit_revoked_later_does_not_undo_what_a_witness_has_dated(papers: Papers) -> None:
    assert isinstance(papers.pki, PkiWorld)
    later = papers.now + timedelta(days=1)
    revoked = papers.pki.seals.revocation_list(later)
    assert isinstance(revoked, RevocationList)
    assert (
        verdict(papers.receipts[SIGNED], papers, now=later, trust=papers.trust.with_extra(crls=[revoked]))
        in GOOD
    )


# --- who signs


class Forger:
    """Somebody with the hub's ledger at hand: any statement, signed by anybody, truly in the ledger."""

    def __init__(self, papers: Papers) -> None:
        self.papers = papers
        self.receipt = decode_receipt(papers.receipts[SIGNED])

    def made(
        self, body: bytes, signature: bytes, *, kind: str | None = None, t: datetime | None = None
    ) -> bytes:
        event = decode_evidence(body).event
        salt = bytes(32)
        entry = encode_entry(
            Entry(
                commit=commitment(salt=salt, evidence=body, signature=signature),
                kind=kind or event.kind,
                n=1,
                rid="0" * 32,
                stream="1" * 32,
                t=t or self.papers.now,
            )
        )
        origin = self.papers.ledger_key.verifier.name
        note = sign_checkpoint(Checkpoint(origin, 1, leaf_hash(entry)), [self.papers.ledger_key])
        return assemble_receipt(
            evidence=body,
            signature=signature,
            entry=entry,
            salt=salt,
            index=0,
            hashes=(),
            checkpoint=note,
            revocation=(),
        )

    def signed(self, body: bytes, *members: object) -> bytes:
        signature = b""
        for credential in members:
            by = CadesSigner(credential.signer, credential.chain)  # type: ignore[attr-defined]
            signature = (
                by.cosign(signature, body, at=self.papers.now)
                if signature
                else by.sign(body, at=self.papers.now)
            )
        return signature


@pytest.fixture
def forger(papers: Papers) -> Forger:
    return Forger(papers)


def test_the_forger_can_make_a_good_one(papers: Papers, forger: Forger) -> None:
    """So that what follows fails for its own reason."""
    body = forger.receipt.evidence
    data = forger.made(body, forger.signed(body, papers.units[1].seal, papers.hub.seal))
    assert verdict(data, papers) in GOOD


def test_an_act_needs_its_actor_and_the_hub_and_nobody_else(papers: Papers, forger: Forger) -> None:
    body = forger.receipt.evidence
    hub, unit, third = papers.hub.seal, papers.units[1].seal, papers.units[2].seal
    for signers in ((unit,), (hub,), (third, hub), (unit, third), (unit, third, hub)):
        data = forger.made(body, forger.signed(body, *signers))
        assert verdict(data, papers) not in GOOD, signers
        # Two signers, the actor among them: it is the other one's purpose that betrays it.
        assert ("purpose" if signers == (unit, third) else "signers") in failed(data, papers)


def test_the_hub_alone_states_its_events(papers: Papers, forger: Forger) -> None:
    body = decode_receipt(papers.receipts["ContentConsignment"]).evidence
    hub, unit = papers.hub.seal, papers.units[1].seal
    assert verdict(forger.made(body, forger.signed(body, hub)), papers) in GOOD
    for signers in ((unit,), (unit, hub)):
        assert verdict(forger.made(body, forger.signed(body, *signers)), papers) is Verdict.NOT_VALID


def test_a_unit_cannot_pass_for_the_hub(papers: Papers, forger: Forger) -> None:
    """It names itself as the actor of a hub's event, under the hub's unit even: the policy betrays it."""
    evidence = decode_evidence(decode_receipt(papers.receipts["ContentConsignment"]).evidence)
    pki = papers.pki
    seal = pki.credential(UNIT_SEAL, pki.seals, papers.hub.unit, papers.hub.name)
    claimed = replace(evidence, actor=Actor(papers.hub.unit, digest_of(encode_certificate(seal.certificate))))
    body = encode_evidence(claimed)
    data = forger.made(body, forger.signed(body, seal))
    assert verdict(data, papers) not in GOOD
    assert "purpose" in failed(data, papers)


def test_the_hub_cannot_pass_for_a_unit(papers: Papers, forger: Forger) -> None:
    """It makes itself a certificate in the unit's name: under the policy that it may issue, that of the hub."""
    evidence = decode_evidence(forger.receipt.evidence)
    pki, unit = papers.pki, papers.units[1]
    fake = pki.credential(HUB_EVIDENCE, pki.evidence, unit.unit, unit.name)
    claimed = replace(evidence, actor=Actor(unit.unit, digest_of(encode_certificate(fake.certificate))))
    body = encode_evidence(claimed)
    data = forger.made(body, forger.signed(body, fake, papers.hub.seal))
    assert verdict(data, papers) not in GOOD
    assert "purpose" in failed(data, papers)


def test_another_unit_cannot_state_the_recipients_act(papers: Papers, forger: Forger) -> None:
    evidence = decode_evidence(forger.receipt.evidence)
    third = papers.units[2]
    for unit in (third.unit, papers.units[1].unit):
        actor = Actor(unit, digest_of(encode_certificate(third.seal.certificate)))
        body = encode_evidence(replace(evidence, actor=actor))
        data = forger.made(body, forger.signed(body, third.seal, papers.hub.seal))
        assert verdict(data, papers) is Verdict.NOT_VALID
        assert "signers" in failed(data, papers)


def test_an_entry_of_another_kind_or_far_from_the_statements_time(papers: Papers, forger: Forger) -> None:
    body = forger.receipt.evidence
    signature = forger.signed(body, papers.units[1].seal, papers.hub.seal)
    other = forger.made(body, signature, kind=Event.CONTENT_HANDOVER.kind)
    assert failed(other, papers) == {"commitment"}
    stated = decode_evidence(body).event_time
    for minutes, step in ((5, set()), (-5, set()), (5.001, {"entry-time"}), (-5.001, {"entry-time"})):
        data = forger.made(body, signature, t=stated + timedelta(minutes=minutes))
        assert failed(data, papers, now=papers.now + timedelta(minutes=6)) == step


# --- the proof's extra


def test_extra_is_strict() -> None:
    extra = Extra(b"entry", bytes(range(32)))
    data = encode_extra(extra)
    assert decode_extra(data) == extra
    entry, salt = b64encode(b"entry").decode(), b64encode(bytes(32)).decode()
    for broken in (
        b"",
        b"{}",
        data + b" ",
        canonical.encode({"entry": entry}),
        canonical.encode({"salt": salt}),
        canonical.encode({"entry": entry, "salt": salt, "more": "x"}),
        canonical.encode({"entry": entry, "salt": b64encode(bytes(31)).decode()}),
        canonical.encode({"entry": entry.rstrip("="), "salt": salt}),
        canonical.encode({"entry": "ZW50cnl=", "salt": salt}),
        canonical.encode({"entry": "ZW50\ncnk=".replace("\n", "_"), "salt": salt}),
        canonical.encode({"entry": 1, "salt": salt}),
    ):
        with pytest.raises(ReceiptMalformed):
            decode_extra(broken)


def test_a_proof_without_extra_is_no_proof_of_ours(papers: Papers) -> None:
    receipt = decode_receipt(papers.receipts[SIGNED])
    assert receipt.proof is not None
    proof = decode_proof(receipt.proof)
    bare = TlogProof(proof.index, proof.hashes, proof.checkpoint)
    assert verdict(encode_receipt(replace(receipt, proof=encode_proof(bare))), papers) is Verdict.NOT_VALID
    assert len(decode_cades(receipt.signature).signers) == 2
