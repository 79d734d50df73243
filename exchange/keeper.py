"""The hub's trust, kept current from its own authority; paths are remembered until it changes.

Port :class:`exchange.journey.ports.Trust`. The authority signs its lists anew on
schedule and at every revocation; whoever asks here sees a new list within a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from pki.path import PathCache, ValidatedPath
from pki.purpose import Purpose
from pki.revocation import RevocationList
from pki.storage.authority import Authority
from pki.trust import TrustStore

AUTHORITIES = ("seals", "evidence", "tls", "time")


class TrustKeeper:
    """The present trust store and the paths that were found in it."""

    def __init__(self, authority: Authority, *, now: datetime) -> None:
        self._authority = authority
        self._lists: tuple[RevocationList, ...] = authority.crls(now)
        self._paths = PathCache(self._build())

    @property
    def store(self) -> TrustStore:
        """What is trusted now."""
        return self._paths.trust

    @property
    def lists(self) -> tuple[RevocationList, ...]:
        """The current revocation lists, the root's first."""
        return self._lists

    def check(
        self,
        certificate: x509.Certificate,
        *,
        others: Sequence[x509.Certificate],
        purpose: Purpose,
        at: datetime,
    ) -> ValidatedPath:
        """As :func:`pki.path.check_path` over the present store."""
        return self._paths.check(certificate, others, purpose, at)

    def fetch(self, now: datetime) -> tuple[RevocationList, ...] | None:
        """The authority's lists if they are newer than ours. Blocks; changes nothing, so a thread may call it."""
        lists = self._authority.crls(now)
        return lists if lists != self._lists else None

    def adopt(self, lists: tuple[RevocationList, ...]) -> None:
        """Judge by these lists from now on. For the event loop's thread."""
        self._lists = lists
        self._paths.replace(self._build())

    def _build(self) -> TrustStore:
        return TrustStore.of(
            [self._authority.root], [self._authority.issuing(name) for name in AUTHORITIES], self._lists
        )
