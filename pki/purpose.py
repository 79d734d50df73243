"""What a reader wants a certificate for: the other side of the profiles.

A profile says what we put into a certificate, a purpose what must be in one before
it counts, ours or another's. RFC 5280 §4.2.1.3, §4.2.1.4, §4.2.1.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pki.profile import (
    DOCUMENT_SIGNING,
    HUB_EVIDENCE_POLICY,
    UNIT_SEAL_POLICY,
)

AnchorKind: TypeAlias = Literal["evidence", "seals", "time"]
"""The purposes that a trust folder may keep anchors of their own for."""

_CONNECTING = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH})


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the end entity of a path must be made for.

    Key usage has to be present and have one of ``key_usage``. ``extended_key_usage``
    has to be named, and ``policy`` to be valid along the whole path.
    """

    name: str
    key_usage: frozenset[str]
    extended_key_usage: ObjectIdentifier | None
    policy: ObjectIdentifier | None
    anchors: AnchorKind | None = None
    """Anchors of this kind serve besides the general ones."""
    usage_may_be_absent: bool = False
    """A certificate without extended key usage passes; one that has it must name ours."""
    usage_alone: bool = False
    """The extended key usage is critical and the only one (RFC 3161 §2.3)."""
    forbidden_usages: frozenset[ObjectIdentifier] = frozenset()
    """Extended key usages that may not stand beside it (trap T8)."""


UNIT_SEAL = Purpose(
    name="unit-seal",
    key_usage=frozenset({"content_commitment"}),
    extended_key_usage=DOCUMENT_SIGNING,
    policy=UNIT_SEAL_POLICY,
    anchors="seals",
    forbidden_usages=_CONNECTING,
)

HUB_EVIDENCE = Purpose(
    name="hub-evidence",
    key_usage=frozenset({"content_commitment"}),
    extended_key_usage=DOCUMENT_SIGNING,
    policy=HUB_EVIDENCE_POLICY,
    anchors="evidence",
    forbidden_usages=_CONNECTING,
)

SEAL_ANY = Purpose(
    name="seal",
    key_usage=frozenset({"content_commitment", "digital_signature"}),
    extended_key_usage=DOCUMENT_SIGNING,
    policy=None,
    anchors="seals",
    usage_may_be_absent=True,
    forbidden_usages=_CONNECTING,
)
"""Seals of other authorities, which know nothing of our policies."""

TLS_CLIENT = Purpose(
    name="tls-client",
    key_usage=frozenset({"digital_signature"}),
    extended_key_usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    policy=None,
)

TLS_SERVER = Purpose(
    name="tls-server",
    key_usage=frozenset({"digital_signature"}),
    extended_key_usage=ExtendedKeyUsageOID.SERVER_AUTH,
    policy=None,
)

TIME_STAMP = Purpose(
    name="time-stamp",
    key_usage=frozenset({"digital_signature", "content_commitment"}),
    extended_key_usage=ExtendedKeyUsageOID.TIME_STAMPING,
    policy=None,
    anchors="time",
    usage_alone=True,
)
"""Time stamps of other authorities as well: no policy of ours is asked."""
