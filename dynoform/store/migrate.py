"""Bring the store's schema up to date: ``python3 -m dynoform.store.migrate``.

A program of its own because Alembic would stay in the API's memory for work of a second.
"""

import sys

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store.session import Store

_LOCK = 0x64796E6F  # "dyno": one upgrade at a time in this database


def upgrade(store: Store) -> None:
    """Run the migrations that this schema lacks, all or none of each, while every other upgrade waits.

    Waits for the database as long as it takes; SQLAlchemy's errors pass through when a migration itself fails.
    """
    for _ in attempts(None):
        if store.answers():
            break
    with store.engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '10min'"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(alembic_configuration(connection), "head")
        connection.commit()


def alembic_configuration(connection: object) -> Config:
    """Alembic's settings without a file: the migrations of this package on this connection."""
    configuration = Config()
    configuration.set_main_option("script_location", "dynoform.store:migrations")
    configuration.attributes["connection"] = connection
    return configuration


def main() -> int:
    """Upgrade the database that the environment names; returns the exit code."""
    journal = Journal("migrate")
    try:
        store = Store(Configuration.from_environment(), "migrate", pool=1)
        upgrade(store)
        store.close()
    except DynoformError as error:
        journal.error("failed", error=error)
        return 1
    journal.info("schema is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
