"""Alembic's entry: runs migrations on the connection that ``dynoform.store.migrate`` hands over."""

from alembic import context

from dynoform.store.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
