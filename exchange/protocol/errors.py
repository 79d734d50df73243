"""What can go wrong in the exchange.

ExchangeError
├── Rejected                    the caller's side; at submission it becomes evidence E02
│   ├── JsonMalformed           not the strict JSON of FORMATS §1
│   ├── EnvelopeMalformed       dispatch.json is not what FORMATS §2 asks
│   ├── EvidenceMalformed       evidence.json is not what FORMATS §3 asks
│   ├── EntryMalformed          not a ledger entry
│   ├── ReceiptMalformed        not a receipt container
│   ├── PackageMalformed        not a dispatch package
│   ├── EnvelopeSealInvalid     dispatch.p7s does not hold, or is not the sender's
│   ├── SealInvalid             a document's seal is missing, broken or someone else's
│   ├── DocumentRefused         active content, broken or unreadable document
│   ├── Classified              a secrecy mark: such documents do not enter (FORMATS §9)
│   ├── SenderMismatch          the envelope names another sender than the session
│   ├── OriginMismatch          the envelope is for another hub
│   ├── RecipientUnknown        no such unit, or it cannot receive
│   ├── DeadlineUnfit           a deadline in the past, reversed or too far
│   ├── DuplicateIdConflict     the id was used for other bytes
│   ├── ContentMissing          a named content was not uploaded by this unit
│   ├── ContentMismatch         the uploaded bytes are not what the envelope says
│   ├── ActRefused              the statement does not fit the consignment
│   ├── ActOverdue              event_time too far from the hub's clock
│   ├── DeadlinePassed          expires_at has passed; the consignment is closing
│   └── WrongState              the consignment is not in a state that allows this
├── NotFound                    no such thing, or not yours: the two are not told apart
├── NotAllowed                  known, and still not permitted
├── Unavailable                 our side, may pass; the caller retries
│   ├── StorageFull  StorageBusy  RevocationStale  Overloaded
└── Broken                      an invariant is gone; the writer stops
"""

from __future__ import annotations

from collections.abc import Sequence

from pki.errors import Fault, Mender
from pki.text import N_


class ExchangeError(Fault):
    """Anything that goes wrong in the exchange."""

    code = "exchange"


class Rejected(ExchangeError):
    """The caller's side: it stays refused until the caller changes something."""

    code = "rejected"
    mender = Mender.SENDER


class JsonMalformed(Rejected):
    """Not the strict JSON of FORMATS §1 (RFC 8785)."""

    code = "json-malformed"
    template = N_("not strict canonical JSON: {detail}")


class EnvelopeMalformed(Rejected):
    """``dispatch.json`` does not have the form of FORMATS §2."""

    code = "envelope-malformed"
    template = N_("the envelope is malformed: {detail}")


class EvidenceMalformed(Rejected):
    """``evidence.json`` does not have the form of FORMATS §3."""

    code = "evidence-malformed"
    template = N_("the evidence is malformed: {detail}")


class EntryMalformed(Rejected):
    """Not a ledger entry of FORMATS §4."""

    code = "entry-malformed"
    template = N_("the ledger entry is malformed: {detail}")


class ReceiptMalformed(Rejected):
    """Not a receipt container of FORMATS §5."""

    code = "receipt-malformed"
    template = N_("the receipt is malformed: {detail}")


class PackageMalformed(Rejected):
    """Not a dispatch package of FORMATS §6."""

    code = "package-malformed"
    template = N_("the dispatch package is malformed: {detail}")


class EnvelopeSealInvalid(Rejected):
    """The detached signature of the envelope does not hold or is not the sender's."""

    code = "envelope-seal-invalid"
    template = N_("the signature of the envelope does not hold: {detail}")


class SealInvalid(Rejected):
    """A document's seal is missing, does not hold, or is another unit's."""

    code = "seal-invalid"
    template = N_("the seal of {name} is not accepted: {detail}")


class SealMissing(SealInvalid):
    """The main document bears no seal."""

    code = "seal-missing"
    template = N_("{name} bears no electronic seal")


class SealForeign(SealInvalid):
    """The main document is sealed, but not by the unit that sends it."""

    code = "seal-foreign"
    template = N_("{name} is sealed by {signer}, not by the sending unit")


class SealUndecided(SealInvalid):
    """Neither shown to be good nor to be bad; not knowing is not yes."""

    code = "seal-undecided"
    template = N_("the seal of {name} cannot be decided: {detail}")


class DocumentRefused(Rejected):
    """The document itself cannot be taken: active content, unreadable, unsupported."""

    code = "document-refused"
    template = N_("{name} cannot be accepted: {detail}")


class Classified(Rejected):
    """A secrecy mark: classified documents do not enter (DESIGN §2.8, FORMATS §9)."""

    code = "classified"
    template = N_("a secrecy mark was found in {place}; classified documents must not be sent here")


class SenderMismatch(Rejected):
    """The envelope names another sender than the unit that submits it."""

    code = "sender-mismatch"
    template = N_("the envelope names the sender {named}, but {actual} submitted it")


class OriginMismatch(Rejected):
    """The envelope or statement was made for another hub."""

    code = "origin-mismatch"
    template = N_("made for the hub {named}; this is {actual}")


class RecipientUnknown(Rejected):
    """A recipient is not in the directory or cannot receive."""

    code = "recipient-unknown"
    template = N_("the recipient {unit} is not in the directory or cannot receive")


class DeadlineUnfit(Rejected):
    """A deadline lies in the past, is reversed, or too far away."""

    code = "deadline-unfit"
    template = N_("the deadlines do not fit: {detail}")


class DuplicateIdConflict(Rejected):
    """The dispatch id was used before for other bytes."""

    code = "duplicate-id-conflict"
    template = N_("the dispatch id {dispatch_id} was already used for another envelope")


class ContentMissing(Rejected):
    """The envelope names contents that this unit has not uploaded. Upload, then repeat."""

    code = "content-missing"
    template = N_("contents named by the envelope are not here yet: {digests}")

    def __init__(self, *, digests: Sequence[str]) -> None:
        self.digests = tuple(digests)
        super().__init__(digests=", ".join(digests))


class ContentMismatch(Rejected):
    """The bytes are not those that were announced."""

    code = "content-mismatch"
    template = N_("the content differs from what was announced: {detail}")


class ActRefused(Rejected):
    """The signed statement does not fit the consignment or its author."""

    code = "act-refused"
    template = N_("the statement does not fit: {detail}")
    mender = Mender.UNIT


class ActOverdue(Rejected):
    """The statement's time is too far from the hub's clock."""

    code = "act-time-unfit"
    template = N_(
        "the statement's time {claimed} is more than {tolerance} seconds from the hub's clock {now}"
    )
    mender = Mender.UNIT


class DeadlinePassed(Rejected):
    """``expires_at`` has passed by the hub's clock; equal would have been in time."""

    code = "deadline-passed"
    template = N_("{event} came too late: the deadline was {expires_at}")
    mender = Mender.NOBODY


class WrongState(Rejected):
    """The consignment is not in a state that allows this event."""

    code = "wrong-state"
    template = N_("{event} is not possible: the consignment is {current}")
    mender = Mender.NOBODY

    def __init__(self, *, event: str, current: str, allowed: Sequence[str], evidence_id: str | None) -> None:
        self.current = current
        self.allowed = tuple(allowed)
        self.evidence_id = evidence_id
        """The evidence that put the consignment where it is: the winner's receipt."""
        super().__init__(event=event, current=current)


class NotFound(ExchangeError):
    """No such thing, or not yours: the answer does not tell the two apart."""

    code = "not-found"
    template = N_("there is no such {what}")
    mender = Mender.UNIT


class NotAllowed(ExchangeError):
    """Known, and still not permitted."""

    code = "not-allowed"
    template = N_("not allowed: {detail}")
    mender = Mender.UNIT


class Unavailable(ExchangeError):
    """Our side, and it may pass: nothing was changed, the caller tries again."""

    code = "unavailable"
    template = N_("the hub cannot do this now: {detail}")


class StorageFull(Unavailable):
    """The disk or the database is full; nothing of the request was kept."""

    code = "storage-full"
    template = N_("the hub's storage is full; nothing of this request was kept")


class StorageBusy(Unavailable):
    """The database is locked by somebody else for too long."""

    code = "storage-busy"
    template = N_("the hub's database is busy; nothing of this request was kept")


class RevocationStale(Unavailable):
    """The hub has no current revocation data: a seal can be neither accepted nor refused."""

    code = "revocation-stale"
    template = N_("the hub has no current revocation data: {detail}")


class Overloaded(Unavailable):
    """More requests wait than the hub will hold."""

    code = "overloaded"
    template = N_("too many requests are waiting")


class Broken(ExchangeError):
    """An invariant is gone. The writer stops until a person has looked."""

    code = "broken"
    template = N_("the hub has stopped writing: {detail}")
