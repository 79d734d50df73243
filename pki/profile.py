"""What each kind of certificate must look like, as data.

A profile fixes everything about a certificate but its subject, its key, its
names and its dates, and those come from the register, never from the request. ``issue``
builds from a profile and lints against it; ``path`` judges by purposes, which say
the same from the reader's side.

    root (offline)
    ├── issuing: seals       → unit-seal
    ├── issuing: evidence    → hub-evidence
    ├── issuing: tls         → tls-client, tls-server
    └── issuing: time        → time-stamp

One issuing authority per purpose: each is bound to its purpose by extended key
usage and by certificate policy, so that the theft of one does not open the others.
Name constraints stand on the TLS authority (the domains of the deployment), never on
the root, where most readers ignore them (trap T18). RFC 5280 §4.2, RFC 3161 §2.3,
RFC 9336 (documentSigning).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pki.keys import Algorithm

_ARC = "2.25.304629038120349474192806395233507813525"
"""Ours by X.667: a UUID drawn for this purpose. Never reuse a number below it."""

UNIT_SEAL_POLICY = ObjectIdentifier(f"{_ARC}.1")
"""The holder seals as a unit."""
HUB_EVIDENCE_POLICY = ObjectIdentifier(f"{_ARC}.2")
"""The holder states evidence as the hub. No unit's certificate ever bears it."""
TLS_POLICY = ObjectIdentifier(f"{_ARC}.3")
TIME_STAMP_POLICY = ObjectIdentifier(f"{_ARC}.4")

DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")

_CERTIFYING = frozenset({Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256})
# No Ed25519 here: OpenSSL 3.0 cannot check it in CMS (FORMATS §1), and the path verifier of
# ``cryptography`` refuses it in whoever certifies.
_CONNECTING = _CERTIFYING | {Algorithm.ED25519}

_YEAR = timedelta(days=365)

KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
"""The bits of the key usage extension that stand alone, spelt as ``cryptography`` spells them."""


def key_usage_names(usage: x509.KeyUsage) -> frozenset[str]:
    """The bits that are set, by name."""
    return frozenset(name for name in KEY_USAGES if getattr(usage, name))


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of certificate.

    Key usages are named as in :data:`KEY_USAGES`. Basic constraints and key usage are
    always critical; extended key usage is where RFC 3161 demands it.
    """

    name: str
    role: str
    """Second part of the common name, for people."""
    key_usage: frozenset[str]
    lifetime: timedelta
    """The longest that such a certificate may live."""
    algorithms: frozenset[Algorithm]
    extended_key_usage: tuple[ObjectIdentifier, ...] = ()
    extended_key_usage_critical: bool = False
    policy: ObjectIdentifier | None = None
    authority: bool = False
    path_length: int | None = None
    server_names: bool = False
    """Bears subject alternative names (at least one); others bear none."""
    revocable: bool = True
    """Names where its revocation list is found (always, trap T1); only the root does not."""


ROOT = Profile(
    name="root",
    role="root",
    key_usage=frozenset({"key_cert_sign", "crl_sign"}),
    lifetime=20 * _YEAR,
    algorithms=_CERTIFYING,
    authority=True,
    path_length=1,
    revocable=False,
)

ISSUING = Profile(
    name="issuing",
    role="CA",
    key_usage=frozenset({"key_cert_sign", "crl_sign"}),
    lifetime=10 * _YEAR,
    algorithms=_CERTIFYING,
    authority=True,
    path_length=0,
    policy=ObjectIdentifier("2.5.29.32.0"),
)
"""An issuing authority without a purpose of its own (anyPolicy); ours are the four below."""

ISSUING_SEALS = replace(
    ISSUING,
    name="issuing-seals",
    role="seals CA",
    extended_key_usage=(DOCUMENT_SIGNING,),
    policy=UNIT_SEAL_POLICY,
)
ISSUING_EVIDENCE = replace(
    ISSUING,
    name="issuing-evidence",
    role="evidence CA",
    extended_key_usage=(DOCUMENT_SIGNING,),
    policy=HUB_EVIDENCE_POLICY,
)
ISSUING_TLS = replace(
    ISSUING,
    name="issuing-tls",
    role="TLS CA",
    extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
    policy=TLS_POLICY,
)
ISSUING_TIME = replace(
    ISSUING,
    name="issuing-time",
    role="time CA",
    extended_key_usage=(ExtendedKeyUsageOID.TIME_STAMPING,),
    policy=TIME_STAMP_POLICY,
)

UNIT_SEAL = Profile(
    name="unit-seal",
    role="seal",
    key_usage=frozenset({"content_commitment"}),
    lifetime=3 * _YEAR,
    algorithms=_CERTIFYING,
    extended_key_usage=(DOCUMENT_SIGNING,),
    policy=UNIT_SEAL_POLICY,
)

HUB_EVIDENCE = Profile(
    name="hub-evidence",
    role="evidence",
    key_usage=frozenset({"content_commitment"}),
    lifetime=3 * _YEAR,
    algorithms=_CERTIFYING,
    extended_key_usage=(DOCUMENT_SIGNING,),
    policy=HUB_EVIDENCE_POLICY,
)

TLS_CLIENT = Profile(
    name="tls-client",
    role="client",
    key_usage=frozenset({"digital_signature"}),
    lifetime=3 * _YEAR,
    algorithms=_CONNECTING,
    extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    policy=TLS_POLICY,
)

TLS_SERVER = Profile(
    name="tls-server",
    role="server",
    key_usage=frozenset({"digital_signature"}),
    lifetime=_YEAR,
    algorithms=_CONNECTING,
    extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
    policy=TLS_POLICY,
    server_names=True,
)

TIME_STAMP = Profile(
    name="time-stamp",
    role="time",
    key_usage=frozenset({"digital_signature"}),
    lifetime=5 * _YEAR,
    algorithms=_CERTIFYING,
    extended_key_usage=(ExtendedKeyUsageOID.TIME_STAMPING,),
    extended_key_usage_critical=True,
    policy=TIME_STAMP_POLICY,
)

PROFILES = {
    profile.name: profile
    for profile in (
        ROOT,
        ISSUING,
        ISSUING_SEALS,
        ISSUING_EVIDENCE,
        ISSUING_TLS,
        ISSUING_TIME,
        UNIT_SEAL,
        HUB_EVIDENCE,
        TLS_CLIENT,
        TLS_SERVER,
        TIME_STAMP,
    )
}
"""Every profile by its name, as tables and intents keep it."""
