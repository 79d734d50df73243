"""The events of EN 319 522 and ours, and what the registry of evidence says of each.

EN 319 522-3 table 2 names the events ``http://uri.etsi.org/19522/Event/<name>``;
where it has none (recall, urging, registering ...) the name is an extension of
ours under ``urn:x-gongwen:event:``. Numbers E01-E26 are those of
``docs/vocabulary.md``; E03, E04 and E21 wait for the federation of hubs.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum

_ETSI = "http://uri.etsi.org/19522/Event/"
_OURS = "urn:x-gongwen:event:"
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class Author(StrEnum):
    """Whose signature an event bears first (FORMATS §2); the hub's follows in parallel."""

    HUB = "hub"
    SENDER = "sender"
    RECIPIENT = "recipient"


class Event(Enum):
    """One kind of evidence: number, name, whether ETSI names it, who signs first, whether it needs a reason."""

    SUBMISSION_ACCEPTANCE = ("E01", "SubmissionAcceptance", True, Author.HUB, False)
    SUBMISSION_REJECTION = ("E02", "SubmissionRejection", True, Author.HUB, True)
    CONTENT_CONSIGNMENT = ("E05", "ContentConsignment", True, Author.HUB, False)
    CONSIGNMENT_NOTIFICATION = ("E06", "ConsignmentNotification", True, Author.HUB, False)
    CONSIGNMENT_NOTIFICATION_FAILURE = ("E07", "ConsignmentNotificationFailure", True, Author.HUB, True)
    CONTENT_HANDOVER = ("E08", "ContentHandover", True, Author.RECIPIENT, False)
    CONTENT_HANDOVER_FAILURE = ("E09", "ContentHandoverFailure", True, Author.HUB, True)
    CONSIGNMENT_ACCEPTANCE = ("E10", "ConsignmentAcceptance", True, Author.RECIPIENT, False)
    CONSIGNMENT_REJECTION = ("E11", "ConsignmentRejection", True, Author.RECIPIENT, True)
    ACCEPTANCE_REJECTION_EXPIRY = ("E12", "AcceptanceRejectionExpiry", True, Author.HUB, True)
    RECALL = ("E13", "Recall", False, Author.SENDER, False)
    RECALL_REFUSED = ("E14", "RecallRefused", False, Author.HUB, True)
    HOLD = ("E15", "Hold", False, Author.HUB, True)
    RESUME = ("E15", "Resume", False, Author.HUB, False)
    CONTENT_CONSIGNMENT_FAILURE = ("E16", "ContentConsignmentFailure", True, Author.HUB, True)
    REGISTERED = ("E17", "Registered", False, Author.RECIPIENT, False)
    REDIRECTED = ("E18", "Redirected", False, Author.RECIPIENT, False)
    URGED = ("E19", "Urged", False, Author.SENDER, False)
    SUPERSEDED = ("E20", "Superseded", False, Author.SENDER, False)
    ADDED_RECIPIENT = ("E20", "AddedRecipient", False, Author.SENDER, False)
    SEAL_VERIFIED = ("E22", "SealVerified", False, Author.HUB, False)
    NOTIFICATION_DELIVERED = ("E23", "NotificationDelivered", True, Author.HUB, False)
    EXTENDED = ("E24", "Extended", False, Author.SENDER, False)
    REPLIED = ("E25", "Replied", False, Author.RECIPIENT, False)
    RESENT = ("E26", "Resent", False, Author.HUB, True)

    def __init__(self, number: str, wire: str, etsi: bool, author: Author, needs_reason: bool) -> None:
        self.number = number
        self.wire = wire
        """The ``event`` field, and the last part of the ``event_uri``."""
        self.uri = (_ETSI if etsi else _OURS) + wire
        self.author = author
        self.needs_reason = needs_reason
        self.kind = "evidence." + _WORD.sub("_", wire).lower()
        """The ledger entry's kind (FORMATS §4)."""


EVENTS = {event.wire: event for event in Event}
KINDS = {event.kind: event for event in Event}

REASONS: dict[str, tuple[Event, ...]] = {
    "recipient-gone": (Event.CONTENT_CONSIGNMENT_FAILURE,),
    "expired-unsigned": (Event.ACCEPTANCE_REJECTION_EXPIRY,),
    "already-signed-for": (Event.RECALL_REFUSED,),
    "not-our-competence": (Event.CONSIGNMENT_REJECTION,),
    "wrong-recipient": (Event.CONSIGNMENT_REJECTION,),
    "duplicate": (Event.CONSIGNMENT_REJECTION,),
    "illegible": (Event.CONSIGNMENT_REJECTION,),
    "incomplete": (Event.CONSIGNMENT_REJECTION,),
    "format-wrong": (Event.CONSIGNMENT_REJECTION,),
    "content-wrong": (Event.CONSIGNMENT_REJECTION,),
    "sent-in-error": (Event.RECALL,),
    "superseded": (Event.RECALL,),
    "other": (Event.CONSIGNMENT_REJECTION, Event.RECALL),
}
"""Reason codes bound to the events they may stand on; at a rejection (E02) the codes are those of the errors."""
