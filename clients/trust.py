"""Keeping a unit's revocation lists current, so that seals can be decided.

The lists come from the hub's public side and need no trust in it: each is signed by
an authority that the trust folder already knows, and an older one never takes the
place of a newer one. A hub can withhold a list, not forge one; what is withheld ends
in *undecided*.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clients.session import Session
from clients.wire import Operation, Request, call
from pki.errors import RevocationListMalformed
from pki.facts import facts_of
from pki.revocation import RevocationList
from pki.storage.files import write_durably
from pki.storage.trust import list_name
from pki.trust import TrustStore

LISTS = ("root", "seals", "evidence", "tls", "time")


@dataclass(frozen=True, slots=True)
class RefreshedList:
    """What became of one revocation list."""

    name: str
    state: str
    """``new``, ``same``, ``absent`` (the hub has none), ``refused`` (malformed, older, unsigned)"""
    next_update: datetime | None


def is_stale(trust: TrustStore, now: datetime) -> bool:
    """Whether there is no list, or the newest of some issuer has run out."""
    latest: dict[tuple[bytes, frozenset[str] | None], datetime] = {}
    for one in trust.revocations.all():
        scope = (one.issuer, one.distribution_points)
        latest[scope] = max(one.next_update, latest.get(scope, one.next_update))
    return not latest or any(end <= now for end in latest.values())


def refresh(session: Session) -> Operation[tuple[RefreshedList, ...]]:
    """Fetch the hub's revocation lists into ``trust/crls``; see the module for what is taken."""
    results = []
    for name in LISTS:
        response = yield from call(
            Request("GET", f"{session.home.config.public_url.rstrip('/')}/v1/crls/{name}.crl"),
            retries=session.retries,
            jitter=session.jitter,
            accept=frozenset({200, 404}),
        )
        if response.status == 404:
            results.append(RefreshedList(name, "absent", None))
        else:
            results.append(_take(session, name, response.body))
    session.home.forget_trust()
    return tuple(results)


def _take(session: Session, name: str, data: bytes) -> RefreshedList:
    store = session.home.trust.store
    try:
        new = RevocationList.decode(data)
    except RevocationListMalformed:
        return RefreshedList(name, "refused", None)
    if not _signed_by_known(store, new):
        return RefreshedList(name, "refused", None)
    known = [
        one
        for one in store.revocations.of_issuer(new.issuer)
        if one.distribution_points == new.distribution_points
    ]
    best = max(known, key=lambda one: one.number, default=None)
    if best is not None and (best.number, best.this_update) >= (new.number, new.this_update):
        state = "same" if best == new else "refused"
        return RefreshedList(name, state, best.next_update)
    # The same name for every newer one, so that it takes the place of the older.
    write_durably(session.home.path / "trust" / "crls" / f"{list_name(new)}.crl", data)
    return RefreshedList(name, "new", new.next_update)


def _signed_by_known(store: TrustStore, new: RevocationList) -> bool:
    known = map(facts_of, (*store.anchors_for(None).certificates, *store.intermediates))
    return any(
        one.key is not None and one.subject == new.issuer and new.signed_by(one.key, name=one.subject)
        for one in known
    )
