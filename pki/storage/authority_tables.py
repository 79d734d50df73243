"""The authority's tables, and the database they stand in.

SQLite in WAL mode with ``synchronous=FULL``: what is committed has survived the
power cut. Writing transactions take the write lock at their beginning, so that a check
and the row that rests on it cannot be separated by another process. The schema's
history is in ``migrations``; these tables are its latest state.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.types import TypeDecorator

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Instant(TypeDecorator[datetime]):
    """An aware datetime as UTC text of fixed width, so that it sorts and reads well."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).strftime(_FORMAT)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else datetime.strptime(value, _FORMAT).replace(tzinfo=UTC)


class Serial(TypeDecorator[int]):
    """A serial number of up to 160 bits, as hex text."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else f"{value:040x}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """From the database."""
        return None if value is None else int(value, 16)


METADATA = MetaData()

SETTINGS = Table(
    "settings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("crl_base_url", String, nullable=False),
)

CERTIFIERS = Table(
    "certifiers",
    METADATA,
    Column("name", String, primary_key=True),
    Column("certificate", LargeBinary, nullable=False),
    Column("crl_url", String, nullable=False),
    Column("crl_number", Integer, nullable=False),
)
"""Root and issuing authorities; ``crl_number`` is the last number given out, signed or not."""

UNITS = Table(
    "units",
    METADATA,
    Column("unit", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("registered_at", Instant, nullable=False),
)

INVITATIONS = Table(
    "invitations",
    METADATA,
    Column("token_digest", LargeBinary(32), primary_key=True),
    Column("unit", String, ForeignKey("units.unit"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("request_digest", LargeBinary(32)),
)
"""The token itself is nowhere. ``request_digest`` binds a used one to what it was used for."""

INTENTS = Table(
    "intents",
    METADATA,
    Column("serial", Serial, primary_key=True),
    Column("issuer", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("key_digest", LargeBinary(32), nullable=False),
    Column("to_be_signed", LargeBinary, nullable=False),
    Column("invitation", LargeBinary(32), ForeignKey("invitations.token_digest")),
    Column("prepared_at", Instant, nullable=False),
    Column("spent_at", Instant),
    Index("intents_by_key", "key_digest"),
)
"""What was about to be signed. The serial number is given out by this row, once for ever."""

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("fingerprint", String(71), primary_key=True),
    Column("serial", Serial, ForeignKey("intents.serial"), nullable=False),
    Column("issuer", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("issued_at", Instant, nullable=False),
    UniqueConstraint("serial", name="one_certificate_per_serial"),
    Index("certificates_by_unit", "unit"),
)

REVOCATIONS = Table(
    "revocations",
    METADATA,
    Column("serial", Serial, ForeignKey("certificates.serial"), primary_key=True),
    Column("issuer", String, nullable=False),
    Column("revoked_at", Instant, nullable=False),
    Column("reason", String, nullable=False),
)

LISTS = Table(
    "revocation_lists",
    METADATA,
    Column("issuer", String, ForeignKey("certifiers.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("this_update", Instant, nullable=False),
    Column("next_update", Instant, nullable=False),
    Column("der", LargeBinary, nullable=False),
)


class Database:
    """The authority's database, open."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine
        self._writer = engine.execution_options(writing=True)

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Database:
        """Open it and bring its schema up to date; made only if ``create`` says so.

        Raises:
            FileNotFoundError: it is not there and was not to be made.
            SchemaTooNew: a newer program has written it.
        """
        if not create and not path.is_file():
            raise FileNotFoundError(path)
        engine = create_engine(f"sqlite:///{path}")
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", _begin)
        database = cls(engine)
        try:
            database._migrate()
        except BaseException:
            engine.dispose()
            raise
        return database

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction under the write lock; durable when the block has ended without an error."""
        with self._writer.begin() as connection:
            yield connection

    def schema_differences(self) -> list[object]:
        """What the migrations left different from the tables above; empty, or a test fails."""
        with self.reading() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        with self.writing() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            script = ScriptDirectory.from_config(config)
            known = {revision.revision for revision in script.walk_revisions()}
            if current is not None and current not in known:
                raise SchemaTooNew(current)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


class SchemaTooNew(Exception):
    """The database was written by a newer program."""


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own idea of when a transaction begins is switched off; _begin says it.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
