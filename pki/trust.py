"""Whom we trust: anchors by purpose, certificates that help to reach them, revocation lists.

A value, built once and shared; what a document brings along is added with
:meth:`TrustStore.with_extra`, which leaves the original as it was. Anchors are never
taken from a document. RFC 5280 §6.1.1 (d).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import verification

from pki.purpose import AnchorKind
from pki.revocation import RevocationList, Revocations


class Anchors:
    """The anchors that serve one purpose."""

    def __init__(self, certificates: Iterable[x509.Certificate]) -> None:
        self.certificates = tuple(dict.fromkeys(certificates))
        self._set = frozenset(self.certificates)

    def __contains__(self, certificate: x509.Certificate) -> bool:
        return certificate in self._set

    def __bool__(self) -> bool:
        return bool(self.certificates)

    @cached_property
    def store(self) -> verification.Store:
        """The same, for the path verifier; there must be at least one."""
        return verification.Store(list(self.certificates))


class TrustStore:
    """Anchors, intermediates and revocation lists; immutable. Built by :meth:`of`."""

    def __init__(
        self,
        anchors: dict[AnchorKind | None, Anchors],
        intermediates: dict[bytes, tuple[x509.Certificate, ...]],
        revocations: Revocations,
    ) -> None:
        self._anchors = anchors
        self._intermediates = intermediates
        self.revocations = revocations

    @classmethod
    def of(
        cls,
        anchors: Iterable[x509.Certificate],
        intermediates: Iterable[x509.Certificate] = (),
        crls: Iterable[RevocationList] = (),
        *,
        evidence: Iterable[x509.Certificate] = (),
        seals: Iterable[x509.Certificate] = (),
        time: Iterable[x509.Certificate] = (),
    ) -> TrustStore:
        """A store whose ``anchors`` serve every purpose, and the named ones theirs alone.

        Several certificates of one authority (renewed, cross-certified) may stand side by side.
        """
        general = tuple(anchors)
        by_kind: dict[AnchorKind | None, Anchors] = {
            None: Anchors(general),
            "evidence": Anchors((*general, *evidence)),
            "seals": Anchors((*general, *seals)),
            "time": Anchors((*general, *time)),
        }
        return cls(by_kind, _by_subject({}, intermediates), Revocations.of(crls))

    def anchors_for(self, kind: AnchorKind | None) -> Anchors:
        """The general anchors, and those kept for this kind."""
        return self._anchors[kind]

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """Certificates of authorities that are not trusted, only at hand."""
        return tuple(one for several in self._intermediates.values() for one in several)

    def named(self, subject: bytes) -> tuple[x509.Certificate, ...]:
        """The intermediates with this subject (DER)."""
        return self._intermediates.get(subject, ())

    def with_extra(
        self,
        *,
        crls: Iterable[RevocationList] = (),
        intermediates: Iterable[x509.Certificate] = (),
    ) -> TrustStore:
        """A store that knows these besides; anchors cannot be added. Cheap."""
        return TrustStore(
            self._anchors, _by_subject(self._intermediates, intermediates), self.revocations.adding(crls)
        )

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hash of everything in it, whatever the order; names it in reports."""
        lines = [b"intermediate " + one.fingerprint(hashes.SHA256()) for one in self.intermediates]
        lines += [b"crl " + hashlib.sha256(one.der).digest() for one in self.revocations.all()]
        for kind, anchors in self._anchors.items():
            label = (kind or "any").encode()
            lines += [
                b"anchor " + label + b" " + one.fingerprint(hashes.SHA256()) for one in anchors.certificates
            ]
        return "sha256:" + hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()


def _by_subject(
    known: dict[bytes, tuple[x509.Certificate, ...]], more: Iterable[x509.Certificate]
) -> dict[bytes, tuple[x509.Certificate, ...]]:
    grown = dict(known)
    for certificate in more:
        subject = certificate.subject.public_bytes()
        same = grown.get(subject, ())
        if certificate not in same:
            grown[subject] = (*same, certificate)
    return grown
