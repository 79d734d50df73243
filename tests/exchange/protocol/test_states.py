"""The table of states: the rules that hold for all of it, and the rows of reference exchange §2.2."""

from __future__ import annotations

from itertools import product

import pytest

from exchange.protocol.errors import WrongState
from exchange.protocol.events import EVENTS, KINDS, REASONS, Author, Event
from exchange.protocol.states import (
    OPEN,
    READABLE,
    TRANSITIONS,
    VISIBLE,
    Aggregate,
    State,
    aggregate,
    allowed_events,
    next_state,
)

SETTLED = set(State) - OPEN
REFERENCE = {
    (State.ACCEPTED, Event.CONTENT_CONSIGNMENT): State.CONSIGNED,
    (State.CONSIGNED, Event.CONTENT_HANDOVER): State.HANDED_OVER,
    (State.CONSIGNED, Event.CONSIGNMENT_ACCEPTANCE): State.SIGNED_FOR,
    (State.HANDED_OVER, Event.CONSIGNMENT_ACCEPTANCE): State.SIGNED_FOR,
    (State.CONSIGNED, Event.CONSIGNMENT_REJECTION): State.RETURNED,
    (State.HANDED_OVER, Event.CONSIGNMENT_REJECTION): State.RETURNED,
    **{(state, Event.RECALL): State.RECALLED for state in OPEN},
    **{(state, Event.CONTENT_CONSIGNMENT_FAILURE): State.UNDELIVERABLE for state in OPEN},
    # Both deadlines stand still while held (FORMATS §3).
    **{(state, Event.ACCEPTANCE_REJECTION_EXPIRY): State.EXPIRED for state in OPEN - {State.HELD}},
    # A recall after 签收 is a request; refusing it changes nothing.
    (State.SIGNED_FOR, Event.RECALL_REFUSED): State.SIGNED_FOR,
    (State.REGISTERED, Event.RECALL_REFUSED): State.REGISTERED,
}
"""Written down a second time, from the reference: the table must not change unnoticed."""


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_the_table_is_the_references(state: State, event: Event) -> None:
    wanted = REFERENCE.get((state, event))
    if wanted is not None:
        assert next_state(state, event) is wanted
        return
    with pytest.raises(WrongState) as refused:
        next_state(state, event, evidence_id="the winner")
    assert refused.value.current == state.value
    assert refused.value.evidence_id == "the winner"
    assert event.wire not in refused.value.allowed
    assert refused.value.allowed == allowed_events(state)


def test_nothing_that_is_settled_changes_its_outcome() -> None:
    for table in TRANSITIONS.values():
        for before, after in table.items():
            assert before in OPEN or after is before


def test_every_act_of_a_unit_leads_to_one_state_from_wherever() -> None:
    """So that a repeated act can be told the state it led to then."""
    for event, table in TRANSITIONS.items():
        if event.author is not Author.HUB:
            assert len(set(table.values())) == 1


def test_what_is_readable_is_visible_and_what_waits_is_neither() -> None:
    assert READABLE < VISIBLE
    assert State.ACCEPTED not in VISIBLE
    assert State.HELD not in VISIBLE
    assert not READABLE & {State.RETURNED, State.RECALLED, State.EXPIRED, State.UNDELIVERABLE}


def test_aggregates_of_all_triples() -> None:
    for states in product(State, repeat=3):
        found = aggregate(states)
        if any(state in OPEN for state in states):
            assert found is Aggregate.IN_PROGRESS
        elif all(state in (State.SIGNED_FOR, State.REGISTERED) for state in states):
            assert found is Aggregate.COMPLETED
        elif all(state is State.RECALLED for state in states):
            assert found is Aggregate.WITHDRAWN
        else:
            assert found is Aggregate.CLOSED_WITH_EXCEPTIONS


def test_open_and_settled_are_those_of_the_formats() -> None:
    assert {state.value for state in OPEN} == {"ACCEPTED", "HELD", "CONSIGNED", "HANDED_OVER"}
    assert {state.value for state in SETTLED} == {
        "SIGNED_FOR", "REGISTERED", "RETURNED", "RECALLED", "EXPIRED", "UNDELIVERABLE",
    }  # fmt: skip


# --- events

NEGATIVE = {"E02", "E07", "E09", "E11", "E12", "E14", "E16", "E26"}


def test_names_kinds_and_addresses_are_unique() -> None:
    assert len(EVENTS) == len(KINDS) == len(Event) == len({event.uri for event in Event})


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_every_negative_event_needs_a_reason(event: Event) -> None:
    assert event.needs_reason == (event.number in NEGATIVE or event is Event.HOLD)


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_signers_by_event_are_those_of_the_formats(event: Event) -> None:
    """FORMATS §2."""
    author = Author.HUB
    if event.number in ("E13", "E19", "E20", "E24"):
        author = Author.SENDER
    if event.number in ("E08", "E10", "E11", "E17", "E18", "E25"):
        author = Author.RECIPIENT
    assert event.author is author


def test_kinds_are_the_names_in_snake_case() -> None:
    assert Event.CONSIGNMENT_ACCEPTANCE.kind == "evidence.consignment_acceptance"
    assert Event.ACCEPTANCE_REJECTION_EXPIRY.kind == "evidence.acceptance_rejection_expiry"
    assert Event.RECALL.uri == "urn:x-gongwen:event:Recall"
    assert Event.CONTENT_HANDOVER.uri == "http://uri.etsi.org/19522/Event/ContentHandover"


def test_every_reason_belongs_to_an_event_that_can_have_one() -> None:
    for code, events in REASONS.items():
        assert events, code
