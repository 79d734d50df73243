"""The states of a consignment and what each event does to it (FORMATS §3, reference exchange §2.2).

    ACCEPTED ─ consign ─► CONSIGNED ─ fetch ─► HANDED_OVER ─ sign for ─► SIGNED_FOR ─ register ─► REGISTERED
                              └────────┬────────────┘
                     return ► RETURNED, recall ► RECALLED, deadline ► EXPIRED, give up ► UNDELIVERABLE

The table is data; :func:`next_state` is the only reader of it, in the hub and in
the test double alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from exchange.protocol.errors import WrongState
from exchange.protocol.events import Event


class State(StrEnum):
    """Where a consignment stands."""

    ACCEPTED = "ACCEPTED"
    HELD = "HELD"
    CONSIGNED = "CONSIGNED"
    HANDED_OVER = "HANDED_OVER"
    SIGNED_FOR = "SIGNED_FOR"
    REGISTERED = "REGISTERED"
    RETURNED = "RETURNED"
    RECALLED = "RECALLED"
    EXPIRED = "EXPIRED"
    UNDELIVERABLE = "UNDELIVERABLE"


class Aggregate(StrEnum):
    """Where a dispatch stands; derived from its consignments, never stored."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CLOSED_WITH_EXCEPTIONS = "CLOSED_WITH_EXCEPTIONS"
    WITHDRAWN = "WITHDRAWN"
    REJECTED_AT_SUBMISSION = "REJECTED_AT_SUBMISSION"


OPEN = frozenset({State.ACCEPTED, State.HELD, State.CONSIGNED, State.HANDED_OVER})
"""Something can still happen by itself; everything else is settled."""
READABLE = frozenset({State.CONSIGNED, State.HANDED_OVER, State.SIGNED_FOR, State.REGISTERED})
"""The recipient may fetch the content."""
VISIBLE = frozenset(set(State) - {State.ACCEPTED, State.HELD})
"""The recipient sees that the consignment exists (or existed)."""

_AT_HAND = (State.CONSIGNED, State.HANDED_OVER)

TRANSITIONS: dict[Event, dict[State, State]] = {
    Event.CONTENT_CONSIGNMENT: {State.ACCEPTED: State.CONSIGNED},
    Event.CONTENT_HANDOVER: {State.CONSIGNED: State.HANDED_OVER},
    Event.CONSIGNMENT_ACCEPTANCE: dict.fromkeys(_AT_HAND, State.SIGNED_FOR),
    Event.CONSIGNMENT_REJECTION: dict.fromkeys(_AT_HAND, State.RETURNED),
    Event.RECALL: dict.fromkeys(OPEN, State.RECALLED),
    Event.RECALL_REFUSED: {state: state for state in (State.SIGNED_FOR, State.REGISTERED)},
    Event.ACCEPTANCE_REJECTION_EXPIRY: dict.fromkeys(
        (State.ACCEPTED, State.CONSIGNED, State.HANDED_OVER), State.EXPIRED
    ),
    Event.CONTENT_CONSIGNMENT_FAILURE: dict.fromkeys(OPEN, State.UNDELIVERABLE),
}


def next_state(current: State, event: Event, *, evidence_id: str | None = None) -> State:
    """The state after the event.

    Raises:
        WrongState: the event is not possible now; it carries the state, what is
            allowed in it, and the evidence that led there.
    """
    after = TRANSITIONS.get(event, {}).get(current)
    if after is None:
        raise WrongState(
            event=event.wire, current=current.value, allowed=allowed_events(current), evidence_id=evidence_id
        )
    return after


def allowed_events(current: State) -> tuple[str, ...]:
    """The events that are possible in a state, by their names on the wire."""
    return tuple(event.wire for event, table in TRANSITIONS.items() if current in table)


def aggregate(states: Iterable[State]) -> Aggregate:
    """Where the dispatch stands, from where its consignments stand."""
    all_states = set(states)
    if all_states & OPEN:
        return Aggregate.IN_PROGRESS
    if all_states <= {State.SIGNED_FOR, State.REGISTERED}:
        return Aggregate.COMPLETED
    if all_states == {State.RECALLED}:
        return Aggregate.WITHDRAWN
    return Aggregate.CLOSED_WITH_EXCEPTIONS
