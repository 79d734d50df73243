"""What can go wrong when a unit or an auditor talks to a hub.

HubError                        every error of this package
├── TransportError              no answer came; trying again may help
│   └── HubUntrusted            the other end of the wire is not the hub of our trust folder
├── ApiError                    the hub answered with a problem document (RFC 9457)
│   ├── AuthenticationError     401, or the TLS handshake was refused: the hub does not know us
│   ├── PermissionDenied        403
│   ├── NotFound                404: no such thing, or not ours; the hub does not tell the two apart
│   ├── Conflict                409
│   │   ├── WrongState          the consignment does not allow it: what it is, what it allows, who came first
│   │   └── ContentMissing      upload these digests, then repeat
│   ├── ValidationFailed        400, 413, 422
│   │   └── SubmissionRejected  refused for good, with a signed receipt of the refusal (E02)
│   ├── RateLimited             429: ``retry_after``
│   └── ServerError             5xx: the hub's side, trying again may help
├── AnswerMalformed             not an answer that the interface knows
├── ReceiptUntrusted            a receipt came that does not verify: nothing is reported as done
├── EnvelopeUntrusted           a sender's envelope that does not hold
├── ProofOfAnother              a ledger proof that is another statement's
├── ContentDiffers              what was fetched is not what was announced
├── HomeUnusable                the unit's folder is missing, incomplete or not ours
├── SecretMissing               no secret for the key folder
├── NameAmbiguous               what was asked for names none or several
├── TrustRefused                what the hub shows is not what the invitation promised
├── SealExpired                 the unit's own certificate has ended
├── OptionUnfit                 a value that cannot be meant
└── ExtraMissing                a part of gongwen that is not installed here

A hub's error keeps its own stable ``code`` and its ``problem``; ``diagnostics()``
is what to send to the hub's operator.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.protocol.api import Problem
from pki.errors import Fault, Mender
from pki.text import N_, Text


class HubError(Fault):
    """Base of this package's errors."""

    code = "hub"
    template = N_("the hub could not be used: {detail}")
    mender = Mender.UNIT

    @property
    def request_id(self) -> str | None:
        """The hub's name for the request, if one answered it."""
        return None

    def diagnostics(self) -> str:
        """Several lines for the hub's operator: no titles, no names, no content."""
        lines = [f"code: {self.code}", f"mender: {self.mender}"]
        if self.request_id is not None:
            lines.append(f"request: {self.request_id}")
        return "\n".join(lines)


class TransportError(HubError):
    """No answer came. Whether the hub did something is unknown; the same bytes may be sent again."""

    code = "transport"
    template = N_("the hub could not be reached: {detail}")
    mender = Mender.OPERATOR


class HubUntrusted(TransportError):
    """The TLS certificate of the other end does not hold under our trust anchors."""

    code = "hub-untrusted"
    template = N_("the other end is not the hub that this unit trusts: {detail}")


class ApiError(HubError):
    """The hub answered that it did not do it."""

    code = "api"
    template = N_("{title}: {detail}")

    def __init__(self, problem: Problem) -> None:
        super().__init__(title=problem.title, detail=problem.detail)
        self.problem = problem
        # The hub's code and mender are more exact than the class's.
        self.code = problem.code  # type: ignore[misc]
        if problem.mender in tuple(Mender):
            self.mender = Mender(problem.mender)  # type: ignore[misc]

    @property
    def request_id(self) -> str | None:
        """The hub's name for the request."""
        return self.problem.request_id or None

    def diagnostics(self) -> str:
        """As :meth:`HubError.diagnostics`, with the status."""
        return f"{super().diagnostics()}\nstatus: {self.problem.status}"


class AuthenticationError(ApiError):
    """The hub does not know this unit's TLS certificate."""


class PermissionDenied(ApiError):
    """Known, and still not permitted."""


class NotFound(ApiError):
    """No such thing, or not ours."""


class Conflict(ApiError):
    """Something else is there already."""


class WrongState(Conflict):
    """The consignment is not in a state that allows the act."""

    @property
    def current(self) -> str:
        """Its state."""
        return self.problem.current or ""

    @property
    def allowed(self) -> tuple[str, ...]:
        """The events that are possible in it."""
        return self.problem.allowed

    @property
    def receipt(self) -> bytes | None:
        """The receipt of the evidence that came first, unchecked."""
        return self.problem.receipt


class ContentMissing(Conflict):
    """The hub does not hold these contents of ours."""

    @property
    def digests(self) -> tuple[str, ...]:
        """What to upload before repeating."""
        return self.problem.digests


class ValidationFailed(ApiError):
    """What was sent does not have the form that the interface asks."""

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        """Place and sentence, field by field."""
        return tuple((one.loc, one.msg) for one in self.problem.errors)


class SubmissionRejected(ValidationFailed):
    """The dispatch was refused, and the refusal is evidence (E02); ``receipt`` was checked."""

    def __init__(self, problem: Problem, *, receipt: bytes) -> None:
        super().__init__(problem)
        self.receipt = receipt


class RateLimited(ApiError):
    """Too many requests."""

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        """Seconds that the hub asks us to wait."""


class ServerError(ApiError):
    """The hub's side; it may pass."""

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        """Seconds that the hub asks us to wait."""


class AnswerMalformed(HubError):
    """The answer is not one that the interface knows; nothing was concluded from it."""

    code = "answer-malformed"
    template = N_("the hub's answer cannot be read: {detail}")
    mender = Mender.OPERATOR


class ReceiptUntrusted(HubError):
    """A receipt that does not verify under the unit's trust folder, or speaks of something else.

    The hub may or may not have recorded the act; what it gave is no proof of it.
    """

    code = "receipt-untrusted"
    template = N_("the hub's receipt is not accepted, so nothing is reported as done: {detail}")
    mender = Mender.OPERATOR

    def __init__(self, *, detail: str, receipt: bytes, proven_wrong: bool) -> None:
        super().__init__(detail=detail)
        self.receipt = receipt
        self.proven_wrong = proven_wrong
        """Shown to be bad, rather than not shown to be good."""


class EnvelopeUntrusted(HubError):
    """The sender's envelope is not the consignment's, or its signature does not hold."""

    code = "envelope-untrusted"
    template = N_("the sender's envelope is not accepted: {detail}")
    mender = Mender.OPERATOR


class ProofOfAnother(HubError):
    """The ledger's entry does not commit to this statement and these signatures."""

    code = "proof-of-another"
    template = N_("the ledger proof in this receipt belongs to another statement")
    mender = Mender.NOBODY


class ContentDiffers(HubError):
    """Fetched bytes that do not have the announced digest; they were thrown away."""

    code = "content-differs"
    template = N_("{name} arrived with other bytes than its sender announced; it was thrown away")
    mender = Mender.OPERATOR


class HomeUnusable(HubError):
    """The unit's folder is missing, incomplete, or holds something that is not ours."""

    code = "home-unusable"
    template = N_("the unit's folder {path} cannot be used: {detail}")


class SecretMissing(HubError):
    """Nobody gave the secret that opens the unit's keys."""

    code = "secret-missing"
    template = N_("no secret for the unit's keys: {detail}")


class NameAmbiguous(HubError):
    """What was asked for names none, or several."""

    code = "name-ambiguous"
    template = N_("{name} names {count} of them; write more of its identifier")


class SealExpired(HubError):
    """The unit's seal certificate is not good now, so that no reader would accept what it seals."""

    code = "seal-expired"
    template = N_("the unit's seal certificate ended at {at}; nothing was sealed")
    mender = Mender.OPERATOR


class TrustRefused(HubError):
    """What the hub shows at enrolment is not what the invitation promised."""

    code = "trust-refused"
    template = N_("the hub is not the one of the invitation: {detail}")
    mender = Mender.OPERATOR


class OptionUnfit(HubError):
    """Options that do not go together, or a value that cannot be meant."""

    code = "option-unfit"
    template = N_("{option}: {detail}")

    def __init__(self, *, option: str, detail: Text | str) -> None:
        super().__init__(option=option, detail=detail)


class ExtraMissing(HubError):
    """A part of gongwen that is not installed here."""

    code = "extra-missing"
    template = N_("the {extra} part of gongwen is not installed here ({module} is missing)")
    mender = Mender.OPERATOR


_REMEDIES: dict[str, str] = {
    "transport": N_("see whether this machine reaches the hub, then run it again; nothing is done twice"),
    "extra-missing": N_("install it: pip install 'gongwen[hub]'"),
    "hub-untrusted": N_("do not go on; ask the hub's operator whether its certificates changed"),
    "unauthenticated": N_("ask the hub's operator whether this unit's TLS certificate is current"),
    "certificate-needed": N_("ask the hub's operator whether this unit's TLS certificate is current"),
    "certificate-unknown": N_("ask the hub's operator whether this unit's TLS certificate is current"),
    "certificate-revoked": N_("ask the hub's operator for a new invitation"),
    "deadline-passed": N_("ask the sending unit to send it again"),
    "not-allowed": N_("ask the hub's operator what this unit is registered for"),
    "not-found": N_("look the identifier up with 'gongwen unit inbox' or 'gongwen unit outbox'"),
    "wrong-state": N_("see what came first: 'gongwen unit inbox' or 'gongwen unit outbox' shows the state"),
    "content-missing": N_("run the same command again; it uploads what is missing"),
    "classified": N_("never send it here; report it to your security officer"),
    "recipient-unknown": N_("look the recipient up with 'gongwen unit directory'"),
    "seal-missing": N_("seal the document first: gongwen seal FILE"),
    "seal-foreign": N_("seal the document with the sending unit's own key: gongwen seal FILE"),
    "deadline-unfit": N_("choose deadlines that lie ahead: --due 3d --expires 30d"),
    "act-time-unfit": N_("set this machine's clock right, then run the command again"),
    "receipt-untrusted": N_("keep the file, tell the hub's operator, and run the same command again later"),
    "home-unusable": N_("enrol the unit first: gongwen unit enrol --invitation FILE"),
    "secret-missing": N_("give the file that holds it: --secret-file FILE"),
    "key-secret-wrong": N_("give the secret that was used when the unit enrolled"),
    "trust-refused": N_("do not go on; ask the operator for the fingerprint over another channel"),
    "ledger-unreachable": N_("see whether this machine reaches the ledger, then run the same command again"),
    "ledger-file-missing": N_("get the missing files, then run the audit again"),
    "invitation-refused": N_("ask the hub's operator for a new invitation"),
}

_BY_MENDER: dict[Mender, str] = {
    Mender.SENDER: N_("the sending unit has to change something before it is sent again"),
    Mender.RECIPIENT: N_("the receiving unit has to act"),
    Mender.UNIT: N_("see 'gongwen COMMAND --help'"),
    Mender.OPERATOR: N_("tell the hub's operator, with the request's number"),
    Mender.AUTHORITY: N_("tell the certification authority"),
    Mender.NOBODY: N_("nothing can be done about it; the answer is final"),
}


def remedy(code: str, mender: str) -> Text:
    """What to try, for the ``try:`` line under an error."""
    known = _REMEDIES.get(code)
    if known is None:
        known = _BY_MENDER[Mender(mender) if mender in tuple(Mender) else Mender.OPERATOR]
    return Text(known)


def problem_error(
    status: int, problem: Problem, *, retry_after: float | None = None, receipt: bytes | None = None
) -> ApiError:
    """The error that a problem document is.

    ``receipt`` is that of a refusal, once it was checked.
    """
    if status == 401:
        return AuthenticationError(problem)
    if status == 403:
        return PermissionDenied(problem)
    if status == 404:
        return NotFound(problem)
    if status == 409:
        kinds: dict[str, type[Conflict]] = {"wrong-state": WrongState, "content-missing": ContentMissing}
        return kinds.get(problem.code, Conflict)(problem)
    if status == 429:
        return RateLimited(problem, retry_after=retry_after)
    if status >= 500 or status in (408, 425):
        return ServerError(problem, retry_after=retry_after)
    if receipt is not None:
        return SubmissionRejected(problem, receipt=receipt)
    return ValidationFailed(problem)


def names(values: Sequence[str], *, most: int = 5) -> str:
    """A short list for a sentence."""
    shown = ", ".join(values[:most])
    return shown if len(values) <= most else f"{shown}, … ({len(values)})"


class DemoFailed(HubError):
    """The demo did not come to its end; the folder is left only where it was to be kept."""

    code = "demo-failed"
    template = N_("the demo failed: {detail}")
