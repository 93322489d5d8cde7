"""Fixtures for tests that need the platform's store: a migrated one on a real PostgreSQL, empty again for each test.

A ``conftest.py`` that wants them imports ``configuration``, ``migrated``, ``store`` and ``small_store``.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import delete

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.errors import ConflictError
from dynoform.store.driver import SmallStore
from dynoform.store.migrate import upgrade
from dynoform.store.session import Store
from dynoform.store.tables import Base
from tests import postgres

OPERATOR_KEY = "operator-key-of-the-tests"
EMAIL = "ann@example.com"


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configuration]:
    """Settings of a stack whose database is a throw-away cluster and whose log plane is nowhere."""
    secrets = write_secrets(tmp_path_factory.mktemp("secrets"))
    with postgres.cluster() as url:
        yield Configuration.from_environment(
            {
                "DYNOFORM_DATABASE": url,
                "DYNOFORM_SECRETS": str(secrets),
                "DYNOFORM_SOURCES": str(tmp_path_factory.mktemp("sources")),
                "DYNOFORM_REPOSITORIES": str(tmp_path_factory.mktemp("repositories")),
                "DYNOFORM_BACKUPS": str(tmp_path_factory.mktemp("backups")),
                "DYNOFORM_PLATFORM_ADDRESS": "127.0.0.1",
                "DYNOFORM_DATA_ADDRESS": "172.29.0.1",
                "DYNOFORM_DYNO_GATEWAY": "172.29.96.1",
                "DYNOFORM_EMAIL": EMAIL,
            }
        )


@pytest.fixture(scope="session")
def migrated(configuration: Configuration) -> Iterator[Store]:
    """A store with its tables."""
    store = Store(configuration, "test", pool=5)
    upgrade(store)
    yield store
    store.close()


@pytest.fixture
def store(migrated: Store) -> Store:
    """The store without a row."""
    # What the last test's API, or worker, was doing when it ended may hold some rows still, and want others.
    for _ in attempts(30):
        with suppress(ConflictError):
            empty(migrated)
            return migrated
    raise AssertionError("the last test's work holds the store, after 30 s")


@pytest.fixture
def small_store(store: Store) -> Iterator[SmallStore]:
    """The same as routers' agents have it."""
    made = SmallStore(store.configuration, "test")
    yield made
    made.close()


def empty(store: Store) -> None:
    """Delete all rows; raises ``ConflictError`` when somebody holds what is to go, and waits for the same."""
    # Small tables: DELETE is ten times as fast as TRUNCATE.
    tables = reversed(Base.metadata.sorted_tables)
    with store.transaction() as session:
        session.connection().exec_driver_sql(";".join(str(delete(table)) for table in tables))


def write_secrets(folder: Path) -> Path:
    """Secrets as services get them; returns the folder."""
    key = "A" * 42 + "s="
    (folder / "certificate_key").write_text(key)
    values = {"database_password": "unused", "encryption_key": key, "operator_api_key": OPERATOR_KEY}
    values["exec_host_key"] = key
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
    return folder
