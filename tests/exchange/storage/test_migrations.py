"""The schema that migrations make is the one that the program reads, and it can be taken back."""

from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect

from exchange.storage.database import MIGRATIONS
from exchange.storage.tables import metadata


def configured(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def test_migrations_make_exactly_the_tables_of_the_program() -> None:
    with create_engine("sqlite://").begin() as connection:
        command.upgrade(configured(connection), "head")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrations_can_be_taken_back_and_made_again() -> None:
    with create_engine("sqlite://").begin() as connection:
        command.upgrade(configured(connection), "head")
        command.downgrade(configured(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
        command.upgrade(configured(connection), "head")
        assert set(metadata.tables) <= set(inspect(connection).get_table_names())
