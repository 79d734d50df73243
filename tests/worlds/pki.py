"""A whole PKI in memory, described in a few lines.

    world = PkiWorld()
    unit = world.unit("甲市人民政府")
    unit.seal.signer, unit.seal.certificate, unit.seal.others
    world.revoke(unit.seal.certificate, at=NOW + timedelta(days=1))
    check_path(unit.seal.certificate, others=unit.seal.others, trust=world.trust(), purpose=UNIT_SEAL, at=NOW)

Made with the package's own ``prepare`` and ``issue``; broken certificates are in
``tests.pki.broken_certificates``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from cryptography import x509

from pki.issue import issue, new_serial, prepare
from pki.keys import Algorithm, PublicKey, SoftwareSigner
from pki.names import UnitId, check_character, parse_unit_id, unit_subject
from pki.path import TrustStore
from pki.profile import (
    HUB_EVIDENCE,
    ISSUING_EVIDENCE,
    ISSUING_SEALS,
    ISSUING_TIME,
    ISSUING_TLS,
    ROOT,
    TIME_STAMP,
    TLS_CLIENT,
    TLS_SERVER,
    UNIT_SEAL,
    Profile,
)
from pki.revocation import RevocationList, RevocationReason, Revoked, build_crl

NOW = datetime(2026, 11, 21, 20, 0, 0, tzinfo=UTC)
"""The instant that tests live in unless they say otherwise."""

LIST_PERIOD = timedelta(days=7)


def a_unit_id(number: int) -> UnitId:
    """The unit with this number: a well-formed code in district 110000."""
    first = f"11110000{number:09d}"
    return parse_unit_id(first + check_character(first))


@dataclass
class Certifier:
    """An authority with its key and what it has revoked."""

    certificate: x509.Certificate
    signer: SoftwareSigner
    url: str
    revoked: list[Revoked] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def revocation_list(self, at: datetime, period: timedelta = LIST_PERIOD) -> RevocationList:
        """Its list as of ``at``, valid for ``period``."""
        return build_crl(
            self.certificate,
            self.signer,
            entries=[entry for entry in self.revoked if entry.at <= at],
            number=next(self.numbers),
            this_update=at,
            next_update=at + period,
        )


@dataclass(frozen=True)
class Credential:
    """A key with its certificate, and the path's other certificates without the anchor."""

    signer: SoftwareSigner
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What travels in a CMS: the certificate and the others, without the anchor."""
        return (self.certificate, *self.others)


@dataclass(frozen=True)
class Member:
    """A unit, or the hub: what it signs with and what it connects with.

    For the hub ``seal`` is its evidence seal and ``tls`` its server's.
    """

    unit: UnitId
    name: str
    seal: Credential
    tls: Credential


class PkiWorld:
    """Root, four issuing authorities, and whoever was certified; keys are P-256 unless told otherwise."""

    def __init__(
        self,
        *,
        now: datetime = NOW,
        algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256,
        permitted_domains: Sequence[str] = (),
    ) -> None:
        self.now = now
        self.algorithm = algorithm
        self.begins = now - timedelta(days=30)
        self._unit_numbers = count(1)
        self.owner = a_unit_id(0)
        signer = SoftwareSigner.generate(algorithm)
        self.root = Certifier(
            self.certify(ROOT, signer.public_key, by=None, name="演示根", signer=signer),
            signer,
            "http://crl.example.gov/root.crl",
        )
        self.seals = self._issuing(ISSUING_SEALS, "seals")
        self.evidence = self._issuing(ISSUING_EVIDENCE, "evidence")
        self.tls = self._issuing(ISSUING_TLS, "tls", permitted_domains)
        self.time = self._issuing(ISSUING_TIME, "time")

    @property
    def certifiers(self) -> tuple[Certifier, ...]:
        """Root and issuing authorities."""
        return (self.root, self.seals, self.evidence, self.tls, self.time)

    def unit(
        self,
        name: str | None = None,
        *,
        algorithm: Algorithm | None = None,
        unit: UnitId | None = None,
        begins: datetime | None = None,
        ends: datetime | None = None,
    ) -> Member:
        """A unit with a seal and a TLS key, both certified."""
        number = next(self._unit_numbers)
        unit = unit or a_unit_id(number)
        name = name or f"第{number}单位"
        return Member(
            unit,
            name,
            self.credential(UNIT_SEAL, self.seals, unit, name, algorithm=algorithm, begins=begins, ends=ends),
            self.credential(TLS_CLIENT, self.tls, unit, name, algorithm=algorithm, begins=begins, ends=ends),
        )

    def hub(
        self,
        name: str = "公文交换平台",
        *,
        server_names: Sequence[str] = ("localhost", "127.0.0.1"),
        algorithm: Algorithm | None = None,
    ) -> Member:
        """A hub with its evidence seal and its server's TLS key."""
        unit = a_unit_id(999_000_000 + next(self._unit_numbers))
        return Member(
            unit,
            name,
            self.credential(HUB_EVIDENCE, self.evidence, unit, name, algorithm=algorithm),
            self.credential(TLS_SERVER, self.tls, unit, name, algorithm=algorithm, server_names=server_names),
        )

    def time_stamper(self, name: str = "时间戳服务") -> Credential:
        """A time-stamping key with its certificate."""
        return self.credential(TIME_STAMP, self.time, a_unit_id(998_000_000), name)

    def credential(
        self,
        profile: Profile,
        by: Certifier,
        unit: UnitId,
        name: str,
        *,
        algorithm: Algorithm | None = None,
        begins: datetime | None = None,
        ends: datetime | None = None,
        server_names: Sequence[str] = (),
    ) -> Credential:
        """A fresh key, certified by this authority under this profile."""
        signer = SoftwareSigner.generate(algorithm or self.algorithm)
        certificate = self.certify(
            profile,
            signer.public_key,
            by=by,
            unit=unit,
            name=name,
            begins=begins,
            ends=ends,
            server_names=server_names,
        )
        return Credential(signer, certificate, (by.certificate,))

    def certify(
        self,
        profile: Profile,
        key: PublicKey,
        *,
        by: Certifier | None,
        name: str,
        unit: UnitId | None = None,
        signer: SoftwareSigner | None = None,
        begins: datetime | None = None,
        ends: datetime | None = None,
        server_names: Sequence[str] = (),
        permitted_domains: Sequence[str] = (),
    ) -> x509.Certificate:
        """A certificate for this key; without ``by`` it signs itself with ``signer``."""
        intent = prepare(
            profile,
            subject=unit_subject(unit or self.owner, name, profile.role),
            public_key=key,
            issuer=by.certificate if by else None,
            serial=new_serial(),
            not_before=begins or self.begins,
            not_after=ends,
            revocation_list_url=by.url if by else None,
            server_names=server_names,
            permitted_domains=permitted_domains,
        )
        by_signer = by.signer if by else signer
        assert by_signer is not None
        return issue(intent, by_signer)

    def revoke(
        self,
        certificate: x509.Certificate,
        at: datetime | None = None,
        reason: RevocationReason = RevocationReason.KEY_COMPROMISE,
    ) -> None:
        """Revoke from ``at`` on (now, unless told); shows in lists made as of then or later."""
        for certifier in self.certifiers:
            if certifier.certificate.subject == certificate.issuer:
                certifier.revoked.append(Revoked(certificate.serial_number, at or self.now, reason))
                return
        raise AssertionError("no authority of this world issued it")

    def crls(self, at: datetime | None = None, period: timedelta = LIST_PERIOD) -> tuple[RevocationList, ...]:
        """A current list of every authority, begun an hour before ``at`` or at the last revocation."""
        instant = at or self.now
        return tuple(
            certifier.revocation_list(
                max([instant - timedelta(hours=1)] + [e.at for e in certifier.revoked if e.at <= instant]),
                period,
            )
            for certifier in self.certifiers
        )

    def trust(self, at: datetime | None = None, *, with_intermediates: bool = True) -> TrustStore:
        """The root as anchor, the issuing authorities at hand, and current lists."""
        intermediates = [one.certificate for one in self.certifiers[1:]] if with_intermediates else []
        return TrustStore.of([self.root.certificate], intermediates, self.crls(at))

    def _issuing(self, profile: Profile, name: str, permitted_domains: Sequence[str] = ()) -> Certifier:
        signer = SoftwareSigner.generate(self.algorithm)
        certificate = self.certify(
            profile, signer.public_key, by=self.root, name="演示", permitted_domains=permitted_domains
        )
        return Certifier(certificate, signer, f"http://crl.example.gov/{name}.crl")
