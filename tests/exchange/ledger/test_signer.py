"""What the checkpoint signer refuses, and its record."""

from __future__ import annotations

import pytest

from exchange.ledger.errors import (
    HashMalformed,
    LeavesMissing,
    LedgerFork,
    LedgerInconsistent,
    LedgerRollback,
    StateMalformed,
)
from exchange.ledger.merkle import EMPTY_ROOT, Frontier, leaf_hash
from exchange.ledger.signer import SignerState, advance, decode_state, encode_state
from tests.exchange.ledger.builders import ORIGIN, entries_of, one_byte_edits
from tests.reference.merkle import ReferenceTree

ENTRIES = entries_of(300)
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
REFERENCE = ReferenceTree(ENTRIES)
NEW = SignerState(ORIGIN)


def state_of(size: int) -> SignerState:
    return SignerState(ORIGIN, Frontier().extended(LEAVES[:size]))


def test_new_signer_stands_on_the_empty_tree() -> None:
    assert (NEW.size, NEW.root) == (0, EMPTY_ROOT)
    assert advance(NEW, leaves=[], size=0, root=EMPTY_ROOT) == NEW


def test_signer_follows_batches_of_any_size() -> None:
    state = NEW
    for size in (1, 2, 3, 100, 100, 256, 300):
        state = advance(state, leaves=LEAVES[state.size : size], size=size, root=REFERENCE.mth(0, size))
        assert state.checkpoint.root == REFERENCE.mth(0, size)
        assert (state.checkpoint.origin, state.checkpoint.size) == (ORIGIN, size)


def test_smaller_ledger_is_a_rollback() -> None:
    with pytest.raises(LedgerRollback) as caught:
        advance(state_of(5), leaves=[], size=4, root=REFERENCE.mth(0, 4))
    assert (caught.value.signed, caught.value.offered) == (5, 4)
    assert isinstance(caught.value, LedgerInconsistent)


def test_another_root_at_the_same_size_is_a_fork() -> None:
    with pytest.raises(LedgerFork) as caught:
        advance(state_of(5), leaves=[], size=5, root=bytes(32))
    assert (caught.value.size, caught.value.ours) == (5, REFERENCE.mth(0, 5))


def test_root_that_was_not_computed_here_is_a_fork() -> None:
    for leaves, root in (
        (LEAVES[5:8], bytes(32)),
        ([*LEAVES[5:7], bytes(32)], REFERENCE.mth(0, 8)),
        ([LEAVES[6], LEAVES[5], LEAVES[7]], REFERENCE.mth(0, 8)),
    ):
        with pytest.raises(LedgerFork):
            advance(state_of(5), leaves=leaves, size=8, root=root)


def test_rewritten_history_under_new_entries_is_a_fork() -> None:
    forged = Frontier().extended([bytes(32), *LEAVES[1:8]])
    with pytest.raises(LedgerFork):
        advance(state_of(5), leaves=LEAVES[5:8], size=8, root=forged.root)


@pytest.mark.parametrize("given", [0, 2, 4])
def test_leaves_between_the_sizes_must_be_all_there(given: int) -> None:
    with pytest.raises(LeavesMissing) as caught:
        advance(state_of(5), leaves=LEAVES[5 : 5 + given], size=8, root=REFERENCE.mth(0, 8))
    assert (caught.value.needed, caught.value.given) == (3, given)


def test_leaf_that_is_no_hash_is_refused() -> None:
    with pytest.raises(HashMalformed):
        advance(NEW, leaves=[b"x"], size=1, root=bytes(32))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 300])
def test_record_and_back(size: int) -> None:
    state = state_of(size)
    assert decode_state(encode_state(state)) == state


def test_every_edit_of_a_record_is_refused_or_another_state() -> None:
    state = state_of(7)
    data = encode_state(state)
    for _, edited in one_byte_edits(data):
        try:
            found = decode_state(edited)
        except StateMalformed:
            continue
        assert encode_state(found) == edited
        assert (found == state) == (edited == data)


def test_every_cut_record_is_refused() -> None:
    data = encode_state(state_of(7))
    for end in range(len(data)):
        with pytest.raises(StateMalformed):
            decode_state(data[:end])


@pytest.mark.parametrize("data", [b"", b"\xff", b"x\n" * 4, b"gongwen ledger signer v1\n\n0\n", b"a" * 5000])
def test_malformed_record_is_refused(data: bytes) -> None:
    with pytest.raises(StateMalformed):
        decode_state(data)
