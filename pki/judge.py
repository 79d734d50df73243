"""The rules of a path that the verifier does not know, each over facts that were read before.

Every ``check_*`` raises or returns nothing; :func:`find_revocation` returns the
lists it believed. The order of asking is ``path``'s. RFC 5280 §4.2, §6.1, §6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pki.errors import AlgorithmRefused, CertificateRevoked, PurposeWrong, RevocationUnknown
from pki.facts import ANY_POLICY, Facts
from pki.purpose import Purpose
from pki.revocation import RevocationList, Revocations

_ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def check_soundness(facts: Facts, purpose: Purpose, *, anchor: bool) -> None:
    """Accepted algorithms, and no extension against RFC 5280.

    The anchor's own signature is not looked at, whatever its algorithm: it is trusted
    for where it came from, not for having signed itself.
    """
    if facts.key_refusal is not None:
        raise AlgorithmRefused(subject=facts.name, detail=facts.key_refusal)
    if not anchor and not facts.signature_accepted:
        raise AlgorithmRefused(
            subject=facts.name, detail=f"it is signed with algorithm {facts.signature_algorithm}"
        )
    if facts.malformation is not None:
        raise PurposeWrong(subject=facts.name, purpose=purpose.name, detail=facts.malformation)


def check_authority(facts: Facts, purpose: Purpose, *, below: Sequence[Facts], anchor: bool) -> None:
    """It may certify, so many authorities below it, for this purpose.

    An anchor without key usage passes (old roots have none); what its extended key
    usage says does not bind the reader who chose to trust it.
    """
    if not facts.authority:
        raise _wrong(facts, purpose, "it certifies and is no authority (basic constraints)")
    if facts.key_usage is None:
        if not anchor:
            raise _wrong(facts, purpose, "an authority without key usage")
    elif "key_cert_sign" not in facts.key_usage:
        raise _wrong(facts, purpose, "it certifies without keyCertSign")
    if facts.path_length is not None:
        counted = sum(1 for one in below if not one.self_issued)
        if counted > facts.path_length:
            raise _wrong(facts, purpose, "more authorities below it than it may have (path length)")
    usages = facts.extended_key_usage
    if (
        not anchor
        and usages is not None
        and purpose.extended_key_usage is not None
        and not usages & {purpose.extended_key_usage, _ANY_USAGE}
    ):
        raise _wrong(facts, purpose, "the authority is bound to another purpose (extended key usage)")


def check_end_entity(facts: Facts, purpose: Purpose) -> None:
    """It is made for the purpose, and for nothing that must not stand beside it."""
    if facts.authority:
        raise _wrong(facts, purpose, "it is an authority (basic constraints)")
    if facts.key_usage is None:
        raise _wrong(facts, purpose, "it has no key usage")
    if facts.key_usage & {"key_cert_sign", "crl_sign"}:
        raise _wrong(facts, purpose, "an end entity with keyCertSign or cRLSign")
    if not facts.key_usage & purpose.key_usage:
        wanted = " or ".join(sorted(purpose.key_usage))
        raise _wrong(facts, purpose, f"its key usage is not {wanted}")
    usages = facts.extended_key_usage
    if purpose.extended_key_usage is None:
        return
    if usages is None:
        if not purpose.usage_may_be_absent:
            raise _wrong(facts, purpose, "it has no extended key usage")
        return
    # anyExtendedKeyUsage is not taken for ours: it says nothing about sealing.
    if purpose.extended_key_usage not in usages:
        raise _wrong(facts, purpose, "its extended key usage is another")
    if usages & (purpose.forbidden_usages | {_ANY_USAGE}):
        raise _wrong(facts, purpose, "its extended key usage allows other things beside it")
    if purpose.usage_alone and (len(usages) != 1 or not facts.extended_key_usage_critical):
        raise _wrong(facts, purpose, "its extended key usage is not critical, or not the only one")


def check_policies(facts: Sequence[Facts], purpose: Purpose) -> None:
    """The policy that the purpose asks for is valid along the path (end entity first, no anchor).

    RFC 5280 §6.1 without policy mapping (initial-policy-mapping-inhibit), where the
    tree is a set. The end entity has to name the policy itself: anyPolicy there is
    no statement.
    """
    total = len(facts)
    explicit, inhibit = total + 1, total + 1
    valid: frozenset[ObjectIdentifier] = frozenset({ANY_POLICY})
    for depth, one in enumerate(reversed(facts), start=1):
        last = depth == total
        named = one.policies or frozenset()
        anything = ANY_POLICY in named and (inhibit > 0 or (not last and one.self_issued))
        if not (ANY_POLICY in valid and anything):
            specific = named - {ANY_POLICY}
            valid = (specific if ANY_POLICY in valid else valid & specific) | (
                valid - {ANY_POLICY} if anything else frozenset()
            )
        if not one.self_issued or last:
            explicit, inhibit = max(explicit - 1, 0), max(inhibit - 1, 0)
        if one.require_explicit_policy is not None and not (last and one.require_explicit_policy > 0):
            explicit = min(explicit, one.require_explicit_policy)
        if one.inhibit_any_policy is not None:
            inhibit = min(inhibit, one.inhibit_any_policy)
        if explicit == 0 and not valid:
            raise _wrong(one, purpose, "no certificate policy is valid along the path, and one is required")
    if purpose.policy is None:
        return
    end_entity = facts[0]
    if purpose.policy not in (end_entity.policies or frozenset()):
        raise _wrong(end_entity, purpose, f"it does not bear the policy {purpose.policy.dotted_string}")
    if not valid & {purpose.policy, ANY_POLICY}:
        raise _wrong(
            end_entity, purpose, f"its authorities do not bear the policy {purpose.policy.dotted_string}"
        )


def _wrong(facts: Facts, purpose: Purpose, detail: str) -> PurposeWrong:
    return PurposeWrong(subject=facts.name, purpose=purpose.name, detail=detail)


@dataclass(frozen=True, slots=True)
class NotRevoked:
    """The lists that answered for a certificate, and until when their answer holds."""

    lists: tuple[RevocationList, ...]
    holds_until: datetime


def find_revocation(facts: Facts, issuer: Facts, revocations: Revocations, at: datetime) -> NotRevoked:
    """The lists that say that the certificate was not revoked at ``at``.

    A list counts if (a) it names the certificate's issuer and is signed by that very key,
    whose holder may sign lists, (b) its scope covers the certificate, and (c) ``at`` lies
    within thisUpdate and nextUpdate, or the list is later than ``at`` and not
    later than the certificate's end: authorities may drop entries after that. Every list that counts is
    asked; one that says revoked at or before ``at`` is enough. A revocation after ``at`` does
    not undo it: judged is the instant, not the present. certificateHold counts as revoked.

    Whether the certificate has a distribution point plays no part (trap T1).

    Raises:
        CertificateRevoked: at or before ``at``.
        RevocationUnknown: no list counts.
    """
    candidates = revocations.of_issuer(facts.issuer)
    if not candidates:
        raise RevocationUnknown(subject=facts.name, detail=f"there is no list of {issuer.name}")
    obstacle = "they are for other certificates"
    believed: list[RevocationList] = []
    holds_until = datetime.max.replace(tzinfo=at.tzinfo)
    for one in candidates:
        # (b) and (c) before (a), because (a) costs a signature.
        if not _covers(one, facts):
            continue
        if not (one.this_update <= at <= one.next_update or at < one.this_update <= facts.ends):
            obstacle = f"the list at hand holds from {one.this_update} to {one.next_update}"
            continue
        if issuer.key_usage is not None and "crl_sign" not in issuer.key_usage:
            obstacle = f"{issuer.name} may not sign lists (cRLSign)"
            continue
        if issuer.key is None or not one.signed_by(issuer.key, name=issuer.subject):
            obstacle = f"it is not signed by the key of {issuer.name}"
            continue
        believed.append(one)
        holds_until = min(holds_until, one.next_update)
        entry = one.entries.get(facts.certificate.serial_number)
        if entry is not None:
            if entry.at <= at:
                raise CertificateRevoked(subject=facts.name, revoked_at=entry.at, reason=entry.reason.value)
            holds_until = min(holds_until, entry.at)
    if not believed:
        raise RevocationUnknown(subject=facts.name, detail=obstacle)
    return NotRevoked(tuple(believed), holds_until)


def _covers(one: RevocationList, facts: Facts) -> bool:
    if (one.only_users and facts.authority) or (one.only_authorities and not facts.authority):
        return False
    # A partitioned list answers only for certificates that name its address: for any other
    # its silence means nothing.
    return one.distribution_points is None or bool(one.distribution_points & facts.distribution_points)
