"""The operator's acts: making a hub, inviting and revoking units, looking after it.

Everything durable springs into being here and only here, by a command, once; a
mistyped path makes nothing. None of this needs the hub to run.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import insert

from exchange.config import Settings, read_settings, write_settings
from exchange.ledger.errors import LedgerError
from exchange.ledger.merkle import EMPTY_ROOT
from exchange.ledger.note import NoteSigner
from exchange.ledger.policy import LogLine, Policy, encode_policy
from exchange.protocol.errors import ExchangeError
from exchange.protocol.identifiers import digest_of, format_time
from exchange.storage import tables
from exchange.storage.contents import LocalContents
from exchange.storage.database import Database
from exchange.storage.signer import Journal
from pki.asn1 import encode_certificate
from pki.errors import Fault
from pki.keys import Algorithm, Signer, SoftwareSigner, encode_public_key
from pki.names import UnitId, parse_unit_id
from pki.request import make_request
from pki.revocation import RevocationList, RevocationReason
from pki.storage.authority import Authority, AuthorityNames
from pki.storage.files import sync_folder, write_durably
from pki.storage.keys import KeyFolder
from pki.text import N_

CONFIG: Final = "hub.toml"
EVIDENCE_KEY: Final = "hub-evidence"
SERVER_KEY: Final = "tls-server"
LEDGER_KEY: Final = "ledger"
JOURNAL: Final = "journal"


class HubFolderUnusable(ExchangeError):
    """The folder cannot become, or is not, a hub's."""

    code = "hub-folder-unusable"
    template = N_("{folder} cannot be used: {detail}")


# --- making ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewHub:
    """What a new hub is to be."""

    origin: str
    unit: str
    name: str
    units_listen: str
    public_listen: str
    units_url: str
    public_url: str
    server_names: tuple[str, ...]
    kdf_cost: int = 1 << 17
    """scrypt's N for the key folders; lower only where the keys guard nothing."""


def init_hub(folder: Path, new: NewHub, *, now: datetime | None = None) -> None:
    """Make a hub in a new folder: secrets, certification authority, keys, ledger, database, settings.

    All or nothing: the folder gets its name when everything in it is durable.

    Raises:
        HubFolderUnusable: something of that name is there already.
    """
    now = now or datetime.now(UTC)
    folder = folder.absolute()
    unit = parse_unit_id(new.unit)
    if folder.exists():
        raise HubFolderUnusable(folder=folder, detail="it exists already")
    if not folder.parent.is_dir():
        raise HubFolderUnusable(folder=folder, detail="its parent folder does not exist")
    building = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    building.mkdir(mode=0o700)
    try:
        _build_hub(building, unit, new, now=now)
        building.replace(folder)
    except BaseException:
        # Nobody was told of these keys yet; half a hub is worth nothing.
        shutil.rmtree(building, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _build_hub(folder: Path, unit: UnitId, new: NewHub, *, now: datetime) -> None:
    secret = _new_secret(folder / "secret")
    root_secret = _new_secret(folder / "root-secret")
    ledger = f"{new.origin}/ledger/{now.year}"
    with Authority.create(
        folder / "pki",
        secret,
        AuthorityNames(unit, new.name),
        crl_base_url=f"{new.public_url}/v1/crls",
        now=now,
        root_secret=root_secret,
        n=new.kdf_cost,
    ) as authority:
        keys = KeyFolder.create(folder / "keys", secret, n=new.kdf_cost)
        evidence = SoftwareSigner.generate(Algorithm.ECDSA_P256_SHA256)
        server = SoftwareSigner.generate(Algorithm.ECDSA_P256_SHA256)
        ledger_key = SoftwareSigner.generate(Algorithm.ED25519)
        for name, signer in ((EVIDENCE_KEY, evidence), (SERVER_KEY, server), (LEDGER_KEY, ledger_key)):
            keys.add(name, name, signer)
        issued = authority.issue_hub(
            unit,
            new.name,
            make_request(evidence),
            make_request(server),
            server_names=new.server_names,
            now=now,
        )
        write_durably(folder / "evidence.pem", issued.seal.public_bytes(Encoding.PEM), replace=False)
        write_durably(
            folder / "server.pem",
            issued.tls.public_bytes(Encoding.PEM) + issued.tls_issuer.public_bytes(Encoding.PEM),
            replace=False,
        )
        policy = encode_policy(Policy((LogLine(note_signer(ledger, ledger_key).verifier),)))
        write_durably(folder / "ledger.policy", policy, replace=False)
        authority.write_trust(folder / "trust", now=now, ledger_policy=policy)
    LocalContents.create(folder / "contents")
    (folder / "signer").mkdir(mode=0o700)
    Journal.create(folder / "signer" / JOURNAL, ledger)
    write_settings(
        folder / CONFIG,
        {
            "origin": new.origin,
            "ledger": ledger,
            "unit": unit,
            "name": new.name,
            "units_listen": new.units_listen,
            "public_listen": new.public_listen,
            "units_url": new.units_url,
            "public_url": new.public_url,
        },
    )
    asyncio.run(_create_database(read_settings(folder / CONFIG), now))
    sync_folder(folder)


async def _create_database(settings: Settings, now: datetime) -> None:
    database = Database(settings.database)
    try:
        await database.migrate()
        await asyncio.to_thread(found_ledger, database, settings.ledger, now)
    finally:
        await database.close()


def found_ledger(database: Database, ledger: str, now: datetime) -> None:
    """The first row of a new ledger: nothing in it yet."""
    with database.writer.begin() as connection:
        connection.execute(
            insert(tables.ledger_state),
            {
                "ledger": ledger,
                "size": 0,
                "root": EMPTY_ROOT,
                "frontier": b"",
                "epoch": 0,
                "at": format_time(now),
            },
        )


def _new_secret(path: Path) -> bytes:
    secret = secrets.token_urlsafe(32).encode()
    write_durably(path, secret + b"\n", mode=0o600, replace=False)
    return secret


# --- operator's acts ------------------------------------------------------------------------------


def invite(config: Path, unit: str, name: str, *, now: datetime | None = None) -> dict[str, str]:
    """Register a unit and make its invitation: a one-time token, and where and whom to trust.

    Hand it over on a way that nobody else reads: whoever holds it can enrol as the unit, once.
    """
    settings = read_settings(config)
    now = now or datetime.now(UTC)
    with open_authority(settings) as authority:
        token = authority.register_unit(parse_unit_id(unit), name, now=now)
        return {
            "public_url": settings.public_url,
            "unit": unit,
            "name": name,
            "token": token,
            "anchor_sha256": digest_of(encode_certificate(authority.root)).removeprefix("sha256:"),
        }


def open_authority(settings: Settings) -> Authority:
    """The hub's certification authority, opened with the hub's secret."""
    return Authority.open(settings.folder / "pki", read_secret(settings))


def read_secret(settings: Settings) -> bytes:
    """The secret of the key folders: from the service manager's credential store, else from the file."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    path = settings.path(settings.secret_file)
    if credentials and (Path(credentials) / "gongwen-hub").exists():
        path = Path(credentials) / "gongwen-hub"
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise HubFolderUnusable(folder=settings.folder, detail=f"the secret {path} cannot be read") from error


def note_signer(origin: str, key: Signer) -> NoteSigner:
    """The ledger's key as the signer of its notes; the key name is the origin."""
    # The DER of an Ed25519 key ends with its 32 raw bytes (RFC 8410 §4).
    return NoteSigner(origin, encode_public_key(key.public_key)[-32:], key.sign)


def revoke(config: Path, unit: str, reason: RevocationReason, *, now: datetime | None = None) -> int:
    """Revoke every certificate of a unit; returns how many. A running hub refuses the unit within a second."""
    now = now or datetime.now(UTC)
    with open_authority(read_settings(config)) as authority:
        valid = [one for one in authority.list(unit=parse_unit_id(unit)) if one.revoked is None]
        for one in valid:
            authority.revoke(one.certificate, reason, now=now)
    return len(valid)


def revocation_lists(
    config: Path, *, root_secret_file: Path | None = None, now: datetime | None = None
) -> list[tuple[str, RevocationList]]:
    """The current list of every authority by name, the root's first; what is due is signed anew.

    The root's list is signed only with the root's secret, and its key in its place; a
    running hub takes the new one within a second.
    """
    settings = read_settings(config)
    secret = None if root_secret_file is None else root_secret_file.read_bytes().strip()
    with Authority.open(settings.folder / "pki", read_secret(settings), root_secret=secret) as authority:
        lists = authority.crls(now or datetime.now(UTC))
        return list(zip(authority.list_urls(), lists, strict=True))


def migrate(config: Path) -> None:
    """Bring the hub's database to the schema of this program."""

    async def upgrade(database: Database) -> None:
        try:
            await database.migrate()
        finally:
            await database.close()

    asyncio.run(upgrade(Database(read_settings(config).database)))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the doctor looked at; ``remedy`` is empty where all is well."""

    name: str
    ok: bool
    remedy: str


def doctor(config: Path) -> list[Check]:
    """Look at everything a hub needs. Nothing changes but revocation lists that are due, which are signed anew."""
    settings = read_settings(config)
    checks = [Check("settings", True, "")]

    def look(name: str, remedy: str, problem: str | None) -> None:
        checks.append(Check(name, problem is None, "" if problem is None else f"{problem}. {remedy}"))

    look(
        "secret",
        "chmod 600, and name it in secret_file",
        _problem(lambda: _check_private(settings.path(settings.secret_file))),
    )
    look(
        "keys",
        "restore keys/ from the backup made by the same secret",
        _problem(lambda: KeyFolder.open(settings.folder / "keys", read_secret(settings))),
    )
    look(
        "authority",
        "restore pki/, or bring the root's key if its list is due",
        _problem(lambda: _check_authority(settings)),
    )
    look("database", "gongwen hub migrate", _problem(lambda: _check_schema(settings)))
    look(
        "signer",
        "find signer/ again; it is never made anew for an old ledger",
        _problem(lambda: Journal(settings.path(settings.signer_folder) / JOURNAL)),
    )
    look(
        "contents",
        "free disk space, or repair the folder's permissions",
        _problem(
            lambda: LocalContents(
                settings.folder / "contents", min_free_bytes=settings.min_free_bytes
            ).check_writable()
        ),
    )
    return checks


def _problem(step: Callable[[], object]) -> str | None:
    """What a step complains about; nothing when it goes through."""
    try:
        step()
    except (Fault, OSError, LedgerError) as error:
        return str(error)
    return None


def _check_private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise HubFolderUnusable(folder=path, detail="others may read the secret")


def _check_authority(settings: Settings) -> None:
    with open_authority(settings) as authority:
        now = datetime.now(UTC)
        for one in authority.crls(now):
            if one.next_update <= now:
                raise HubFolderUnusable(folder=settings.folder, detail="a revocation list has run out")
        if authority.root_list_due(now):
            raise HubFolderUnusable(folder=settings.folder, detail="the root's revocation list is due")


def _check_schema(settings: Settings) -> None:
    async def revision() -> tuple[str | None, str | None]:
        database = Database(settings.database)
        try:
            return await database.revision()
        finally:
            await database.close()

    current, head = asyncio.run(revision())
    if current != head:
        raise HubFolderUnusable(folder=settings.folder, detail=f"schema {current}, needs {head}")
