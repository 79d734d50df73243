"""Certification paths: from an end entity to a trust anchor, for a purpose, at an instant.

The path is found by ``cryptography.x509.verification``, which checks signatures, periods,
path lengths and name constraints and has a budget; everything it does not know
is judged here: purposes, policies, algorithms, odd extensions, and revocation,
which is asked of every certificate but the anchor. Nothing is fetched, and nothing
that we do not know becomes a yes. RFC 5280 §6, EN 319 102-1 §5.2.6.

One limit comes from that verifier: an authority whose key is Ed25519 is refused
(:class:`AlgorithmRefused`); end entities may have such keys. Ours never certify with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.x509 import verification

from pki.errors import (
    AlgorithmRefused,
    CertificateExpired,
    CertificateNotYetValid,
    PathError,
    PathMalformed,
    PathNotFound,
    PurposeWrong,
)
from pki.facts import Facts, facts_of
from pki.judge import check_authority, check_end_entity, check_policies, check_soundness, find_revocation
from pki.purpose import (
    HUB_EVIDENCE,
    SEAL_ANY,
    TIME_STAMP,
    TLS_CLIENT,
    TLS_SERVER,
    UNIT_SEAL,
    AnchorKind,
    Purpose,
)
from pki.revocation import RevocationList
from pki.trust import Anchors, TrustStore

OTHERS_LIMIT = 8
SAME_SUBJECT_LIMIT = 2
DEPTH_LIMIT = 8
_ATTEMPTS = 8
_LINK_BUDGET = 32


@dataclass(frozen=True, slots=True)
class ValidatedPath:
    """A path that held for this purpose at this instant, and what it rests on."""

    certificates: tuple[x509.Certificate, ...]
    """End entity first, anchor last; the end entity alone where it is pinned."""
    purpose: Purpose
    at: datetime
    revocation: tuple[RevocationList, ...]
    """Every list that was believed on the way."""
    expires: datetime
    """Until then the same question has the same answer: the earliest end of a certificate or list."""


def check_path(
    certificate: x509.Certificate,
    *,
    others: Sequence[x509.Certificate],
    trust: TrustStore,
    purpose: Purpose,
    at: datetime,
) -> ValidatedPath:
    """The path from a certificate to an anchor, judged at ``at``.

    ``others`` is what the document brought along; it helps to find a path and is
    never trusted.

    (1) Bounds: at most 8 others, at most 2 of one subject (trap T9: what is unbounded
    here costs seconds a path).
    (2) A certificate that is itself an anchor and no authority is pinned: only its
    period is looked at.
    (3) A path by the verifier: signatures, periods, path length, name constraints.
    (4) Every certificate, the anchor too: accepted key and signature algorithm, no
    critical extension that is not followed.
    (5) Every authority may certify, for this purpose; the end entity is made for the
    purpose and may not certify (trap T8); policies hold along the path.
    (6) Every certificate but the anchor is answered for by a revocation list, and
    none says revoked at or before ``at`` (trap T1).

    If a path fails, other paths to an anchor are tried, at most 8 in all.

    Raises:
        PathError: one of its kinds; the first path's failure, where several were tried.
    """
    if at.tzinfo is None:
        raise ValueError("an instant has a time zone")
    # (1)
    pool = _bounded(others)
    anchors = trust.anchors_for(purpose.anchors)
    # (2)
    if certificate in anchors and not facts_of(certificate).authority:
        pinned = facts_of(certificate)
        _check_period(pinned, at)
        return ValidatedPath((certificate,), purpose, at, (), pinned.ends)
    failure: PathError | None = None
    exclusions: list[frozenset[x509.Certificate]] = [frozenset()]
    for without in _first(exclusions, _ATTEMPTS):
        # (3)
        found = _build(certificate, pool, trust, anchors, at, without)
        if isinstance(found, str):
            if not without:
                raise _diagnose(certificate, pool, trust, anchors, purpose, at, found)
            continue
        try:
            return _judge(found, trust, purpose, at)
        except PathError as error:
            failure = failure or error
            # The same authority may be certified twice, once revoked or not for this purpose:
            # try again without each certificate above the end entity.
            exclusions.extend(without | {one} for one in found[1:])
    raise failure or PathMalformed(detail="no path was left to try")


class PathCache:
    """:func:`check_path` remembered, for whoever asks about the same certificates all day.

    A path is remembered for the very same certificate, others and purpose, from the
    instant it was judged at until it expires; failures are not remembered. Bounded: the
    oldest goes first. Give it a new trust store with :meth:`replace` as soon as a
    revocation list arrives. For one thread, or one event loop.
    """

    def __init__(self, trust: TrustStore, *, size: int = 16384) -> None:
        self._trust = trust
        self._size = size
        self._paths: dict[
            tuple[x509.Certificate, str], tuple[tuple[x509.Certificate, ...], ValidatedPath]
        ] = {}

    @property
    def trust(self) -> TrustStore:
        """What it judges by."""
        return self._trust

    def replace(self, trust: TrustStore) -> None:
        """Judge by this store from now on; nothing that was remembered is used again."""
        self._trust = trust
        self._paths.clear()

    def check(
        self,
        certificate: x509.Certificate,
        others: Sequence[x509.Certificate],
        purpose: Purpose,
        at: datetime,
    ) -> ValidatedPath:
        """As :func:`check_path`; the path's own ``at`` may be an earlier one.

        Raises:
            PathError: as there.
        """
        key = (certificate, purpose.name)
        known = self._paths.get(key)
        brought = tuple(others)
        if known is not None:
            before, path = known
            if path.at <= at < path.expires and before == brought and path.purpose is purpose:
                return path
        path = check_path(certificate, others=others, trust=self._trust, purpose=purpose, at=at)
        self._paths.pop(key, None)
        self._paths[key] = (brought, path)
        if len(self._paths) > self._size:
            # A dict keeps the order of insertion. Moving an entry at every hit would cost more
            # than the hit: hashing a certificate reads all of it.
            del self._paths[next(iter(self._paths))]
        return path


# --- finding ----------------------------------------------------------------------------------


def _bounded(others: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    if len(others) > OTHERS_LIMIT:
        raise PathMalformed(detail=f"more than {OTHERS_LIMIT} certificates")
    pool = tuple(dict.fromkeys(others))
    subjects = Counter(facts_of(other).subject for other in pool)
    if any(count > SAME_SUBJECT_LIMIT for count in subjects.values()):
        raise PathMalformed(detail=f"more than {SAME_SUBJECT_LIMIT} certificates of one subject")
    return pool


def _first(queue: list[frozenset[x509.Certificate]], limit: int) -> Iterator[frozenset[x509.Certificate]]:
    """The first ``limit`` elements of a list that grows meanwhile."""
    for index in range(limit):
        if index < len(queue):
            yield queue[index]


_PERMISSIVE = verification.ExtensionPolicy.permit_all()
for _followed in (x509.CertificatePolicies, x509.PolicyConstraints, x509.InhibitAnyPolicy):
    # The verifier does not know these; permitted here because (5) follows them.
    _PERMISSIVE = _PERMISSIVE.may_be_present(_followed, verification.Criticality.AGNOSTIC, None)
_AUTHORITY = _PERMISSIVE.require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None)


def _build(
    certificate: x509.Certificate,
    pool: tuple[x509.Certificate, ...],
    trust: TrustStore,
    anchors: Anchors,
    at: datetime,
    without: frozenset[x509.Certificate],
) -> tuple[x509.Certificate, ...] | str:
    """A path by the verifier, or the verifier's reason that there is none."""
    if without & set(anchors.certificates):
        anchors = Anchors(one for one in anchors.certificates if one not in without)
    if not anchors:
        return "there is no trust anchor for this purpose"
    helpers = [one for one in _reachable(certificate, pool, trust) if one not in without]
    policy = (
        verification.PolicyBuilder()
        .store(anchors.store)
        .time(at.astimezone(UTC).replace(tzinfo=None, microsecond=0))
        .max_chain_depth(DEPTH_LIMIT)
        .extension_policies(ca_policy=_AUTHORITY, ee_policy=_PERMISSIVE)
    )
    try:
        return tuple(policy.build_client_verifier().verify(certificate, helpers).chain)
    except verification.VerificationError as error:
        return str(error)
    except Exception as error:
        # T12: an unforeseen refusal of the library is a refusal.
        return f"{type(error).__name__}: {error}"


def _reachable(
    certificate: x509.Certificate, pool: tuple[x509.Certificate, ...], trust: TrustStore
) -> list[x509.Certificate]:
    """The certificates at hand whose names lead upwards from this one."""
    found: dict[x509.Certificate, None] = {}
    wanted = [facts_of(certificate).issuer]
    seen = set(wanted)
    while wanted:
        subject = wanted.pop()
        for candidate in (*(one for one in pool if facts_of(one).subject == subject), *trust.named(subject)):
            found[candidate] = None
            issuer = facts_of(candidate).issuer
            if issuer not in seen:
                seen.add(issuer)
                wanted.append(issuer)
    return list(found)


# --- judging ----------------------------------------------------------------------------------


def _judge(
    chain: tuple[x509.Certificate, ...], trust: TrustStore, purpose: Purpose, at: datetime
) -> ValidatedPath:
    facts = tuple(facts_of(one) for one in chain)
    # (4)
    for index, one in enumerate(facts):
        check_soundness(one, purpose, anchor=index == len(facts) - 1)
        _check_period(one, at)
    # (5)
    for below, one in enumerate(facts[1:]):
        check_authority(one, purpose, below=facts[1 : below + 1], anchor=below == len(facts) - 2)
    check_end_entity(facts[0], purpose)
    check_policies(facts[:-1], purpose)
    # (6) From the top: a list is only believed under an authority that is good itself.
    lists: list[RevocationList] = []
    expires = min(one.ends for one in facts)
    for subject, issuer in reversed(tuple(pairwise(facts))):
        answer = find_revocation(subject, issuer, trust.revocations, at)
        lists += answer.lists
        expires = min(expires, answer.holds_until)
    return ValidatedPath(chain, purpose, at, tuple(dict.fromkeys(lists)), expires)


def _check_period(facts: Facts, at: datetime) -> None:
    if at < facts.begins:
        raise CertificateNotYetValid(subject=facts.name, bound=facts.begins, at=at)
    if at > facts.ends:
        raise CertificateExpired(subject=facts.name, bound=facts.ends, at=at)


def _diagnose(
    certificate: x509.Certificate,
    pool: tuple[x509.Certificate, ...],
    trust: TrustStore,
    anchors: Anchors,
    purpose: Purpose,
    at: datetime,
    reason: str,
) -> PathError:
    """Why the verifier found no path, as an error of ours. Never a path."""
    chain, obstacle = _link(certificate, pool, trust, anchors)
    try:
        if obstacle is None:
            _judge(chain, trust, purpose, at)
        else:
            for one in chain:
                check_soundness(facts_of(one), purpose, anchor=False)
    except PathError as error:
        return error
    name = facts_of(chain[-1]).name
    if obstacle is not None:
        return PathNotFound(subject=name, detail=obstacle)
    # Every rule of ours is kept, and still the verifier says no: name constraints, mostly.
    subject = facts_of(certificate).name
    if "constraint" in reason:
        return PurposeWrong(subject=subject, purpose=purpose.name, detail=reason)
    if "algorithm" in reason.lower():
        return AlgorithmRefused(subject=subject, detail=reason)
    return PathMalformed(detail=reason)


def _link(
    certificate: x509.Certificate,
    pool: tuple[x509.Certificate, ...],
    trust: TrustStore,
    anchors: Anchors,
) -> tuple[tuple[x509.Certificate, ...], str | None]:
    """The longest chain by name and signature alone, and what kept it from an anchor, if anything did.

    Looks at 32 links at most.
    """
    helpers = (*anchors.certificates, *_reachable(certificate, pool, trust))
    best: tuple[x509.Certificate, ...] = (certificate,)
    obstacle = "its issuer's certificate is not at hand"
    budget = _LINK_BUDGET
    stack: list[tuple[x509.Certificate, ...]] = [(certificate,)]
    while stack:
        chain = stack.pop()
        if len(chain) > 1 and chain[-1] in anchors:
            return chain, None
        for candidate in reversed(helpers):
            if candidate in chain or facts_of(candidate).subject != facts_of(chain[-1]).issuer:
                continue
            if budget == 0:
                return best, "too many certificates of one name"
            budget -= 1
            if _signed_by(chain[-1], candidate):
                stack.append((*chain, candidate))
                if len(chain) + 1 > len(best):
                    best, obstacle = (*chain, candidate), "its issuer's certificate is not at hand"
            elif chain == best:
                obstacle = "the certificate of that name at hand did not sign it"
    if len(best) > 1 and facts_of(best[-1]).self_issued:
        obstacle = "it ends at an authority that is not trusted for this purpose"
    return best, obstacle


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:
        # InvalidSignature, and whatever a foreign key or algorithm makes the library raise.
        return False
    return True


__all__ = [
    "HUB_EVIDENCE",
    "SEAL_ANY",
    "TIME_STAMP",
    "TLS_CLIENT",
    "TLS_SERVER",
    "UNIT_SEAL",
    "AnchorKind",
    "Anchors",
    "PathCache",
    "Purpose",
    "TrustStore",
    "ValidatedPath",
    "check_path",
]
