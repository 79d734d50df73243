"""The authority: what it registers, certifies and revokes, and what a crash leaves."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.asn1 import encode_certificate
from pki.errors import (
    AuthorityError,
    AuthorityFolderUnusable,
    CertificateRevoked,
    CertificateUnknown,
    InvitationRefused,
    KeyAlreadyCertified,
    KeyRefused,
    KeySecretWrong,
    LintFailed,
    NameMalformed,
    RegistrationRefused,
    RequestRefused,
    RevocationRefused,
    RevocationUnknown,
    SerialTaken,
)
from pki.facts import fingerprint
from pki.issue import new_serial
from pki.keys import Algorithm, SoftwareSigner
from pki.names import display_name, unit_of
from pki.path import HUB_EVIDENCE, TIME_STAMP, TLS_CLIENT, TLS_SERVER, UNIT_SEAL, TrustStore, check_path
from pki.request import make_request
from pki.revocation import RevocationReason
from pki.storage import authority as module
from pki.storage.authority import Authority, AuthorityNames, Enrolment
from pki.storage.authority_tables import Database
from pki.storage.trust import read_trust_folder
from tests.tools import need
from tests.worlds.pki import NOW, PkiWorld, a_unit_id

DAY = timedelta(days=1)
UNIT = a_unit_id(1)
OTHER = a_unit_id(2)
HUB = a_unit_id(3)
NAMES = AuthorityNames(a_unit_id(4), "演示认证中心")


def make(path: Path) -> Authority:
    return Authority.create(
        path,
        b"secret",
        NAMES,
        crl_base_url="http://hub.example.gov/crl",
        now=NOW,
        root_secret=b"root secret",
        algorithm=Algorithm.ECDSA_P256_SHA256,
        n=2**4,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def authority(folder: Path) -> Iterator[Authority]:
    with make(folder) as one:
        yield one


class Applicant:
    """Two fresh keys and their requests."""

    def __init__(self) -> None:
        self.seal, self.tls = SoftwareSigner.generate(), SoftwareSigner.generate()
        self.csr_seal, self.csr_tls = make_request(self.seal), make_request(self.tls)


def enrol(
    authority: Authority, unit: str = UNIT, name: str = "甲单位", applicant: Applicant | None = None
) -> Enrolment:
    one = applicant or Applicant()
    token = authority.register_unit(unit, name, now=NOW)  # type: ignore[arg-type]
    return authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)


# --- certifying -------------------------------------------------------------------------------


def test_enrolled_unit_has_two_paths(authority: Authority) -> None:
    applicant = Applicant()
    got = enrol(authority, applicant=applicant)
    trust = authority.trust(NOW)
    check_path(got.seal, others=[got.seal_issuer], trust=trust, purpose=UNIT_SEAL, at=NOW)
    check_path(got.tls, others=[got.tls_issuer], trust=trust, purpose=TLS_CLIENT, at=NOW)
    assert got.seal.public_key() == applicant.seal.public_key
    assert got.tls.public_key() == applicant.tls.public_key
    assert unit_of(got.seal) == unit_of(got.tls) == got.unit == UNIT
    assert display_name(got.seal) == got.name == "甲单位"
    assert authority.units() == {UNIT: "甲单位"}
    assert authority.unspent_intents() == ()


def test_hub_and_time_stamper_have_paths(authority: Authority) -> None:
    applicant, stamper = Applicant(), SoftwareSigner.generate()
    hub = authority.issue_hub(
        HUB,
        "公文平台",
        applicant.csr_seal,
        applicant.csr_tls,
        server_names=["hub.example.gov", "127.0.0.1"],
        now=NOW,
    )
    stamp = authority.issue_time_stamp(HUB, "时间", make_request(stamper), now=NOW)
    trust = authority.trust(NOW)
    check_path(hub.seal, others=[hub.seal_issuer], trust=trust, purpose=HUB_EVIDENCE, at=NOW)
    check_path(hub.tls, others=[hub.tls_issuer], trust=trust, purpose=TLS_SERVER, at=NOW)
    check_path(stamp, others=[authority.issuing("time")], trust=trust, purpose=TIME_STAMP, at=NOW)
    assert hub.seal_issuer == authority.issuing("evidence")
    one = Applicant()
    with pytest.raises(LintFailed):
        authority.issue_hub(HUB, "公文平台", one.csr_seal, one.csr_tls, server_names=[], now=NOW)


def test_openssl_agrees_over_the_trust_folder(authority: Authority, tmp_path: Path) -> None:
    got = enrol(authority)
    authority.write_trust(tmp_path / "trust", now=NOW)
    trust = read_trust_folder(tmp_path / "trust").store
    check_path(got.seal, others=[], trust=trust, purpose=UNIT_SEAL, at=NOW)
    (tmp_path / "root.pem").write_bytes(authority.root.public_bytes(Encoding.PEM))
    (tmp_path / "untrusted.pem").write_bytes(
        b"".join(one.public_bytes(Encoding.PEM) for one in (got.seal_issuer, got.tls_issuer))
    )
    (tmp_path / "lists.pem").write_bytes(
        b"".join(x509.load_der_x509_crl(one.der).public_bytes(Encoding.PEM) for one in authority.crls(NOW))
    )
    for certificate in (got.seal, got.tls):
        (tmp_path / "leaf.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        subprocess.run(
            [
                *(need("openssl"), "verify", "-x509_strict", "-crl_check_all", "-purpose", "any"),
                *("-attime", str(int(NOW.timestamp())), "-CAfile", "root.pem"),
                *("-untrusted", "untrusted.pem", "-CRLfile", "lists.pem", "leaf.pem"),
            ],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )


def test_name_comes_from_the_register_not_from_the_request(authority: Authority) -> None:
    applicant = Applicant()
    applicant.csr_seal = make_request(applicant.seal, common_name="省人民政府")
    assert "省" not in enrol(authority, applicant=applicant).seal.subject.rfc4514_string()


def test_tls_authority_is_bound_to_the_deployments_domains(tmp_path: Path) -> None:
    with Authority.create(
        tmp_path / "ca",
        b"secret",
        NAMES,
        crl_base_url="http://hub.example.gov/crl/",
        now=NOW,
        permitted_domains=["example.gov"],
        n=2**4,
    ) as authority:
        assert authority.list_urls()["tls"] == "http://hub.example.gov/crl/tls.crl"
        constraints = authority.issuing("tls").extensions.get_extension_for_class(x509.NameConstraints)
        assert constraints.critical
        for name in ("seals", "evidence", "time"):
            with pytest.raises(x509.ExtensionNotFound):
                authority.issuing(name).extensions.get_extension_for_class(x509.NameConstraints)


# --- invitations ------------------------------------------------------------------------------


def test_token_is_used_once(authority: Authority) -> None:
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    one, other = Applicant(), Applicant()
    authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)
    with pytest.raises(InvitationRefused) as caught:
        authority.enrol(token, other.csr_seal, other.csr_tls, now=NOW)
    assert caught.value.reason == "used"
    assert len(authority.list(unit=UNIT)) == 2


def test_same_requests_get_the_same_certificates(authority: Authority) -> None:
    """The answer was lost on the way; asking again is safe."""
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    one = Applicant()
    first = authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)
    assert authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW + 30 * DAY) == first
    assert len(authority.list()) == 5 + 2


def test_late_and_unknown_tokens_are_refused(authority: Authority) -> None:
    token = authority.register_unit(UNIT, "甲单位", now=NOW, valid_for=DAY)
    one = Applicant()
    with pytest.raises(InvitationRefused) as late:
        authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW + DAY)
    with pytest.raises(InvitationRefused) as unknown:
        authority.enrol(token[:-1], one.csr_seal, one.csr_tls, now=NOW)
    assert (late.value.reason, unknown.value.reason) == ("expired", "unknown")
    assert str(late.value) == str(unknown.value)
    authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW + DAY - timedelta(seconds=1))


def test_new_invitation_ends_the_old_one(authority: Authority) -> None:
    first = authority.register_unit(UNIT, "甲单位", now=NOW)
    second = authority.register_unit(UNIT, "甲单位", now=NOW)
    one = Applicant()
    with pytest.raises(InvitationRefused):
        authority.enrol(first, one.csr_seal, one.csr_tls, now=NOW)
    authority.enrol(second, one.csr_seal, one.csr_tls, now=NOW)


def test_token_is_not_kept(authority: Authority, folder: Path) -> None:
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    for file in folder.glob("authority.sqlite*"):
        assert token.encode() not in file.read_bytes()


def test_unit_keeps_its_name(authority: Authority) -> None:
    authority.register_unit(UNIT, "甲单位", now=NOW)
    with pytest.raises(RegistrationRefused):
        authority.register_unit(UNIT, "乙单位", now=NOW)
    with pytest.raises(NameMalformed):
        authority.register_unit(OTHER, "长" * 65, now=NOW)
    assert authority.units() == {UNIT: "甲单位"}


# --- keys -------------------------------------------------------------------------------------


def test_key_of_another_unit_is_refused(authority: Authority) -> None:
    mine = Applicant()
    enrol(authority, applicant=mine)
    token = authority.register_unit(OTHER, "乙单位", now=NOW)
    theirs = Applicant()
    for csr_seal, csr_tls in ((mine.csr_seal, theirs.csr_tls), (theirs.csr_seal, mine.csr_tls)):
        with pytest.raises(KeyAlreadyCertified):
            authority.enrol(token, csr_seal, csr_tls, now=NOW)
    authority.enrol(token, theirs.csr_seal, theirs.csr_tls, now=NOW)


def test_seal_and_tls_keys_differ_for_ever(authority: Authority) -> None:
    one = Applicant()
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    with pytest.raises(KeyAlreadyCertified):
        authority.enrol(token, one.csr_seal, one.csr_seal, now=NOW)
    authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    with pytest.raises(KeyAlreadyCertified):
        authority.enrol(token, one.csr_tls, one.csr_seal, now=NOW)


def test_renewal_may_keep_the_keys_of_the_same_unit(authority: Authority) -> None:
    one = Applicant()
    first, second = enrol(authority, applicant=one), enrol(authority, applicant=one)
    assert first.seal != second.seal
    assert first.seal.public_key() == second.seal.public_key()


def test_refused_requests_leave_the_invitation_good(authority: Authority) -> None:
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    one = Applicant()
    broken = bytearray(one.csr_tls)
    broken[-1] ^= 1
    with pytest.raises(RequestRefused):
        authority.enrol(token, one.csr_seal, bytes(broken), now=NOW)
    edwards = make_request(SoftwareSigner.generate(Algorithm.ED25519))
    with pytest.raises((KeyRefused, LintFailed)):
        authority.enrol(token, edwards, one.csr_tls, now=NOW)
    assert authority.unspent_intents() == ()
    authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)


# --- serials, intents, crashes ----------------------------------------------------------------


def test_serial_is_never_given_twice(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    got = enrol(authority)
    monkeypatch.setattr(module, "new_serial", lambda: got.seal.serial_number)
    with pytest.raises(SerialTaken):
        enrol(authority, OTHER, "乙单位")
    monkeypatch.undo()
    enrol(authority, OTHER, "乙单位")
    serials = [one.certificate.serial_number for one in authority.list()]
    assert len(set(serials)) == len(serials) == 5 + 4


class PowerCut(Exception):
    """The process ends here."""


def test_crash_between_intent_and_issue_leaves_an_intent_that_is_never_used(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    one = Applicant()

    def cut(*_: object) -> x509.Certificate:
        raise PowerCut

    monkeypatch.setattr(module, "issue", cut)
    with pytest.raises(PowerCut):
        authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)
    monkeypatch.undo()
    authority.close()

    with Authority.open(folder, b"secret", root_secret=b"root secret") as again:
        left = again.unspent_intents()
        assert [(intent.profile, intent.unit) for intent in left] == [
            ("unit-seal", UNIT),
            ("tls-client", UNIT),
        ]
        got = again.enrol(token, one.csr_seal, one.csr_tls, now=NOW + DAY)
        assert {got.seal.serial_number, got.tls.serial_number}.isdisjoint(i.serial for i in left)
        assert again.unspent_intents() == left
        assert len(again.list(unit=UNIT)) == 2
        # Another's requests do not profit from the crash.
        other = Applicant()
        with pytest.raises(InvitationRefused):
            again.enrol(token, other.csr_seal, other.csr_tls, now=NOW)


def test_crash_after_signing_gives_new_certificates_and_shows_the_old_intents(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signed certificates are lost with the memory they were in; nobody has them."""
    token = authority.register_unit(UNIT, "甲单位", now=NOW)
    one = Applicant()

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    monkeypatch.setattr(module.records, "add_certificate", cut)
    with pytest.raises(PowerCut):
        authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)
    monkeypatch.undo()
    assert len(authority.unspent_intents()) == 2
    authority.enrol(token, one.csr_seal, one.csr_tls, now=NOW)
    assert len(authority.unspent_intents()) == 2


def test_nothing_is_signed_before_its_intent_is_durable(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = module.issue

    def watching(intent: module.Intent, signer: module.Signer) -> x509.Certificate:
        with sqlite3.connect(folder / "authority.sqlite") as other:
            seen.append(
                other.execute(
                    "select spent_at from intents where serial = ?", [f"{intent.serial:040x}"]
                ).fetchall()
            )
        other.close()
        return real(intent, signer)

    monkeypatch.setattr(module, "issue", watching)
    enrol(authority)
    assert seen == [[(None,)], [(None,)]]


def test_interrupted_making_does_not_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    monkeypatch.setattr(Authority, "_sign_list", cut)
    with pytest.raises(PowerCut):
        make(folder)
    monkeypatch.undo()
    with pytest.raises(AuthorityFolderUnusable):
        Authority.open(folder, b"secret")
    with pytest.raises(AuthorityFolderUnusable):
        make(folder)


# --- revoking ---------------------------------------------------------------------------------


def test_revoked_certificate_fails_later_and_held_before(authority: Authority) -> None:
    got = enrol(authority)
    revoked_at = NOW + DAY
    made = authority.revoke(got.seal, RevocationReason.KEY_COMPROMISE, now=revoked_at)
    assert got.seal.serial_number in made.entries
    trust = authority.trust(revoked_at)
    check_path(got.seal, others=[], trust=trust, purpose=UNIT_SEAL, at=revoked_at - timedelta(seconds=1))
    with pytest.raises(CertificateRevoked):
        check_path(got.seal, others=[], trust=trust, purpose=UNIT_SEAL, at=revoked_at)
    check_path(got.tls, others=[], trust=trust, purpose=TLS_CLIENT, at=revoked_at)
    record = authority.find(fingerprint(got.seal))
    assert record.revoked is not None
    assert (record.revoked.at, record.revoked.reason) == (revoked_at, RevocationReason.KEY_COMPROMISE)


def test_revocation_by_serial_and_only_once(authority: Authority) -> None:
    got = enrol(authority)
    authority.revoke(got.seal.serial_number, RevocationReason.SUPERSEDED, now=NOW)
    with pytest.raises(RevocationRefused):
        authority.revoke(got.seal, RevocationReason.KEY_COMPROMISE, now=NOW)


def test_hold_becomes_final_and_keeps_its_date(authority: Authority) -> None:
    got = enrol(authority)
    authority.revoke(got.seal, RevocationReason.CERTIFICATE_HOLD, now=NOW)
    with pytest.raises(RevocationRefused):
        authority.revoke(got.seal, RevocationReason.CERTIFICATE_HOLD, now=NOW)
    made = authority.revoke(got.seal, RevocationReason.KEY_COMPROMISE, now=NOW + DAY)
    entry = made.entries[got.seal.serial_number]
    assert (entry.at, entry.reason) == (NOW, RevocationReason.KEY_COMPROMISE)


def test_strangers_certificates_and_the_root_are_not_revoked(authority: Authority) -> None:
    for unknown in (PkiWorld().unit().seal.certificate, new_serial()):
        with pytest.raises(CertificateUnknown):
            authority.revoke(unknown, RevocationReason.UNSPECIFIED, now=NOW)
    with pytest.raises(RevocationRefused):
        authority.revoke(authority.root, RevocationReason.UNSPECIFIED, now=NOW)


def test_list_numbers_grow_and_survive_reopening(authority: Authority, folder: Path) -> None:
    numbers = []
    for index in range(3):
        got = enrol(authority, a_unit_id(10 + index), f"第{index}单位")
        numbers.append(authority.revoke(got.seal, RevocationReason.SUPERSEDED, now=NOW).number)
    authority.close()
    with Authority.open(folder, b"secret") as again:
        got = enrol(again, a_unit_id(20), "又一单位")
        made = again.revoke(got.seal, RevocationReason.SUPERSEDED, now=NOW)
        numbers.append(made.number)
        assert len(made.entries) == 4
    assert numbers == [2, 3, 4, 5]


def test_lists_are_signed_anew_on_schedule_and_kept_meanwhile(authority: Authority) -> None:
    first = authority.crls(NOW)
    assert len(first) == 5
    assert authority.crls(NOW + DAY - timedelta(seconds=1)) == first
    second = authority.crls(NOW + DAY)
    assert second[0] == first[0], "the root's list holds for longer"
    for old, new in zip(first[1:], second[1:], strict=True):
        assert new.number == old.number + 1
        assert new.this_update < old.next_update, "they overlap"


def test_crash_between_revocation_and_list_is_made_good(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = enrol(authority)

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    monkeypatch.setattr(module, "build_crl", cut)
    with pytest.raises(PowerCut):
        authority.revoke(got.seal, RevocationReason.KEY_COMPROMISE, now=NOW)
    monkeypatch.undo()
    lists = authority.crls(NOW)
    assert any(got.seal.serial_number in one.entries for one in lists)
    assert authority.crls(NOW) == lists


def test_root_stays_offline(authority: Authority, folder: Path) -> None:
    """Without the root's secret everything daily works, and what needs it says so."""
    authority.close()
    with Authority.open(folder, b"secret") as daily:
        got = enrol(daily)
        later = NOW + 200 * DAY
        assert daily.root_list_due(later)
        assert not daily.root_list_due(NOW)
        check_path(got.seal, others=[], trust=daily.trust(later), purpose=UNIT_SEAL, at=later)
        with pytest.raises(AuthorityError):
            daily.revoke(daily.issuing("tls"), RevocationReason.CA_COMPROMISE, now=NOW)
        ended = NOW + 401 * DAY
        with pytest.raises(RevocationUnknown):
            check_path(got.seal, others=[], trust=daily.trust(ended), purpose=UNIT_SEAL, at=ended)
    with Authority.open(folder, b"secret", root_secret=b"root secret") as ceremony:
        renewed = ceremony.crls(later)[0]
        assert renewed.number == 2
        assert not ceremony.root_list_due(later)
        made = ceremony.revoke(ceremony.issuing("tls"), RevocationReason.CA_COMPROMISE, now=later)
        with pytest.raises(CertificateRevoked):
            check_path(got.tls, others=[], trust=ceremony.trust(later), purpose=TLS_CLIENT, at=later)
        assert made.number == 3


def test_entry_leaves_the_list_after_its_certificates_end(authority: Authority) -> None:
    got = enrol(authority)
    authority.revoke(got.seal, RevocationReason.KEY_COMPROMISE, now=NOW)
    end = got.seal.not_valid_after_utc
    by_issuer = {one.issuer: one for one in authority.crls(end + 2 * DAY)}
    issuer = got.seal.issuer.public_bytes()
    assert got.seal.serial_number in by_issuer[issuer].entries
    by_issuer = {one.issuer: one for one in authority.crls(end + 9 * DAY)}
    assert got.seal.serial_number not in by_issuer[issuer].entries


# --- the folder -------------------------------------------------------------------------------


def test_secrets_are_asked_for_each(authority: Authority, folder: Path) -> None:
    authority.close()
    with pytest.raises(KeySecretWrong):
        Authority.open(folder, b"root secret")
    with pytest.raises(KeySecretWrong):
        Authority.open(folder, b"secret", root_secret=b"secret")


def test_keys_and_register_are_for_their_owner_alone(authority: Authority, folder: Path) -> None:
    for one in (folder, folder / "keys", folder / "root-offline"):
        assert stat.S_IMODE(one.stat().st_mode) == 0o700
    assert sorted(file.name for file in (folder / "keys").glob("*.key")) == [
        "evidence.key",
        "seals.key",
        "time.key",
        "tls.key",
    ]
    assert [file.name for file in (folder / "root-offline").glob("*.key")] == ["root.key"]


def empty(folder: Path) -> None:
    folder.mkdir()


def junk(folder: Path) -> None:
    folder.mkdir()
    (folder / "authority.sqlite").write_bytes(b"this is no database, " * 100)


def newer(folder: Path) -> None:
    make(folder).close()
    with sqlite3.connect(folder / "authority.sqlite") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    "prepare", [empty, junk, newer, lambda folder: None], ids=["empty", "junk", "newer", "none"]
)
def test_folder_without_an_authority_does_not_open(folder: Path, prepare: Callable[[Path], None]) -> None:
    prepare(folder)
    with pytest.raises(AuthorityFolderUnusable):
        Authority.open(folder, b"secret")


def test_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "x.sqlite", create=True)
    assert database.schema_differences() == []
    database.close()


def test_database_is_durable_at_every_commit(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "x.sqlite", create=True)
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    database.close()


def test_certificate_is_found_by_its_fingerprint(authority: Authority) -> None:
    got = enrol(authority)
    record = authority.find(fingerprint(got.tls))
    assert encode_certificate(record.certificate) == encode_certificate(got.tls)
    assert (record.unit, record.profile, record.issuer, record.revoked) == (UNIT, "tls-client", "tls", None)
    assert {one.profile for one in authority.list(unit=UNIT)} == {"unit-seal", "tls-client"}
    assert [one.certificate for one in authority.list(profile="unit-seal")] == [got.seal]
    with pytest.raises(CertificateUnknown):
        authority.find("sha256:" + "0" * 64)


def test_pure_modules_need_no_database() -> None:
    """A unit's client has no SQLAlchemy."""
    code = (
        "import sys; sys.modules['sqlalchemy'] = None; sys.modules['alembic'] = None\n"
        "import pki.path, pki.issue, pki.request, pki.revocation, pki.keyfile\n"
        "import pki.storage.keys, pki.storage.trust\n"
    )
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_store_of_the_authority_is_its_own(authority: Authority) -> None:
    assert isinstance(authority.trust(NOW), TrustStore)
    assert authority.trust(NOW).digest == authority.trust(NOW).digest
