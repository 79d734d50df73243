"""What a person calls a consignment or dispatch, and how its state is called before people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clients.errors import NameAmbiguous
from clients.speech import _
from pki.text import N_

if TYPE_CHECKING:
    from clients.hub import Hub
    from exchange.protocol.api import ConsignmentView


IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=_("Identifier of the consignment or dispatch, the beginning of one, or the issued number."),
    ),
]


STATES = {
    "IN_PROGRESS": N_("in progress"),
    "COMPLETED": N_("all signed for"),
    "CLOSED_WITH_EXCEPTIONS": N_("closed, not by all"),
    "WITHDRAWN": N_("recalled"),
    "REJECTED_AT_SUBMISSION": N_("refused"),
    "ACCEPTED": N_("accepted"),
    "HELD": N_("held"),
    "CONSIGNED": N_("delivered"),
    "HANDED_OVER": N_("fetched"),
    "SIGNED_FOR": N_("signed for"),
    "REGISTERED": N_("registered"),
    "RETURNED": N_("returned"),
    "RECALLED": N_("recalled"),
    "EXPIRED": N_("expired"),
    "UNDELIVERABLE": N_("undeliverable"),
}
"""The words of the clerk's register for the states of the interface."""


def word_of(state: str) -> str:
    """The state's word; a state that this program does not know stands as it is."""
    return _(STATES.get(state, state))


def state_of(view: ConsignmentView) -> str:
    """The consignment's state, and whether it is overdue."""
    word = word_of(view.state)
    return f"{word} ({_('overdue')})" if view.overdue else word


def consignment_id_of(hub: Hub, identifier: str) -> str:
    """The consignment that a person means."""
    from exchange.protocol.identifiers import is_uuid7

    if is_uuid7(identifier):
        return identifier
    found = [
        one.consignment_id
        for one in hub.whole_inbox()
        if one.consignment_id.startswith(identifier) or one.issued_number == identifier
    ]
    return _only(found, identifier)


def dispatch_id_of(hub: Hub, identifier: str) -> str:
    """The dispatch that a person means."""
    from exchange.protocol.identifiers import is_uuid7

    if is_uuid7(identifier):
        return identifier
    found = [
        one.dispatch_id
        for one in hub.whole_outbox()
        if one.dispatch_id.startswith(identifier) or one.issued_number == identifier
    ]
    return _only(found, identifier)


def _only(found: list[str], identifier: str) -> str:
    if len(found) != 1:
        raise NameAmbiguous(name=identifier, count=len(found))
    return found[0]
