"""The hub's hand: states events and countersigns acts.

``prepare`` of an act is the actor's own signature; here evidence is built, signed
by the hub's evidence certificate, and bundled with its salt and the revocation
data that its receipt will carry. Nothing here is released: that is ``append``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from exchange.journey.ports import Trust
from exchange.journey.stages import Consignment, Pending, SignedEvidence
from exchange.protocol.dispatch import Dispatch
from exchange.protocol.entry import SALT_SIZE
from exchange.protocol.errors import RevocationStale, Unavailable
from exchange.protocol.events import Event
from exchange.protocol.evidence import Actor, Evidence, Reason, encode_evidence
from exchange.protocol.identifiers import Digest, EvidenceId, digest_of, to_milliseconds, uuid7
from pki.asn1 import encode_certificate
from pki.errors import PathError, RevocationUnknown
from pki.names import UnitId
from pki.profile import HUB_EVIDENCE_POLICY
from pki.purpose import HUB_EVIDENCE
from signing.cms import CadesSigner

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Notary:
    """What the hub needs to state something."""

    origin: str
    unit: UnitId
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]
    signer: CadesSigner
    trust: Trust
    random: Random

    def new_id(self, now: datetime) -> str:
        """A fresh time-ordered id."""
        return uuid7(now, self.random(10))

    def state(
        self,
        event: Event,
        *,
        at: datetime,
        sender: UnitId,
        digest: Digest,
        submitted_at: datetime,
        dispatch: Dispatch | None,
        consignment: Consignment | None = None,
        reasons: Sequence[Reason] = (),
    ) -> SignedEvidence:
        """State an event on the hub's own word; ``dispatch`` is None where the envelope cannot be read."""
        evidence = Evidence(
            evidence_id=EvidenceId(self.new_id(at)),
            event=event,
            event_time=to_milliseconds(at),
            actor=Actor(self.unit, digest_of(encode_certificate(self.certificate))),
            origin=self.origin,
            policy=HUB_EVIDENCE_POLICY.dotted_string,
            sender=sender,
            dispatch=digest,
            dispatch_id=dispatch.dispatch_id if dispatch else None,
            submitted_at=to_milliseconds(submitted_at),
            contents=tuple(document.digest for document in dispatch.documents) if dispatch else (),
            recipient=consignment.recipient if consignment else None,
            consignment_id=consignment.consignment_id if consignment else None,
            issued_number=dispatch.metadata.issued_number if dispatch else None,
            previous=consignment.last_evidence if consignment else None,
            reasons=tuple(reasons),
        )
        body = encode_evidence(evidence)
        return self._bundle(evidence, body, self.signer.sign(body, at=at), at=at, posted=None, revocation=())

    def state_about(
        self, event: Event, pending: Pending, *, at: datetime, reasons: Sequence[Reason] = ()
    ) -> SignedEvidence:
        """State what happened to a consignment."""
        kept = pending.kept
        return self.state(
            event,
            at=at,
            sender=kept.dispatch.sender,
            digest=kept.digest,
            submitted_at=kept.accepted_at,
            dispatch=kept.dispatch,
            consignment=pending.consignment,
            reasons=reasons,
        )

    def countersign(
        self,
        evidence: Evidence,
        body: bytes,
        signature: bytes,
        *,
        at: datetime,
        revocation: Iterable[bytes],
    ) -> SignedEvidence:
        """Add the hub's own signature beside the actor's; the actor's is kept byte for byte."""
        both = self.signer.cosign(signature, body, at=at)
        posted = posted_digest(body, signature)
        return self._bundle(evidence, body, both, at=at, posted=posted, revocation=revocation)

    def _bundle(
        self,
        evidence: Evidence,
        body: bytes,
        signature: bytes,
        *,
        at: datetime,
        posted: Digest | None,
        revocation: Iterable[bytes],
    ) -> SignedEvidence:
        # The hub must not state what nobody could verify: its own path is checked at every
        # statement (cached), and the revocation data it rests on goes into the receipt.
        try:
            path = self.trust.check(self.certificate, others=self.others, purpose=HUB_EVIDENCE, at=at)
        except RevocationUnknown as error:
            raise RevocationStale(detail=str(error)) from error
        except PathError as error:
            # Ours to mend: no caller has done anything wrong.
            raise Unavailable(detail=str(error)) from error
        data = {*revocation, *(used.der for used in path.revocation)}
        return SignedEvidence(
            evidence=evidence,
            body=body,
            signature=signature,
            posted=posted,
            salt=self.random(SALT_SIZE),
            rid=self.random(16).hex(),
            revocation=tuple(sorted(data)),
        )


def posted_digest(body: bytes, signature: bytes) -> Digest:
    """By what a repeated statement is known: both files exactly as they were posted."""
    return digest_of(digest_of(body).encode() + digest_of(signature).encode())
