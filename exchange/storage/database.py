"""Opening the database: engines, pragmas, migrations.

SQLite in WAL mode with ``synchronous=FULL``: a committed transaction survives a
power cut (``NORMAL`` would lose it). Transactions begin ``IMMEDIATE`` on the
writing engine, so that a writer never fails half way for want of the lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from exchange.protocol.errors import StorageBusy, StorageFull, Unavailable

MIGRATIONS: Final = Path(__file__).with_name("migrations")
BUSY_SECONDS: Final = 5


class Database:
    """The hub's database: one engine that writes, one that only reads.

    The writer is a plain engine, used by one thread: a batch of a dozen statements over
    an async driver is as many hops between threads, and took five times as long.
    """

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        self.reader: AsyncEngine = create_async_engine(url, pool_size=4, max_overflow=4)
        is_sqlite = self.reader.dialect.name == "sqlite"
        self.writer: Engine = create_engine(
            make_url(url).set(drivername="sqlite+pysqlite" if is_sqlite else make_url(url).drivername),
            pool_size=1,
            max_overflow=0,
            # The one writing thread is not the thread that made the engine.
            connect_args={"check_same_thread": False} if is_sqlite else {},
            poolclass=QueuePool,
        )
        if is_sqlite:
            self._busy = int(busy_seconds * 1000)
            event.listen(self.writer, "connect", self._sqlite_writer)
            event.listen(self.writer, "begin", _begin_immediate)
            event.listen(self.reader.sync_engine, "connect", self._sqlite_reader)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; its failures are :class:`Unavailable`."""
        with as_unavailable():
            async with self.reader.connect() as connection:
                yield connection

    async def migrate(self) -> None:
        """Bring the schema to the newest revision; creates it in an empty database."""
        await asyncio.to_thread(self._migrate)

    def _migrate(self) -> None:
        with self.writer.begin() as connection:
            _upgrade(connection)

    async def revision(self) -> tuple[str | None, str | None]:
        """The schema's revision, and the one this program needs."""
        async with self.reader.connect() as connection:
            current = await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_revision()
            )
        return current, ScriptDirectory(str(MIGRATIONS)).get_current_head()

    async def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        await self.reader.dispose()

    def _sqlite_writer(self, raw: SqliteConnection, _entry: ConnectionPoolEntry) -> None:
        # We begin transactions ourselves: the driver's own begin is DEFERRED and can
        # fail half way with SQLITE_BUSY.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in (
            f"busy_timeout = {self._busy}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "wal_autocheckpoint = 4000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def _sqlite_reader(self, raw: SqliteConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = raw.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {self._busy}")
        cursor.execute("PRAGMA query_only = ON")
        cursor.close()


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Turn what a database raises into errors that a caller can act on."""
    try:
        yield
    except DBAPIError as error:
        raise unavailable(error) from error


def unavailable(error: DBAPIError) -> Unavailable:
    """What a database error means to a caller: nothing was kept, trying again may help."""
    sentence = str(error.orig).lower()
    if "full" in sentence or "no space" in sentence or "disk i/o" in sentence:
        return StorageFull()
    if isinstance(error, OperationalError) and ("locked" in sentence or "busy" in sentence):
        return StorageBusy()
    return Unavailable(detail=type(error.orig).__name__)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
