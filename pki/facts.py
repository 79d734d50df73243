"""What a certificate says, read once and kept: the facts that path rules ask for.

Reading happens here, judging in ``path``. A certificate that did not come through
:func:`pki.asn1.load_certificate` may still be broken; then reading it raises. RFC 5280 §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID, ObjectIdentifier

from pki.asn1 import ACCEPTED_SIGNATURE_OIDS, read_sequence
from pki.errors import KeyRefused, PathMalformed
from pki.keys import PublicKey, accepted_key, encode_public_key
from pki.names import display_name
from pki.profile import key_usage_names

ANY_POLICY = ObjectIdentifier("2.5.29.32.0")

_FOLLOWED = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
        x509.NameConstraints.oid,
        x509.CertificatePolicies.oid,
        x509.PolicyConstraints.oid,
        x509.InhibitAnyPolicy.oid,
    }
)
"""Extensions that may be critical, because the path rules or the verifier follow them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the path rules ask of one certificate."""

    certificate: x509.Certificate
    name: str
    """For people."""
    subject: bytes
    issuer: bytes
    begins: datetime
    ends: datetime
    key: PublicKey | None
    key_refusal: str | None
    """Why the key is refused, if it is."""
    signature_accepted: bool
    signature_algorithm: str
    malformation: str | None
    """A rule of RFC 5280 that the extensions break, if they do."""
    authority: bool
    path_length: int | None
    key_usage: frozenset[str] | None
    extended_key_usage: frozenset[ObjectIdentifier] | None
    extended_key_usage_critical: bool
    policies: frozenset[ObjectIdentifier] | None
    require_explicit_policy: int | None
    inhibit_any_policy: int | None
    distribution_points: frozenset[str]

    @property
    def self_issued(self) -> bool:
        """Subject and issuer have one name."""
        return self.subject == self.issuer


@lru_cache(maxsize=4096)
def facts_of(certificate: x509.Certificate) -> Facts:
    """Read a certificate; remembered, since it never changes.

    Raises:
        PathMalformed: the certificate cannot be read through.
    """
    try:
        return _read(certificate)
    except Exception as error:
        # T12: hostile certificates make the library raise what it likes.
        raise PathMalformed(detail=f"a certificate that cannot be read: {error}"[:200]) from error


def fingerprint(certificate: x509.Certificate) -> str:
    """``sha256:`` and the hex SHA-256 of the certificate's DER, as evidence and reports name it."""
    return "sha256:" + certificate.fingerprint(hashes.SHA256()).hex()


def _read(certificate: x509.Certificate) -> Facts:
    key, refusal = _read_key(certificate)
    values: dict[ObjectIdentifier, x509.ExtensionType] = {}
    malformation: str | None = None
    usage_critical = False
    for extension in certificate.extensions:
        values[extension.oid] = extension.value
        if extension.critical and extension.oid not in _FOLLOWED:
            # An unknown one, and those that RFC 5280 forbids to be critical: the key
            # identifiers and the addresses (§4.2.1.1, §4.2.1.2, §4.2.2.1).
            malformation = f"extension {extension.oid.dotted_string} is critical"
        if extension.oid == x509.ExtendedKeyUsage.oid:
            usage_critical = extension.critical
    basic = values.get(x509.BasicConstraints.oid)
    usage = values.get(x509.KeyUsage.oid)
    extended = values.get(x509.ExtendedKeyUsage.oid)
    policies = values.get(x509.CertificatePolicies.oid)
    limits = values.get(x509.PolicyConstraints.oid)
    inhibit = values.get(x509.InhibitAnyPolicy.oid)
    oid = certificate.signature_algorithm_oid.dotted_string
    return Facts(
        certificate=certificate,
        name=_name(certificate, isinstance(basic, x509.BasicConstraints) and basic.ca),
        subject=certificate.subject.public_bytes(),
        issuer=certificate.issuer.public_bytes(),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        key=key,
        key_refusal=refusal,
        signature_accepted=oid in ACCEPTED_SIGNATURE_OIDS,
        signature_algorithm=oid,
        malformation=malformation,
        authority=isinstance(basic, x509.BasicConstraints) and basic.ca,
        path_length=basic.path_length if isinstance(basic, x509.BasicConstraints) else None,
        key_usage=key_usage_names(usage) if isinstance(usage, x509.KeyUsage) else None,
        extended_key_usage=frozenset(extended) if isinstance(extended, x509.ExtendedKeyUsage) else None,
        extended_key_usage_critical=usage_critical,
        policies=frozenset(information.policy_identifier for information in policies)
        if isinstance(policies, x509.CertificatePolicies)
        else None,
        require_explicit_policy=limits.require_explicit_policy
        if isinstance(limits, x509.PolicyConstraints)
        else None,
        inhibit_any_policy=inhibit.skip_certs if isinstance(inhibit, x509.InhibitAnyPolicy) else None,
        distribution_points=_addresses(values.get(x509.CRLDistributionPoints.oid)),
    )


def _name(certificate: x509.Certificate, authority: bool) -> str:
    # Authorities of one organisation differ in their common names only.
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value)[:200] if authority and common else display_name(certificate)


def _read_key(certificate: x509.Certificate) -> tuple[PublicKey | None, str | None]:
    try:
        key = accepted_key(certificate.public_key())
    except KeyRefused as error:
        return None, str(dict(error.text.fields)["detail"])
    except UnsupportedAlgorithm:
        return None, "a key of an unknown kind"
    # ``cryptography`` loads a key with explicit curve parameters as if it named its curve, if
    # they are those of a curve it knows (trap T8). Encoded again it differs.
    if encode_public_key(key) != read_sequence(certificate.tbs_certificate_bytes)[6]:
        return None, "a key in another form than its one DER encoding, perhaps with explicit curve parameters"
    return key, None


def _addresses(points: x509.ExtensionType | None) -> frozenset[str]:
    if not isinstance(points, x509.CRLDistributionPoints):
        return frozenset()
    return frozenset(
        name.value
        for point in points
        for name in point.full_name or []
        if isinstance(name, x509.UniformResourceIdentifier)
    )
