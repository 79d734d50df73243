"""Alembic's environment: runs on the connection it is given, never on a URL of its own."""

from alembic import context

from exchange.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
