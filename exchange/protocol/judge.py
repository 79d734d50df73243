"""What a receipt is worth, judged from the file, a trust folder and nothing else.

The steps stand in every seal's report, under these names (FORMATS §3-§5):

    (1) container       the file is exactly a receipt, and nothing beside it
    (2) evidence        evidence.json is a statement of its form
    (3) signers         exactly those have signed whom the event asks for
    (4) commitment      the ledger entry is about this evidence and these signatures
    (5) ledger-proof    the entry is in a ledger of the policy, under a signed checkpoint
    (6) entry-time      the statement's time fits the ledger's
    (7) revocation-data each list inside is one of an authority on a signer's path
    then each signature, as in ``signing.detached``, at the time that is proven:
    a cosignature's; else the entry's own ``t`` if the path holds now as well

Everything in the file is bound by one of these steps, so a changed byte anywhere
is found: nothing is skipped because something else was enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from exchange.ledger.errors import ForeignSignature, LedgerError
from exchange.ledger.policy import Policy, VerifiedCheckpoint, parse_policy
from exchange.ledger.proof import TlogProof, check_proof
from exchange.protocol.entry import Entry, commitment, decode_entry
from exchange.protocol.errors import EntryMalformed, EvidenceMalformed, ReceiptMalformed
from exchange.protocol.events import Author
from exchange.protocol.evidence import Evidence, decode_evidence
from exchange.protocol.identifiers import digest_of, format_time
from exchange.protocol.receipt import Extra, Receipt, decode_receipt, read_proof
from pki.asn1 import encode_certificate
from pki.errors import NameMalformed, RevocationListMalformed
from pki.facts import facts_of
from pki.names import UnitId, unit_of
from pki.purpose import HUB_EVIDENCE, UNIT_SEAL, Purpose
from pki.revocation import RevocationList
from pki.text import N_, Text, text
from pki.trust import TrustStore
from signing.cms import Cades, CadesSignerInfo, decode_cades
from signing.detached import DigestOf, ProvenTime, PurposeOf, SealTime, judge_cades, seal_time
from signing.errors import CmsMalformed
from signing.report import (
    FileReport,
    Finding,
    Indication,
    Result,
    SealReport,
    Severity,
    Step,
    StepRecord,
    TimeSource,
    Verdict,
    file_report,
    worst,
)

FORMAT: Final = "ASiC-S"
TOLERANCE: Final = timedelta(minutes=5)
"""How far an actor's claim of the time may lie from the hub's clock (FORMATS §2)."""

# Whoever signs evidence is anchored for evidence, the unit too (FORMATS §7).
_UNIT: Final = replace(UNIT_SEAL, anchors="evidence")


@dataclass(frozen=True, slots=True)
class JudgedReceipt:
    """The report, and what the receipt says; ``evidence`` and ``entry`` are None where unreadable."""

    report: FileReport
    evidence: Evidence | None
    entry: Entry | None
    index: int | None


def judge_receipt(
    data: bytes,
    *,
    name: str,
    trust: TrustStore,
    policy: bytes | Policy | None,
    now: datetime,
    at: datetime | None = None,
) -> JudgedReceipt:
    """Judge a receipt. Nothing is fetched, and nothing raised for whatever the bytes may be.

    ``policy`` is the ledger's policy file; without one the receipt is undecided.
    """
    common = StepRecord()
    try:
        receipt = decode_receipt(data)  # (1)
        common.passed("container", text(N_("exactly the parts of a receipt, each as it was written")))
        evidence = decode_evidence(receipt.evidence)  # (2)
        cades = decode_cades(receipt.signature)
    except (ReceiptMalformed, EvidenceMalformed, CmsMalformed) as error:
        step = "evidence" if isinstance(error, EvidenceMalformed) else "container"
        common.failed(step, "FORMAT_FAILURE", error.text)
        return JudgedReceipt(_unreadable(name, common), None, None, None)
    common.passed(
        "evidence",
        text(N_("it states {event} at {at}"), event=evidence.event.wire, at=format_time(evidence.event_time)),
    )
    _check_signers(common, evidence, cades)  # (3)
    proof: TlogProof | None
    extra: Extra | None
    try:
        proof, extra = read_proof(receipt)
    except ReceiptMalformed as error:
        if receipt.proof is None:
            common.undecided("ledger-proof", "NO_POE", error.text)
        else:
            common.failed("ledger-proof", "FORMAT_FAILURE", error.text)
        proof, extra = None, None
    entry = _check_commitment(common, receipt, evidence, extra) if extra is not None else None  # (4)
    verified = _check_ledger(common, proof, extra, policy)  # (5)
    if entry is not None:
        _check_time(common, evidence, entry)  # (6)
    if receipt.anchor is not None:
        common.undecided(
            "anchor",
            "NO_POE",
            text(N_("it holds a time-stamp over the checkpoint, which is not evaluated yet")),
        )
    lists = _read_lists(common, receipt)
    store = trust.with_extra(crls=lists)
    time = _time(verified, entry, now=now, at=at)
    seals = judge_cades(
        cades, digests_of(receipt.evidence), trust=store, purpose=_purposes(evidence), time=time
    )
    authorities = {*trust.intermediates, *cades.certificates}
    for purpose in (HUB_EVIDENCE, _UNIT):
        authorities.update(trust.anchors_for(purpose.anchors).certificates)
    _check_lists(common, lists, authorities)  # (7)
    if time.proven is not None and time.proven.source is TimeSource.LEDGER and at is None:
        # Only the hub's own word dates the signatures: the paths must hold now as well.
        again = judge_cades(
            cades,
            digests_of(receipt.evidence),
            trust=store,
            purpose=_purposes(evidence),
            time=seal_time(now=now),
        )
        seals = tuple(_weaken(seal, now_seal) for seal, now_seal in zip(seals, again, strict=True))
    report = file_report(name, [_join(common, seal) for seal in seals])
    return JudgedReceipt(report, evidence, entry, proof.index if proof is not None else None)


# --- steps


def _check_signers(common: StepRecord, evidence: Evidence, cades: Cades) -> None:
    """(3) The hub alone, or the actor and the hub: no more, no fewer, each known by certificate and unit."""
    parties = {Author.HUB: None, Author.SENDER: evidence.sender, Author.RECIPIENT: evidence.recipient}
    expected = parties[evidence.event.author]
    actors = [info for info in cades.signers if _is_actor(info, evidence)]
    wanted = 1 if evidence.event.author is Author.HUB else 2
    if len(cades.signers) != wanted or len(actors) != 1:
        detail = N_(
            "{event} is signed by {wanted} signers, one of them the actor that it names; here are {found}"
        )
        common.failed(
            "signers",
            "SIG_CONSTRAINTS_FAILURE",
            text(detail, event=evidence.event.wire, wanted=wanted, found=len(cades.signers)),
        )
        return
    try:
        unit: UnitId | None = unit_of(actors[0].certificate)
    except NameMalformed:
        unit = None
    purpose = HUB_EVIDENCE if evidence.event.author is Author.HUB else UNIT_SEAL
    policy = purpose.policy.dotted_string if purpose.policy is not None else ""
    if (
        unit != evidence.actor.unit
        or (expected is not None and unit != expected)
        or evidence.policy != policy
    ):
        detail = N_("{event} must be stated by {expected}; the certificate is that of {unit}")
        common.failed(
            "signers",
            "SIG_CONSTRAINTS_FAILURE",
            text(detail, event=evidence.event.wire, expected=expected or "the hub", unit=unit or "nobody"),
        )
        return
    common.passed("signers", text(N_("those have signed whom {event} asks for"), event=evidence.event.wire))


def _check_commitment(common: StepRecord, receipt: Receipt, evidence: Evidence, extra: Extra) -> Entry | None:
    """(4) The entry re-hashes: nothing that the proof carries is believed before that."""
    try:
        entry = decode_entry(extra.entry)
    except EntryMalformed as error:
        common.failed("commitment", "FORMAT_FAILURE", error.text)
        return None
    actual = commitment(salt=extra.salt, evidence=receipt.evidence, signature=receipt.signature)
    if entry.commit != actual:
        common.failed("commitment", "HASH_FAILURE", text(N_("the ledger entry is about another evidence")))
        return None
    if entry.kind != evidence.event.kind:
        common.failed("commitment", "FORMAT_FAILURE", text(N_("the ledger entry is of another kind")))
        return None
    common.passed("commitment", text(N_("the ledger entry commits to this evidence and these signatures")))
    return entry


def _check_ledger(
    common: StepRecord, proof: TlogProof | None, extra: Extra | None, policy: bytes | Policy | None
) -> VerifiedCheckpoint | None:
    """(5) Inclusion under a checkpoint that meets the policy, with no line that the policy does not know."""
    if proof is None or extra is None:
        return None
    if policy is None:
        common.undecided(
            "ledger-proof", "NO_POE", text(N_("there is no ledger policy to check the proof by"))
        )
        return None
    try:
        verified = check_proof(
            proof, entry=extra.entry, policy=parse_policy(policy) if isinstance(policy, bytes) else policy
        )
        verified.check_no_unknown_lines()
    except ForeignSignature as error:
        common.undecided("ledger-proof", "NO_POE", Text(error.template, error.fields))
        return None
    except LedgerError as error:
        common.failed("ledger-proof", "HASH_FAILURE", Text(error.template, error.fields))
        return None
    head = verified.checkpoint
    detail = N_("entry {index} of {origin}, under the signed checkpoint of {size} entries")
    common.passed("ledger-proof", text(detail, index=proof.index, origin=head.origin, size=head.size))
    return verified


def _check_time(common: StepRecord, evidence: Evidence, entry: Entry) -> None:
    """(6) An actor's claim lies near the hub's clock; what the hub states was stated just before."""
    detail = N_("stated for {claimed}, entered at {entered}")
    fields = {"claimed": format_time(evidence.event_time), "entered": format_time(entry.t)}
    if abs(entry.t - evidence.event_time) > TOLERANCE:
        common.failed("entry-time", "TIMESTAMP_ORDER_FAILURE", text(detail, **fields))
    else:
        common.passed("entry-time", text(detail, **fields))


def _read_lists(common: StepRecord, receipt: Receipt) -> list[RevocationList]:
    lists = []
    for data in receipt.revocation:
        if data.kind != "crl":
            detail = N_("it holds an OCSP response, which is not evaluated yet")
            common.undecided("revocation-data", "TRY_LATER", text(detail))
            continue
        try:
            lists.append(RevocationList.decode(data.body))
        except RevocationListMalformed as error:
            common.failed("revocation-data", "FORMAT_FAILURE", error.text)
    return lists


def _check_lists(
    common: StepRecord, lists: Sequence[RevocationList], authorities: Iterable[x509.Certificate]
) -> None:
    """(7) Every list inside is signed by an authority at hand: one that is not could be anything."""
    for one in lists:
        issuers = [facts for facts in map(facts_of, authorities) if facts.subject == one.issuer]
        if not issuers:
            detail = N_("a revocation list inside is of an authority that is not at hand")
            common.undecided("revocation-data", "NO_CERTIFICATE_CHAIN_FOUND", text(detail))
            return
        if not any(facts.key is not None and one.signed_by(facts.key, name=one.issuer) for facts in issuers):
            detail = N_("a revocation list inside is not signed by an authority of these signers")
            common.failed("revocation-data", "SIG_CRYPTO_FAILURE", text(detail))
            return
    if lists:
        detail = N_("{count} revocation lists inside, each signed by its authority")
        common.passed("revocation-data", text(detail, count=len(lists)))


def _time(
    verified: VerifiedCheckpoint | None, entry: Entry | None, *, now: datetime, at: datetime | None
) -> SealTime:
    """When the signatures are judged: outsiders' word before the hub's, and neither without a proof."""
    if verified is not None and verified.proven_at is not None:
        return seal_time(
            now=now, at=at, proven=ProvenTime(verified.proven_at.astimezone(UTC), TimeSource.COSIGNATURE)
        )
    if verified is not None and entry is not None:
        return seal_time(now=now, at=at, proven=ProvenTime(entry.t, TimeSource.LEDGER))
    return seal_time(now=now, at=at)


def _purposes(evidence: Evidence) -> Purpose | PurposeOf:
    """What each signer must have been issued for: a unit can never pass for the hub (FORMATS §1)."""
    if evidence.event.author is Author.HUB:
        return HUB_EVIDENCE
    return lambda info: _UNIT if _is_actor(info, evidence) else HUB_EVIDENCE


def _is_actor(info: CadesSignerInfo, evidence: Evidence) -> bool:
    return digest_of(encode_certificate(info.certificate)) == evidence.actor.certificate


def _weaken(seal: SealReport, now_seal: SealReport) -> SealReport:
    """The verdict where only the ledger's own time speaks (FORMATS §5)."""
    if seal.verdict is Verdict.NOT_VALID:
        return seal
    if now_seal.verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS):
        detail = N_("only the ledger itself dates it; the certificates are good then and now")
        step = Step("time-proof", Result.PASSED, text(detail))
        verdict = worst([seal.verdict, Verdict.VALID_WITH_REMARKS], default=seal.verdict)
        return replace(seal, verdict=verdict, steps=(*seal.steps, step))
    detail = N_("only the ledger itself dates it, and the certificates do not hold now")
    step = Step("time-proof", Result.INDETERMINATE, text(detail))
    return replace(
        seal,
        verdict=Verdict.UNDECIDED,
        indication=Indication.INDETERMINATE,
        sub_indication=now_seal.sub_indication or "NO_POE",
        steps=(*seal.steps, step),
    )


def _join(common: StepRecord, seal: SealReport) -> SealReport:
    """A signature's report together with what holds for the whole file; the worse decides."""
    steps = (*common.steps, *seal.steps)
    verdict, indication, sub_indication = common.outcome()
    if worst([verdict, seal.verdict], default=verdict) is seal.verdict:
        return replace(seal, steps=steps)
    return replace(seal, verdict=verdict, indication=indication, sub_indication=sub_indication, steps=steps)


def _unreadable(name: str, common: StepRecord) -> FileReport:
    verdict, indication, sub_indication = common.outcome()
    seal = SealReport(
        format=FORMAT,
        verdict=verdict,
        indication=indication,
        sub_indication=sub_indication,
        signer="",
        time=None,
        time_source=None,
        steps=tuple(common.steps),
    )
    finding = Finding("receipt-malformed", Severity.ERROR, common.steps[-1].detail)
    return file_report(name, [seal], [finding])


def digests_of(content: bytes) -> DigestOf:
    """The digests of a content at hand, by the name of the hash."""
    return lambda hash_name: hashlib.new(hash_name, content).digest()
