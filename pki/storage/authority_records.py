"""The authority's records as values: plain functions over one open transaction.

Nothing here signs or decides; ``authority`` does both and owns the transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from pki.asn1 import encode_certificate, load_certificate
from pki.errors import SerialTaken
from pki.facts import fingerprint
from pki.issue import Intent
from pki.names import UnitId
from pki.revocation import RevocationList, RevocationReason, Revoked
from pki.storage.authority_tables import (
    CERTIFICATES,
    CERTIFIERS,
    INTENTS,
    INVITATIONS,
    LISTS,
    REVOCATIONS,
    UNITS,
)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate of the authority's, as its register has it."""

    certificate: x509.Certificate
    fingerprint: str
    issuer: str
    profile: str
    unit: UnitId
    issued_at: datetime
    revoked: Revoked | None


@dataclass(frozen=True, slots=True)
class PendingIntent:
    """An intent that no certificate came of, yet or ever."""

    serial: int
    issuer: str
    profile: str
    unit: UnitId
    prepared_at: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation, known by the digest of its token."""

    token_digest: bytes
    unit: UnitId
    unit_name: str
    expires_at: datetime
    request_digest: bytes | None


def add_intent(
    connection: Connection,
    intent: Intent,
    *,
    issuer: str,
    unit: UnitId,
    key_digest: bytes,
    invitation: bytes | None,
    now: datetime,
) -> None:
    """Record what is about to be signed, and give its serial number out for ever.

    Raises:
        SerialTaken: it was given out before.
    """
    try:
        connection.execute(
            insert(INTENTS).values(
                serial=intent.serial,
                issuer=issuer,
                profile=intent.profile,
                unit=unit,
                key_digest=key_digest,
                to_be_signed=intent.to_be_signed,
                invitation=invitation,
                prepared_at=now,
            )
        )
    except IntegrityError as error:
        raise SerialTaken(serial=intent.serial) from error


def add_certificate(
    connection: Connection,
    certificate: x509.Certificate,
    intent: Intent,
    *,
    issuer: str,
    unit: UnitId,
    now: datetime,
) -> None:
    """Record what came of an intent, and that it is spent."""
    connection.execute(update(INTENTS).where(INTENTS.c.serial == intent.serial).values(spent_at=now))
    connection.execute(
        insert(CERTIFICATES).values(
            fingerprint=fingerprint(certificate),
            serial=certificate.serial_number,
            issuer=issuer,
            profile=intent.profile,
            unit=unit,
            not_after=certificate.not_valid_after_utc,
            der=encode_certificate(certificate),
            issued_at=now,
        )
    )


def key_uses(connection: Connection, key_digest: bytes) -> set[tuple[str, str]]:
    """Units and profiles that a key stands or was about to stand in a certificate for."""
    rows = connection.execute(
        select(INTENTS.c.unit, INTENTS.c.profile).where(INTENTS.c.key_digest == key_digest)
    )
    return {(row.unit, row.profile) for row in rows}


def find_invitation(connection: Connection, token_digest: bytes) -> Invitation | None:
    """The invitation with this token digest."""
    row = connection.execute(
        select(INVITATIONS, UNITS.c.name)
        .join(UNITS, UNITS.c.unit == INVITATIONS.c.unit)
        .where(INVITATIONS.c.token_digest == token_digest)
    ).one_or_none()
    if row is None:
        return None
    return Invitation(row.token_digest, UnitId(row.unit), row.name, row.expires_at, row.request_digest)


def certificates_of_invitation(connection: Connection, token_digest: bytes) -> dict[str, x509.Certificate]:
    """What was issued for an invitation, by profile; the latest where a crash made it two."""
    rows = connection.execute(
        select(CERTIFICATES.c.profile, CERTIFICATES.c.der)
        .join(INTENTS, INTENTS.c.serial == CERTIFICATES.c.serial)
        .where(INTENTS.c.invitation == token_digest)
        .order_by(CERTIFICATES.c.issued_at)
    )
    return {row.profile: load_certificate(row.der) for row in rows}


def select_certificates(
    connection: Connection,
    *,
    fingerprint: str | None = None,
    serial: int | None = None,
    unit: UnitId | None = None,
    profile: str | None = None,
) -> tuple[IssuedCertificate, ...]:
    """Certificates by any of these, oldest first."""
    query = (
        select(CERTIFICATES, REVOCATIONS.c.revoked_at, REVOCATIONS.c.reason)
        .join(REVOCATIONS, REVOCATIONS.c.serial == CERTIFICATES.c.serial, isouter=True)
        .order_by(CERTIFICATES.c.issued_at, CERTIFICATES.c.serial)
    )
    if fingerprint is not None:
        query = query.where(CERTIFICATES.c.fingerprint == fingerprint)
    if serial is not None:
        query = query.where(CERTIFICATES.c.serial == serial)
    if unit is not None:
        query = query.where(CERTIFICATES.c.unit == unit)
    if profile is not None:
        query = query.where(CERTIFICATES.c.profile == profile)
    return tuple(_issued(row) for row in connection.execute(query))


def _issued(row: Row[tuple[object, ...]]) -> IssuedCertificate:
    revoked = (
        None if row.revoked_at is None else Revoked(row.serial, row.revoked_at, RevocationReason(row.reason))
    )
    return IssuedCertificate(
        certificate=load_certificate(row.der),
        fingerprint=row.fingerprint,
        issuer=row.issuer,
        profile=row.profile,
        unit=UnitId(row.unit),
        issued_at=row.issued_at,
        revoked=revoked,
    )


def select_unspent(connection: Connection) -> tuple[PendingIntent, ...]:
    """Intents that no certificate came of, oldest first."""
    rows = connection.execute(
        select(INTENTS).where(INTENTS.c.spent_at.is_(None)).order_by(INTENTS.c.prepared_at)
    )
    return tuple(
        PendingIntent(row.serial, row.issuer, row.profile, UnitId(row.unit), row.prepared_at) for row in rows
    )


def select_revoked(connection: Connection, issuer: str, *, not_ended_before: datetime) -> tuple[Revoked, ...]:
    """What an issuer has revoked, without certificates that had ended before."""
    rows = connection.execute(
        select(REVOCATIONS)
        .join(CERTIFICATES, CERTIFICATES.c.serial == REVOCATIONS.c.serial)
        .where(REVOCATIONS.c.issuer == issuer, CERTIFICATES.c.not_after >= not_ended_before)
        .order_by(REVOCATIONS.c.revoked_at, REVOCATIONS.c.serial)
    )
    return tuple(Revoked(row.serial, row.revoked_at, RevocationReason(row.reason)) for row in rows)


def next_list_number(connection: Connection, issuer: str) -> int:
    """Give out the next CRL number; a number whose list was never signed stays unused."""
    return int(
        connection.execute(
            update(CERTIFIERS)
            .where(CERTIFIERS.c.name == issuer)
            .values(crl_number=CERTIFIERS.c.crl_number + 1)
            .returning(CERTIFIERS.c.crl_number)
        ).scalar_one()
    )


def last_list_number(connection: Connection, issuer: str) -> int:
    """The CRL number given out last."""
    return int(
        connection.execute(select(CERTIFIERS.c.crl_number).where(CERTIFIERS.c.name == issuer)).scalar_one()
    )


def add_list(connection: Connection, issuer: str, made: RevocationList) -> None:
    """Keep a signed list."""
    connection.execute(
        insert(LISTS).values(
            issuer=issuer,
            number=made.number,
            this_update=made.this_update,
            next_update=made.next_update,
            der=made.der,
        )
    )


def newest_list(connection: Connection, issuer: str) -> RevocationList | None:
    """The list with the highest number."""
    newest = select(func.max(LISTS.c.number)).where(LISTS.c.issuer == issuer).scalar_subquery()
    der = connection.execute(
        select(LISTS.c.der).where(LISTS.c.issuer == issuer, LISTS.c.number == newest)
    ).scalar_one_or_none()
    return None if der is None else RevocationList.decode(der)
