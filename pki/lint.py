"""A certificate held against its profile, before the real key is touched.

Reads the certificate as a stranger would and shares no code with what builds it,
so that a slip in ``issue`` does not excuse itself. RFC 5280 §4.
"""

from __future__ import annotations

from cryptography import x509

from pki.asn1 import ACCEPTED_SIGNATURE_OIDS, encode_certificate, load_certificate
from pki.errors import CertificateMalformed, KeyRefused
from pki.keys import algorithm_of
from pki.profile import Profile, key_usage_names

SERIAL_FLOOR = 64
"""Bits below which a serial number is not random enough to be ours."""


def lint(
    certificate: x509.Certificate, profile: Profile, *, issuer: x509.Certificate | None
) -> tuple[str, ...]:
    """The rules that the certificate breaks, one sentence each; none if it is as its profile says.

    Its signature is not looked at: in a draft it is a throw-away one.
    """
    found: list[str] = []
    try:
        load_certificate(encode_certificate(certificate))
    except CertificateMalformed as error:
        return (str(error),)
    if certificate.serial_number.bit_length() < SERIAL_FLOOR:
        found.append(f"the serial number has fewer than {SERIAL_FLOOR} bits")
    if certificate.signature_algorithm_oid.dotted_string not in ACCEPTED_SIGNATURE_OIDS:
        found.append("the signature algorithm is not accepted")
    found += _lint_key(certificate, profile)
    found += _lint_dates(certificate, profile, issuer)
    found += _lint_issuer(certificate, profile, issuer)
    found += _lint_extensions(certificate, profile, issuer)
    if not list(certificate.subject):
        found.append("the subject is empty")
    return tuple(found)


def _lint_key(certificate: x509.Certificate, profile: Profile) -> list[str]:
    try:
        algorithm = algorithm_of(certificate.public_key())
    except KeyRefused as error:
        return [str(error)]
    if algorithm not in profile.algorithms:
        return [f"a key for {algorithm.value} does not serve for {profile.name}"]
    return []


def _lint_dates(
    certificate: x509.Certificate, profile: Profile, issuer: x509.Certificate | None
) -> list[str]:
    found = []
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins >= ends:
        found.append("it ends before it begins")
    if ends - begins > profile.lifetime:
        found.append(f"it lives longer than the {profile.lifetime.days} days of its profile")
    if issuer is not None and (begins < issuer.not_valid_before_utc or ends > issuer.not_valid_after_utc):
        found.append("its period is not within its issuer's")
    return found


def _lint_issuer(
    certificate: x509.Certificate, profile: Profile, issuer: x509.Certificate | None
) -> list[str]:
    if issuer is None:
        if profile.revocable:
            return ["only a root signs itself"]
        return [] if certificate.issuer == certificate.subject else ["a root names itself as issuer"]
    found = []
    if certificate.issuer != issuer.subject:
        found.append("the issuer's name is not the subject of the issuer's certificate")
    if certificate.subject == issuer.subject:
        found.append("subject and issuer have one name")
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return [*found, "the issuer's certificate lacks basic constraints or key usage"]
    if not constraints.ca or not usage.key_cert_sign:
        found.append("the issuer may not certify")
    if profile.authority and constraints.path_length is not None:
        allowed = constraints.path_length - 1
        if allowed < 0 or profile.path_length is None or profile.path_length > allowed:
            found.append("the issuer may not certify such an authority (path length)")
    found += _lint_issuer_purpose(profile, issuer)
    return found


def _lint_issuer_purpose(profile: Profile, issuer: x509.Certificate) -> list[str]:
    """An issuer bound to a purpose certifies for nothing else."""
    found = []
    try:
        allowed = set(issuer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        if not set(profile.extended_key_usage) <= allowed:
            found.append("its extended key usage is not among its issuer's")
    except x509.ExtensionNotFound:
        pass
    try:
        policies = issuer.extensions.get_extension_for_class(x509.CertificatePolicies).value
        names = {information.policy_identifier.dotted_string for information in policies}
        if profile.policy is not None and not names & {profile.policy.dotted_string, "2.5.29.32.0"}:
            found.append("its policy is not among its issuer's")
    except x509.ExtensionNotFound:
        # A root without policies restricts nothing: as an anchor it is not asked. An issuing
        # authority without them would make every policy below it void.
        if issuer.issuer != issuer.subject and profile.policy is not None:
            found.append("its issuer has no certificate policies")
    return found


def _lint_extensions(
    certificate: x509.Certificate, profile: Profile, issuer: x509.Certificate | None
) -> list[str]:
    found = []
    present = {extension.oid: extension for extension in certificate.extensions}
    expected: dict[x509.ObjectIdentifier, bool] = {
        x509.BasicConstraints.oid: True,
        x509.KeyUsage.oid: True,
        x509.SubjectKeyIdentifier.oid: False,
    }
    if issuer is not None:
        expected[x509.AuthorityKeyIdentifier.oid] = False
    if profile.extended_key_usage:
        expected[x509.ExtendedKeyUsage.oid] = profile.extended_key_usage_critical
    if profile.policy is not None:
        expected[x509.CertificatePolicies.oid] = False
    if profile.revocable:
        expected[x509.CRLDistributionPoints.oid] = False
    if profile.server_names:
        expected[x509.SubjectAlternativeName.oid] = False
    allowed = {**expected, x509.NameConstraints.oid: True} if profile.path_length == 0 else expected
    for oid in expected:
        if oid not in present:
            found.append(f"extension {_extension_name(oid)} is missing")
    for oid, extension in present.items():
        if oid not in allowed:
            found.append(f"extension {_extension_name(oid)} has no place here")
        elif extension.critical is not allowed[oid]:
            found.append(f"extension {_extension_name(oid)} is critical, or should be")
    for extension in present.values():
        found += _lint_value(extension.value, certificate, profile, issuer)
    return found


def _lint_value(
    value: x509.ExtensionType,
    certificate: x509.Certificate,
    profile: Profile,
    issuer: x509.Certificate | None,
) -> list[str]:
    match value:
        case x509.BasicConstraints():
            right = (value.ca, value.path_length) == (profile.authority, profile.path_length)
            return [] if right else ["basic constraints are not the profile's"]
        case x509.KeyUsage():
            right = key_usage_names(value) == profile.key_usage
            return [] if right else ["key usage is not the profile's"]
        case x509.ExtendedKeyUsage():
            right = tuple(value) == profile.extended_key_usage
            return [] if right else ["extended key usage is not the profile's"]
        case x509.CertificatePolicies():
            right = [information.policy_identifier for information in value] == [profile.policy]
            return [] if right else ["the certificate policy is not the profile's"]
        case x509.SubjectKeyIdentifier():
            # KeyRefused was reported already where the key cannot be read.
            right = value == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
            return [] if right else ["the subject key identifier is not that of the key"]
        case x509.AuthorityKeyIdentifier() if issuer is not None:
            right = value.key_identifier == _subject_key_identifier(issuer)
            return [] if right else ["the authority key identifier is not that of the issuer"]
        case x509.CRLDistributionPoints():
            return _lint_distribution_points(value)
        case x509.SubjectAlternativeName():
            odd = [name for name in value if not isinstance(name, x509.DNSName | x509.IPAddress)]
            odd += [name for name in value if isinstance(name, x509.DNSName) and "*" in name.value]
            return ["a subject alternative name is neither a host nor an address"] if odd else []
        case _:
            return []


def _lint_distribution_points(points: x509.CRLDistributionPoints) -> list[str]:
    for point in points:
        names = point.full_name or []
        if point.crl_issuer or point.reasons or len(names) != 1:
            return ["a revocation list distribution point is not one plain address"]
        address = names[0].value
        if not isinstance(address, str) or not address.startswith(("http://", "https://")):
            return ["a revocation list distribution point is no http address"]
    return []


def _extension_name(oid: x509.ObjectIdentifier) -> str:
    return f"{oid._name} ({oid.dotted_string})"


def _subject_key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None
