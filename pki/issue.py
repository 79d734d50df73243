"""Certificates, made in two moves: ``prepare`` says exactly what will be signed, ``issue`` signs it once.

``prepare`` builds the certificate with a throw-away key, lints that, and keeps
the to-be-signed bytes as an :class:`Intent`. The caller records the intent, and
only then lets ``issue`` spend it; so the real key never sees what breaks a rule,
and nothing it signed is missing from the record. Subject and names come from the
caller's register; a request for a certificate contributes its key and no more
(weakness 26).

Who may have a certificate is decided in ``storage/authority``. RFC 5280 §4.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from cryptography import x509

from pki.asn1 import encode_signed, load_certificate
from pki.errors import (
    IntentSpent,
    IssueRefused,
    LintFailed,
)
from pki.keys import (
    Algorithm,
    PublicKey,
    Signer,
    accepted_key,
    algorithm_of,
    check_signature,
    encode_public_key,
    hash_of,
    throw_away_signer,
)
from pki.lint import SERIAL_FLOOR, lint
from pki.profile import KEY_USAGES, Profile

SERIAL_BITS = 128


def new_serial() -> int:
    """A serial number of 128 random bits from the system's generator (weakness 28)."""
    while (serial := secrets.randbits(SERIAL_BITS)).bit_length() < SERIAL_FLOOR:
        pass
    return serial


@dataclass(frozen=True, slots=True)
class Intent:
    """What we are about to sign: linted, exact, and good for one signature.

    ``to_be_signed`` are the very bytes; whoever holds the value and the signer can
    make the one certificate, and nothing else.
    """

    serial: int
    profile: str
    to_be_signed: bytes
    algorithm: Algorithm
    issuer_key: bytes
    """SubjectPublicKeyInfo of the key that must sign."""
    _spent: Lock = field(default_factory=Lock, repr=False, compare=False)

    def _spend(self) -> None:
        # Taking a lock without waiting is one atomic step: of two threads, one gets it.
        if not self._spent.acquire(blocking=False):
            raise IntentSpent(serial=self.serial)


def prepare(
    profile: Profile,
    *,
    subject: x509.Name,
    public_key: PublicKey,
    issuer: x509.Certificate | None,
    serial: int,
    not_before: datetime,
    not_after: datetime | None = None,
    revocation_list_url: str | None = None,
    server_names: Sequence[str] = (),
    permitted_domains: Sequence[str] = (),
) -> Intent:
    """The linted intent to certify ``public_key`` for ``subject`` under a profile.

    Without ``not_after`` it lives as long as profile and issuer allow. ``issuer`` is
    None for a root, which signs itself. ``permitted_domains`` become name constraints
    and are for issuing authorities. Nothing is signed with a real key and nothing is
    recorded yet: that is the caller's next step.

    Raises:
        KeyRefused: the key is not one that we accept.
        LintFailed: the certificate would break its profile; lists every broken rule.
        IssueRefused: dates, names or addresses that no certificate can hold.
    """
    algorithm_of(public_key)
    issuer_key = public_key if issuer is None else accepted_key(issuer.public_key())
    algorithm = algorithm_of(issuer_key)
    begins = _whole_second(not_before)
    ends = begins + profile.lifetime if not_after is None else _whole_second(not_after)
    if not_after is None and issuer is not None:
        ends = min(ends, issuer.not_valid_after_utc)
    try:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.subject)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension, critical in _extensions(
            profile,
            public_key=public_key,
            issuer=issuer,
            revocation_list_url=revocation_list_url,
            server_names=server_names,
            permitted_domains=permitted_domains,
        ):
            builder = builder.add_extension(extension, critical)
        draft = builder.sign(throw_away_signer(algorithm).private_key, hash_of(algorithm))
    except (ValueError, TypeError) as error:
        raise IssueRefused(detail=str(error)) from error
    errors = lint(draft, profile, issuer=issuer)
    if errors:
        raise LintFailed(errors=errors)
    return Intent(serial, profile.name, draft.tbs_certificate_bytes, algorithm, encode_public_key(issuer_key))


def issue(intent: Intent, signer: Signer) -> x509.Certificate:
    """Spend the intent: sign its bytes, and return the certificate.

    The intent is spent even if signing fails half-way: what a token may have signed
    is not signed again. The signature is checked before it is believed.

    Raises:
        IntentSpent: it has been spent before; nothing is signed.
        IssueRefused: the signer is not the key of the intent's issuer; the intent is not spent.
        SignatureInvalid: the signer returned something else than a signature.
    """
    if encode_public_key(signer.public_key) != intent.issuer_key:
        raise IssueRefused(detail="the signer is not the key of the issuer that the intent names")
    intent._spend()
    signature = signer.sign(intent.to_be_signed)
    check_signature(signer.public_key, signature, intent.to_be_signed, algorithm=intent.algorithm)
    return load_certificate(encode_signed(intent.to_be_signed, intent.algorithm, signature))


# --- building ---------------------------------------------------------------------------------


def _extensions(
    profile: Profile,
    *,
    public_key: PublicKey,
    issuer: x509.Certificate | None,
    revocation_list_url: str | None,
    server_names: Sequence[str],
    permitted_domains: Sequence[str],
) -> list[tuple[x509.ExtensionType, bool]]:
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.authority, path_length=profile.path_length), True),
        (_key_usage(profile.key_usage), True),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
    ]
    if issuer is not None:
        extensions.append((_authority_key_identifier(issuer), False))
    if profile.extended_key_usage:
        usages = x509.ExtendedKeyUsage(list(profile.extended_key_usage))
        extensions.append((usages, profile.extended_key_usage_critical))
    if profile.policy is not None:
        policies = x509.CertificatePolicies([x509.PolicyInformation(profile.policy, None)])
        extensions.append((policies, False))
    if revocation_list_url is not None:
        point = x509.DistributionPoint(
            full_name=[x509.UniformResourceIdentifier(revocation_list_url)],
            relative_name=None,
            reasons=None,
            crl_issuer=None,
        )
        extensions.append((x509.CRLDistributionPoints([point]), False))
    if server_names:
        alternative = x509.SubjectAlternativeName([_general_name(name) for name in server_names])
        extensions.append((alternative, False))
    if permitted_domains:
        permitted = [x509.DNSName(domain) for domain in permitted_domains]
        extensions.append((x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), True))
    return extensions


def _key_usage(names: frozenset[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        **{name: name in names for name in KEY_USAGES}, encipher_only=False, decipher_only=False
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as error:
        raise ValueError("the issuer's certificate has no subject key identifier") from error
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)


_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        # No wildcards: a name constraint that excludes a host does not reach them in every
        # reader (CVE-2025-61727).
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is neither an address nor a host name in lower case") from None
        return x509.DNSName(name)


def _whole_second(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise IssueRefused(detail="dates are given with their time zone")
    return instant.astimezone(UTC).replace(microsecond=0)
