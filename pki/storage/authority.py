"""The certification authority of a deployment: root, issuing authorities, register, revocation lists.

    DIR/authority.sqlite     who is registered, what was intended, issued and revoked
    DIR/keys/                keys of the issuing authorities (seals, evidence, tls, time)
    DIR/root-offline/        the root's key; carry it away once the authority stands

Every signature is two moves: the intent with its serial number is committed, then
the key signs, then what came of it is committed. A crash in between leaves an
intent that stays unspent for ever and can be seen. Calls block; an event loop uses
a thread. Several processes may have it open. Who may call is the caller's question.
RFC 5280.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from cryptography import x509
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DatabaseError

from pki.asn1 import encode_certificate, load_certificate
from pki.errors import (
    AuthorityError,
    AuthorityFolderUnusable,
    CertificateUnknown,
    InvitationRefused,
    KeyAlreadyCertified,
    RegistrationRefused,
    RevocationRefused,
)
from pki.issue import Intent, issue, new_serial, prepare
from pki.keyfile import DEFAULT_COST
from pki.keys import Algorithm, PublicKey, Signer, SoftwareSigner, encode_public_key
from pki.names import UnitId, unit_subject
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
from pki.request import check_request
from pki.revocation import RevocationList, RevocationReason, build_crl
from pki.storage import authority_records as records
from pki.storage.authority_records import IssuedCertificate, PendingIntent
from pki.storage.authority_tables import (
    CERTIFIERS,
    INVITATIONS,
    REVOCATIONS,
    SETTINGS,
    UNITS,
    Database,
    SchemaTooNew,
)
from pki.storage.files import make_private_folder
from pki.storage.keys import KeyFolder
from pki.storage.trust import write_trust_folder
from pki.trust import TrustStore

INVITATION_PERIOD = timedelta(days=14)
TOKEN_BYTES = 32

LIST_PERIOD = timedelta(days=7)
LIST_REFRESH = timedelta(days=1)
"""A list is signed anew after a day and holds for seven: six days to notice that signing has stopped."""
ROOT_LIST_PERIOD = timedelta(days=400)
ROOT_LIST_REFRESH = timedelta(days=180)
"""The root is offline: twice a year somebody brings it."""

_ROOT = "root"
_ISSUING: Mapping[str, Profile] = {
    "seals": ISSUING_SEALS,
    "evidence": ISSUING_EVIDENCE,
    "tls": ISSUING_TLS,
    "time": ISSUING_TIME,
}
_ISSUER_OF = {
    UNIT_SEAL.name: "seals",
    HUB_EVIDENCE.name: "evidence",
    TLS_CLIENT.name: "tls",
    TLS_SERVER.name: "tls",
    TIME_STAMP.name: "time",
}


@dataclass(frozen=True, slots=True)
class AuthorityNames:
    """Whose authority it is: the organisation that runs it, by code and by name."""

    unit: UnitId
    name: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an enrolled unit, or the hub, gets: two certificates, and what they hang from."""

    unit: UnitId
    name: str
    seal: x509.Certificate
    tls: x509.Certificate
    seal_issuer: x509.Certificate
    tls_issuer: x509.Certificate
    root: x509.Certificate
    """The anchor, for information: whoever trusts it has it from elsewhere."""


@dataclass(frozen=True, slots=True)
class _Certifier:
    name: str
    certificate: x509.Certificate
    crl_url: str


class Authority:
    """An authority that stands: opened with the operator's secret."""

    def __init__(
        self,
        database: Database,
        certifiers: Mapping[str, _Certifier],
        signers: Mapping[str, Signer],
    ) -> None:
        self._database = database
        self._certifiers = certifiers
        self._signers = signers

    # --- beginning and end --------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: Path,
        secret: bytes,
        names: AuthorityNames,
        *,
        crl_base_url: str,
        now: datetime,
        root_secret: bytes | None = None,
        permitted_domains: Sequence[str] = (),
        algorithm: Algorithm = Algorithm.ECDSA_P384_SHA384,
        n: int = DEFAULT_COST,
    ) -> Authority:
        """Make an authority in a new folder: root, issuing authorities, first revocation lists.

        The parent of ``folder`` must exist. ``root_secret`` lets the root's key have a
        secret of its own. ``permitted_domains`` become name constraints of the TLS
        authority. Lists will be found at ``crl_base_url`` + ``NAME.crl``. Durable on
        return; a folder whose making was interrupted does not open.

        Raises:
            AuthorityFolderUnusable: there is something in the folder's place.
            NameMalformed: the name does not fit into a certificate.
        """
        unit_subject(names.unit, names.name, max((p.role for p in _ISSUING.values()), key=len))
        try:
            make_private_folder(folder)
        except FileExistsError as error:
            raise AuthorityFolderUnusable(detail=f"{folder} exists already") from error
        keys = KeyFolder.create(folder / "keys", secret, n=n)
        root_keys = KeyFolder.create(folder / "root-offline", root_secret or secret, n=n)
        database = Database.open(folder / "authority.sqlite", create=True)
        try:
            with database.writing() as connection:
                connection.execute(
                    insert(SETTINGS).values(id=1, created_at=now, crl_base_url=crl_base_url.rstrip("/"))
                )
            signers: dict[str, SoftwareSigner] = {}
            authority = cls(database, {}, signers)
            for name, profile in ((_ROOT, ROOT), *_ISSUING.items()):
                signer = SoftwareSigner.generate(algorithm)
                (root_keys if name == _ROOT else keys).add(name, profile.name, signer)
                signers[name] = signer
                authority._found(
                    name,
                    profile,
                    signer.public_key,
                    names,
                    url=f"{crl_base_url.rstrip('/')}/{name}.crl",
                    permitted_domains=permitted_domains if name == "tls" else (),
                    now=now,
                )
            for name in signers:
                authority._sign_list(name, now)
            with database.writing() as connection:
                connection.execute(update(SETTINGS).values(completed_at=now))
        except BaseException:
            database.close()
            raise
        return authority

    @classmethod
    def open(cls, folder: Path, secret: bytes, *, root_secret: bytes | None = None) -> Authority:
        """Open an authority.

        Its root's key is used only if ``root_secret`` is given; without it nothing but
        the root's list and the revocation of issuing authorities is out of reach.

        Raises:
            AuthorityFolderUnusable: no authority, one half made, or one of a newer program.
            KeySecretWrong: a secret is wrong.
        """
        try:
            database = Database.open(folder / "authority.sqlite")
        except (FileNotFoundError, SchemaTooNew, DatabaseError) as error:
            raise AuthorityFolderUnusable(
                detail=f"{folder} holds no authority that this program can open"
            ) from error
        try:
            with database.reading() as connection:
                completed = connection.execute(select(SETTINGS.c.completed_at)).scalar_one_or_none()
                certifiers = {
                    row.name: _Certifier(row.name, load_certificate(row.certificate), row.crl_url)
                    for row in connection.execute(select(CERTIFIERS))
                }
            if completed is None:
                raise AuthorityFolderUnusable(detail=f"the making of {folder} was interrupted; make it anew")
            keys = KeyFolder.open(folder / "keys", secret)
            signers = {name: keys.load(name, purpose=profile.name) for name, profile in _ISSUING.items()}
            if root_secret is not None:
                root_keys = KeyFolder.open(folder / "root-offline", root_secret)
                signers[_ROOT] = root_keys.load(_ROOT, purpose=ROOT.name)
        except BaseException:
            database.close()
            raise
        return cls(database, certifiers, signers)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Authority:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- registering and enrolling ------------------------------------------------------------

    def register_unit(
        self, unit: UnitId, name: str, *, now: datetime, valid_for: timedelta = INVITATION_PERIOD
    ) -> str:
        """Register a unit, or one that is registered once more, and invite it.

        Returns the invitation's token: to be handed over once, over another way; only its
        digest is kept. An earlier invitation of the unit that was not used ends.

        Raises:
            RegistrationRefused: the unit is registered under another name.
            NameMalformed: the name does not fit into a certificate.
        """
        for profile in (UNIT_SEAL, TLS_CLIENT):
            unit_subject(unit, name, profile.role)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._database.writing() as connection:
            known = connection.execute(select(UNITS.c.name).where(UNITS.c.unit == unit)).scalar_one_or_none()
            if known is None:
                connection.execute(insert(UNITS).values(unit=unit, name=name, registered_at=now))
            elif known != name:
                raise RegistrationRefused(detail=f"{unit} is registered under the name {known}")
            connection.execute(
                update(INVITATIONS)
                .where(
                    INVITATIONS.c.unit == unit,
                    INVITATIONS.c.used_at.is_(None),
                    INVITATIONS.c.expires_at > now,
                )
                .values(expires_at=now)
            )
            connection.execute(
                insert(INVITATIONS).values(
                    token_digest=_digest(token.encode()),
                    unit=unit,
                    created_at=now,
                    expires_at=now + valid_for,
                )
            )
        return token

    def enrol(self, token: str, csr_seal: bytes, csr_tls: bytes, *, now: datetime) -> Enrolment:
        """Certify an invited unit's two keys.

        (1) Both requests prove possession of a key that we accept, and the keys differ.
        (2) The invitation is known, unused and in time, or was used for the very same
        requests: then the answer is the one given before.
        (3) Neither key was ever to be certified for another unit or another purpose.
        (4) Intents are committed, the invitation is used up, then the keys sign.

        Raises:
            RequestRefused: a request is malformed or proves nothing.
            KeyRefused: a key that we do not certify.
            InvitationRefused: the token is unknown, used or late.
            KeyAlreadyCertified: see (1) and (3).
        """
        # (1)
        seal_key, tls_key = _two_keys(csr_seal, csr_tls)
        request_digest = _digest(_digest(csr_seal) + _digest(csr_tls))
        token_digest = _digest(token.encode())
        with self._database.writing() as connection:
            # (2)
            invitation = records.find_invitation(connection, token_digest)
            if invitation is None:
                raise InvitationRefused(reason="unknown")
            if invitation.request_digest is not None:
                if invitation.request_digest != request_digest:
                    raise InvitationRefused(reason="used")
                given = records.certificates_of_invitation(connection, token_digest)
                if UNIT_SEAL.name in given and TLS_CLIENT.name in given:
                    return self._enrolment(
                        invitation.unit, invitation.unit_name, given[UNIT_SEAL.name], given[TLS_CLIENT.name]
                    )
                # Intents were committed and a crash came before the certificates: they stay
                # unspent, and new ones follow. The same requests may still have their answer.
            elif now >= invitation.expires_at:
                raise InvitationRefused(reason="expired")
            # (3), (4)
            intents = [
                self._intend(
                    connection,
                    profile,
                    key,
                    unit=invitation.unit,
                    name=invitation.unit_name,
                    invitation=token_digest,
                    now=now,
                )
                for profile, key in ((UNIT_SEAL, seal_key), (TLS_CLIENT, tls_key))
            ]
            connection.execute(
                update(INVITATIONS)
                .where(INVITATIONS.c.token_digest == token_digest)
                .values(used_at=now, request_digest=request_digest)
            )
        seal, tls = self._issue_all(intents, invitation.unit, now)
        return self._enrolment(invitation.unit, invitation.unit_name, seal, tls)

    def issue_hub(
        self,
        unit: UnitId,
        name: str,
        csr_evidence: bytes,
        csr_server: bytes,
        *,
        server_names: Sequence[str],
        now: datetime,
    ) -> Enrolment:
        """Certify the hub's evidence seal and its TLS server; the operator's own act, without invitation.

        ``server_names`` are host names and addresses.

        Raises:
            As :meth:`enrol`, without the invitation.
            IssueRefused: names that no certificate can hold, or none.
        """
        evidence_key, server_key = _two_keys(csr_evidence, csr_server)
        with self._database.writing() as connection:
            intents = [
                self._intend(connection, HUB_EVIDENCE, evidence_key, unit=unit, name=name, now=now),
                self._intend(
                    connection,
                    TLS_SERVER,
                    server_key,
                    unit=unit,
                    name=name,
                    server_names=server_names,
                    now=now,
                ),
            ]
        evidence, server = self._issue_all(intents, unit, now)
        return self._enrolment(unit, name, evidence, server)

    def issue_time_stamp(self, unit: UnitId, name: str, csr: bytes, *, now: datetime) -> x509.Certificate:
        """Certify a time-stamping key; its issuer is ``issuing("time")``.

        Raises:
            As :meth:`issue_hub`.
        """
        key = check_request(csr).public_key
        with self._database.writing() as connection:
            intent = self._intend(connection, TIME_STAMP, key, unit=unit, name=name, now=now)
        (certificate,) = self._issue_all([intent], unit, now)
        return certificate

    # --- revoking -----------------------------------------------------------------------------

    def revoke(
        self, certificate: x509.Certificate | int, reason: RevocationReason, *, now: datetime
    ) -> RevocationList:
        """Revoke a certificate (or the one with this serial number) from now on.

        Returns the issuer's next list, signed and kept.
        The revocation is durable before the list is signed; after a crash in between,
        :meth:`crls` signs it. One on hold may be revoked for good; its date stays.

        Raises:
            CertificateUnknown: not of this authority.
            RevocationRefused: it is revoked already, or is the root itself.
            AuthorityError: it is an issuing authority's, and the root's key is not at hand.
        """
        serial = certificate if isinstance(certificate, int) else certificate.serial_number
        with self._database.writing() as connection:
            found = records.select_certificates(connection, serial=serial)
            if not found or (not isinstance(certificate, int) and found[0].certificate != certificate):
                raise CertificateUnknown()
            one = found[0]
            if one.profile == ROOT.name:
                raise RevocationRefused(detail="a root is not revoked but taken out of the anchors")
            self._signer(one.issuer)
            if one.revoked is None:
                connection.execute(
                    insert(REVOCATIONS).values(
                        serial=serial, issuer=one.issuer, revoked_at=_whole_second(now), reason=reason.value
                    )
                )
            elif one.revoked.reason is RevocationReason.CERTIFICATE_HOLD is not reason:
                connection.execute(
                    update(REVOCATIONS).where(REVOCATIONS.c.serial == serial).values(reason=reason.value)
                )
            else:
                raise RevocationRefused(detail=f"it was revoked at {one.revoked.at.isoformat()} already")
            # The number given out here and no list under it: that is how crls() sees a crash.
            number = records.next_list_number(connection, one.issuer)
        return self._sign_list(one.issuer, now, number=number)

    def crls(self, now: datetime) -> tuple[RevocationList, ...]:
        """The current list of every authority, the root's first; what is due is signed anew.

        Without the root's key its list is returned as it is, even if it has ended:
        readers then do not know, and do not say yes. See :meth:`root_list_due`.
        """
        lists = []
        for name in (_ROOT, *_ISSUING):
            with self._database.reading() as connection:
                newest = records.newest_list(connection, name)
                due = (
                    newest is None
                    or now >= newest.this_update + (ROOT_LIST_REFRESH if name == _ROOT else LIST_REFRESH)
                    or newest.number < records.last_list_number(connection, name)
                )
            if due and name in self._signers:
                newest = self._sign_list(name, now)
            if newest is not None:
                lists.append(newest)
        return tuple(lists)

    def root_list_due(self, now: datetime) -> bool:
        """Whether the root's list should be signed anew, for which its key must be brought."""
        with self._database.reading() as connection:
            newest = records.newest_list(connection, _ROOT)
        return newest is None or now >= newest.this_update + ROOT_LIST_REFRESH

    # --- looking up ---------------------------------------------------------------------------

    @property
    def root(self) -> x509.Certificate:
        """The root's certificate: the anchor."""
        return self._certifiers[_ROOT].certificate

    def issuing(self, name: str) -> x509.Certificate:
        """The certificate of ``seals``, ``evidence``, ``tls`` or ``time``."""
        return self._certifiers[name].certificate

    def list_urls(self) -> dict[str, str]:
        """Where each authority's list is to be found, by name (``root``, ``seals``, …)."""
        return {name: certifier.crl_url for name, certifier in self._certifiers.items()}

    def find(self, fingerprint: str) -> IssuedCertificate:
        """The certificate with this fingerprint (``sha256:…``).

        Raises:
            CertificateUnknown: not of this authority.
        """
        with self._database.reading() as connection:
            found = records.select_certificates(connection, fingerprint=fingerprint)
        if not found:
            raise CertificateUnknown()
        return found[0]

    def list(
        self, *, unit: UnitId | None = None, profile: str | None = None
    ) -> tuple[IssuedCertificate, ...]:
        """Every certificate issued, or those of a unit or profile; oldest first."""
        with self._database.reading() as connection:
            return records.select_certificates(connection, unit=unit, profile=profile)

    def units(self) -> dict[UnitId, str]:
        """The registered units and their names."""
        with self._database.reading() as connection:
            rows = connection.execute(select(UNITS.c.unit, UNITS.c.name).order_by(UNITS.c.unit)).all()
        return {UnitId(row.unit): row.name for row in rows}

    def unspent_intents(self) -> tuple[PendingIntent, ...]:
        """Intents that no certificate came of: a crash, or a call under way. Never used again."""
        with self._database.reading() as connection:
            return records.select_unspent(connection)

    def trust(self, now: datetime) -> TrustStore:
        """The root as anchor, the issuing authorities at hand, and current lists."""
        return TrustStore.of([self.root], [self.issuing(name) for name in _ISSUING], self.crls(now))

    def write_trust(self, path: Path, *, now: datetime, ledger_policy: bytes | None = None) -> None:
        """The same as a trust folder."""
        write_trust_folder(
            path,
            anchors=[self.root],
            intermediates=[self.issuing(name) for name in _ISSUING],
            crls=self.crls(now),
            ledger_policy=ledger_policy,
        )

    # --- inside -------------------------------------------------------------------------------

    def _signer(self, name: str) -> Signer:
        try:
            return self._signers[name]
        except KeyError as error:
            raise AuthorityError(detail=f"the key of {name} is not at hand") from error

    def _found(
        self,
        name: str,
        profile: Profile,
        key: PublicKey,
        names: AuthorityNames,
        *,
        url: str,
        permitted_domains: Sequence[str],
        now: datetime,
    ) -> None:
        """Certify one of our own authorities."""
        issuer = _ROOT
        by = self._certifiers.get(_ROOT)
        intent = prepare(
            profile,
            subject=unit_subject(names.unit, names.name, profile.role),
            public_key=key,
            issuer=by.certificate if by else None,
            serial=new_serial(),
            not_before=now,
            revocation_list_url=by.crl_url if by else None,
            permitted_domains=permitted_domains,
        )
        with self._database.writing() as connection:
            records.add_intent(
                connection,
                intent,
                issuer=issuer,
                unit=names.unit,
                key_digest=_digest(encode_public_key(key)),
                invitation=None,
                now=now,
            )
        certificate = issue(intent, self._signer(issuer))
        with self._database.writing() as connection:
            records.add_certificate(connection, certificate, intent, issuer=issuer, unit=names.unit, now=now)
            connection.execute(
                insert(CERTIFIERS).values(
                    name=name, certificate=encode_certificate(certificate), crl_url=url, crl_number=0
                )
            )
        self._certifiers = {**self._certifiers, name: _Certifier(name, certificate, url)}

    def _intend(
        self,
        connection: Connection,
        profile: Profile,
        key: PublicKey,
        *,
        unit: UnitId,
        name: str,
        now: datetime,
        invitation: bytes | None = None,
        server_names: Sequence[str] = (),
    ) -> Intent:
        """Check that the key is free for this, prepare, and record."""
        key_digest = _digest(encode_public_key(key))
        if records.key_uses(connection, key_digest) - {(unit, profile.name)}:
            raise KeyAlreadyCertified(detail="")
        issuer = self._certifiers[_ISSUER_OF[profile.name]]
        intent = prepare(
            profile,
            subject=unit_subject(unit, name, profile.role),
            public_key=key,
            issuer=issuer.certificate,
            serial=new_serial(),
            not_before=now,
            revocation_list_url=issuer.crl_url,
            server_names=server_names,
        )
        records.add_intent(
            connection,
            intent,
            issuer=issuer.name,
            unit=unit,
            key_digest=key_digest,
            invitation=invitation,
            now=now,
        )
        return intent

    def _issue_all(
        self, intents: Sequence[Intent], unit: UnitId, now: datetime
    ) -> tuple[x509.Certificate, ...]:
        """Sign recorded intents, and record what came of them together."""
        issued = [
            (intent, _ISSUER_OF[intent.profile], issue(intent, self._signer(_ISSUER_OF[intent.profile])))
            for intent in intents
        ]
        with self._database.writing() as connection:
            for intent, issuer, certificate in issued:
                records.add_certificate(connection, certificate, intent, issuer=issuer, unit=unit, now=now)
        return tuple(certificate for _, _, certificate in issued)

    def _sign_list(self, name: str, now: datetime, *, number: int | None = None) -> RevocationList:
        """Sign the next list of an authority: the number is committed first, the list after."""
        period = ROOT_LIST_PERIOD if name == _ROOT else LIST_PERIOD
        with self._database.writing() as connection:
            given = records.next_list_number(connection, name) if number is None else number
            # An entry stays for one list beyond the end of its certificate (RFC 5280 §3.3).
            entries = records.select_revoked(connection, name, not_ended_before=now - period)
        made = build_crl(
            self._certifiers[name].certificate,
            self._signer(name),
            entries=entries,
            number=given,
            this_update=now,
            next_update=now + period,
        )
        with self._database.writing() as connection:
            records.add_list(connection, name, made)
        return made

    def _enrolment(self, unit: UnitId, name: str, seal: x509.Certificate, tls: x509.Certificate) -> Enrolment:
        evidence = seal.issuer == self.issuing("evidence").subject
        return Enrolment(
            unit=unit,
            name=name,
            seal=seal,
            tls=tls,
            seal_issuer=self.issuing("evidence" if evidence else "seals"),
            tls_issuer=self.issuing("tls"),
            root=self.root,
        )


def _two_keys(first: bytes, second: bytes) -> tuple[PublicKey, PublicKey]:
    keys = check_request(first).public_key, check_request(second).public_key
    if encode_public_key(keys[0]) == encode_public_key(keys[1]):
        raise KeyAlreadyCertified(detail="")
    return keys


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _whole_second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
