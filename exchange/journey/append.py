"""Fourth step: sign the evidence, write everything in one transaction, release the receipt.

The order of writes, and what a crash leaves after each:

    sign the evidence                  nothing
    commit rows, entry and ledger state  a complete dispatch; its receipt is made at the next start
    record (size, root) at the signer  the same
    sign the checkpoint                the same: the signature is deterministic
    answer                             the caller's repeat finds the first receipt

Only the last line promises anything to anybody.
"""

from __future__ import annotations

from exchange.journey.notary import Notary
from exchange.journey.ports import AlreadyAccepted, AlreadyRefused, Change, Ledger, NewDispatch, NewRejection
from exchange.journey.stages import Accepted, Received, Stored
from exchange.protocol.dispatch import decode_dispatch
from exchange.protocol.errors import EnvelopeMalformed, Rejected
from exchange.protocol.events import Event
from exchange.protocol.evidence import MAX_REASON, Reason
from exchange.protocol.fields import plain_text


async def append(stored: Stored, *, ledger: Ledger, notary: Notary) -> Accepted:
    """Accept the submission (E01). On return it is in the ledger and its receipt complete.

    Raises:
        DuplicateIdConflict: the id stands for other bytes.
        Unavailable: nothing was kept.
    """
    received, dispatch = stored.verified.received, stored.verified.dispatch
    signed = notary.state(
        Event.SUBMISSION_ACCEPTANCE,
        at=received.received_at,
        dispatch=dispatch,
        digest=received.digest,
        sender=dispatch.sender,
        submitted_at=received.received_at,
    )
    new = NewDispatch(dispatch, received.digest, received.envelope, received.signature, stored.consignments)
    try:
        appended = await ledger.commit(Change(signed, dispatch=new))
    except AlreadyAccepted as done:
        return done.answer
    return Accepted(
        dispatch_id=dispatch.dispatch_id,
        evidence_id=appended.evidence_id,
        consignments=stored.consignments,
        receipt=appended.receipt,
        repeated=False,
    )


async def append_rejection(
    received: Received, error: Rejected, *, sentence: str, ledger: Ledger, notary: Notary
) -> bytes:
    """Refuse the submission, with evidence (E02): a refusal is kept as carefully as a success.

    Returns the receipt; for the same bytes always the first one.
    """
    try:
        dispatch = decode_dispatch(received.envelope)
    except EnvelopeMalformed:
        dispatch = None
    signed = notary.state(
        Event.SUBMISSION_REJECTION,
        at=received.received_at,
        dispatch=dispatch,
        digest=received.digest,
        # The session's unit, whoever the envelope names: nobody can be refused in another's name.
        sender=received.unit,
        submitted_at=received.received_at,
        # What a foreign document or certificate says may stand in the sentence, whatever characters it has.
        reasons=(Reason(error.code, plain_text(sentence, max_length=MAX_REASON)),),
    )
    rejection = NewRejection(received.unit, received.digest, received.signature_digest)
    try:
        return (await ledger.commit(Change(signed, rejection=rejection))).receipt
    except AlreadyRefused as done:
        return done.answer.receipt
