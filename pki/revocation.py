"""Revocation lists: made, read once, and asked in one look-up.

A :class:`RevocationList` has parsed every entry when it exists, so that asking it
for a serial number is a dictionary look-up whatever its size. Only complete lists of
one issuer are read: no deltas, no indirect lists, none for some reasons only.
Whether a list is signed by the authority it names is asked with
:meth:`RevocationList.signed_by`; when it counts for a certificate is decided in
``path``. Nothing is fetched. RFC 5280 §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509

from pki.asn1 import ACCEPTED_SIGNATURE_OIDS, DerError, encode_signed, pem_or_der, read_sequence, read_signed
from pki.errors import IssueRefused, RevocationListMalformed
from pki.keys import (
    PublicKey,
    Signer,
    algorithm_of,
    check_signature,
    encode_public_key,
    hash_of,
    throw_away_signer,
)

LIST_LIMIT = 8 * 1024 * 1024


class RevocationReason(StrEnum):
    """Why a certificate was revoked (RFC 5280 §5.3.1), spelt as the RFC does.

    ``certificateHold`` is a suspension and counts as revoked while the list says so.
    """

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"

    @classmethod
    def named(cls, word: str) -> RevocationReason:
        """The reason of this name, as the RFC spells it or as people type it: ``key-compromise``.

        Raises:
            ValueError: there is no such reason.
        """
        plain = word.replace("-", "").replace("_", "").lower()
        for reason in cls:
            if reason.value.lower() == plain:
                return reason
        raise ValueError(word)


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry: the certificate with this serial number is revoked from this instant."""

    serial: int
    at: datetime
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A complete list of one issuer, parsed; equal to another if the bytes are.

    Not yet believed: ask :meth:`signed_by`.
    """

    der: bytes = field(repr=False)
    issuer: bytes = field(repr=False, compare=False)
    """The issuer's distinguished name in DER."""
    number: int = field(compare=False)
    this_update: datetime = field(compare=False)
    next_update: datetime = field(compare=False)
    distribution_points: frozenset[str] | None = field(compare=False)
    """Addresses of the one distribution point that it serves; None if it serves all."""
    only_users: bool = field(compare=False)
    only_authorities: bool = field(compare=False)
    entries: Mapping[int, Revoked] = field(repr=False, compare=False)
    _crl: x509.CertificateRevocationList = field(repr=False, compare=False)
    _answers: dict[bytes, bool] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def decode(cls, der: bytes) -> RevocationList:
        """Read a list of at most 8 MiB.

        Strict DER; version 2; nextUpdate present and after thisUpdate; a CRLNumber that is
        not critical (RFC 5280 §5.2.3); no delta, no indirect list, none for some reasons;
        no critical extension that we do not follow; no serial number twice.

        Raises:
            RevocationListMalformed: anything else; no other error leaves.
        """
        if len(der) > LIST_LIMIT:
            raise RevocationListMalformed(detail=f"larger than {LIST_LIMIT} octets")
        try:
            return cls._decode(der)
        except RevocationListMalformed:
            raise
        except Exception as error:
            # As in asn1.load_certificate: what the library raises on hostile bytes is not one kind.
            raise RevocationListMalformed(detail=f"{type(error).__name__}: {error}"[:200]) from error

    @classmethod
    def _decode(cls, der: bytes) -> RevocationList:
        signed, algorithm = read_signed(der)
        inner = read_sequence(signed)
        if len(inner) < 2 or inner[0] != b"\x02\x01\x01" or inner[1] != algorithm:
            raise RevocationListMalformed(detail="not version 2, or two signature algorithms are named")
        crl = x509.load_der_x509_crl(der)
        next_update = crl.next_update_utc
        if next_update is None or next_update <= crl.last_update_utc:
            raise RevocationListMalformed(detail="it does not say until when it holds (nextUpdate)")
        number, scope = _read_extensions(crl)
        return cls(
            der=der,
            issuer=crl.issuer.public_bytes(),
            number=number,
            this_update=crl.last_update_utc,
            next_update=next_update,
            distribution_points=_addresses(scope),
            only_users=scope is not None and scope.only_contains_user_certs,
            only_authorities=scope is not None and scope.only_contains_ca_certs,
            entries=_read_entries(crl),
            _crl=crl,
        )

    def encode(self) -> bytes:
        """The bytes it was read from."""
        return self.der

    def signed_by(self, key: PublicKey, *, name: bytes) -> bool:
        """Whether the authority of this DER name and key signed it.

        Checked once per key; MD5, SHA-1 and algorithms we do not know are not accepted.
        """
        if name != self.issuer:
            return False
        encoded = encode_public_key(key)
        answer = self._answers.get(encoded)
        if answer is None:
            answer = self._crl.signature_algorithm_oid.dotted_string in ACCEPTED_SIGNATURE_OIDS
            try:
                answer = answer and self._crl.is_signature_valid(key)
            except (ValueError, TypeError):
                # The signature is of another kind than the key.
                answer = False
            self._answers[encoded] = answer
        return answer


def load_revocation_lists(data: bytes) -> tuple[RevocationList, ...]:
    """The lists of a file: one in DER, or up to 100 in PEM.

    Raises:
        RevocationListMalformed: none, too many, another kind of file, or one that is malformed.
    """
    try:
        blocks = pem_or_der(data, "X509 CRL")
    except DerError as error:
        raise RevocationListMalformed(detail=str(error)) from error
    return tuple(RevocationList.decode(der) for der in blocks)


class Revocations:
    """Revocation lists by issuer; adding some leaves the original as it was."""

    __slots__ = ("_by_issuer",)

    def __init__(self, by_issuer: Mapping[bytes, tuple[RevocationList, ...]]) -> None:
        self._by_issuer = by_issuer

    @classmethod
    def of(cls, lists: Iterable[RevocationList]) -> Revocations:
        """An index of these lists."""
        return cls({}).adding(lists)

    def adding(self, lists: Iterable[RevocationList]) -> Revocations:
        """These lists besides; costs what is added, and one entry per issuer."""
        grown = dict(self._by_issuer)
        for one in lists:
            known = grown.get(one.issuer, ())
            if one not in known:
                grown[one.issuer] = (*known, one)
        return Revocations(grown)

    def of_issuer(self, name: bytes) -> tuple[RevocationList, ...]:
        """The lists that name this issuer (DER); not yet believed."""
        return self._by_issuer.get(name, ())

    def all(self) -> tuple[RevocationList, ...]:
        """Every list."""
        return tuple(one for lists in self._by_issuer.values() for one in lists)


def build_crl(
    issuer: x509.Certificate,
    signer: Signer,
    *,
    entries: Iterable[Revoked],
    number: int,
    this_update: datetime,
    next_update: datetime,
    distribution_point: str | None = None,
) -> RevocationList:
    """A signed list of these entries, read back and checked before it is returned.

    With ``distribution_point`` it says that it serves that address alone (partitioned
    lists). Numbers grow with every list of an issuer: keeping them is the caller's part.

    Raises:
        IssueRefused: the signer is not the issuer's key, or values that no list can hold.
        RevocationListMalformed: too many entries for the size that we read ourselves.
    """
    key = signer.public_key
    if issuer.public_key() != key:
        raise IssueRefused(detail="the signer is not the key of the list's issuer")
    begins, ends = _whole_second(this_update), _whole_second(next_update)
    if begins >= ends:
        raise IssueRefused(detail="a list ends after it begins")
    algorithm = algorithm_of(key)
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateRevocationListBuilder(
                issuer_name=issuer.subject,
                last_update=begins,
                next_update=ends,
                revoked_certificates=[_encode_entry(entry) for entry in entries],
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        if distribution_point is not None:
            builder = builder.add_extension(_scope(distribution_point), critical=True)
        draft = builder.sign(throw_away_signer(algorithm).private_key, hash_of(algorithm))
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise IssueRefused(detail=str(error)) from error
    to_be_signed = draft.tbs_certlist_bytes
    signature = signer.sign(to_be_signed)
    check_signature(key, signature, to_be_signed, algorithm=algorithm)
    return RevocationList.decode(encode_signed(to_be_signed, algorithm, signature))


# --- reading ----------------------------------------------------------------------------------


def _read_extensions(
    crl: x509.CertificateRevocationList,
) -> tuple[int, x509.IssuingDistributionPoint | None]:
    number: int | None = None
    scope: x509.IssuingDistributionPoint | None = None
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.CRLNumber):
            if extension.critical:
                raise RevocationListMalformed(detail="its CRLNumber is critical")
            number = value.crl_number
        elif isinstance(value, x509.DeltaCRLIndicator):
            raise RevocationListMalformed(detail="it is a delta")
        elif isinstance(value, x509.IssuingDistributionPoint):
            scope = value
        elif isinstance(value, x509.AuthorityKeyIdentifier):
            # Only a hint for finding the key; the signature decides. Critical it may not be.
            if extension.critical:
                raise RevocationListMalformed(detail="its authority key identifier is critical")
        elif extension.critical:
            raise RevocationListMalformed(
                detail=f"critical extension {extension.oid.dotted_string} is not followed"
            )
    if number is None:
        raise RevocationListMalformed(detail="it has no CRLNumber")
    if scope is not None and (
        scope.indirect_crl
        or scope.only_some_reasons is not None
        or scope.only_contains_attribute_certs
        or scope.relative_name is not None
        or (scope.only_contains_user_certs and scope.only_contains_ca_certs)
    ):
        raise RevocationListMalformed(detail="it is indirect, or serves some reasons or no certificates")
    return number, scope


def _addresses(scope: x509.IssuingDistributionPoint | None) -> frozenset[str] | None:
    if scope is None or scope.full_name is None:
        return None
    return frozenset(
        name.value for name in scope.full_name if isinstance(name, x509.UniformResourceIdentifier)
    )


def _read_entries(crl: x509.CertificateRevocationList) -> dict[int, Revoked]:
    entries: dict[int, Revoked] = {}
    for entry in crl:
        reason = RevocationReason.UNSPECIFIED
        for extension in entry.extensions:
            value = extension.value
            if isinstance(value, x509.CRLReason):
                # removeFromCRL belongs in deltas and is no reason of ours: ValueError, malformed.
                reason = RevocationReason(value.reason.value)
            elif isinstance(value, x509.CertificateIssuer) or extension.critical:
                raise RevocationListMalformed(
                    detail=f"an entry's extension {extension.oid.dotted_string} is not followed"
                )
        serial = entry.serial_number
        if serial in entries:
            raise RevocationListMalformed(detail=f"serial number {serial:x} is listed twice")
        entries[serial] = Revoked(serial, entry.revocation_date_utc, reason)
    return entries


# --- making -----------------------------------------------------------------------------------


def _encode_entry(entry: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(entry.serial, _whole_second(entry.at))
    if entry.reason is not RevocationReason.UNSPECIFIED:
        # RFC 5280 §5.3.1: "unspecified" is said by leaving the reason out.
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags(entry.reason.value)), critical=False)
    return builder.build()


def _scope(distribution_point: str) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(distribution_point)],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def _whole_second(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise IssueRefused(detail="dates are given with their time zone")
    return instant.astimezone(UTC).replace(microsecond=0)
