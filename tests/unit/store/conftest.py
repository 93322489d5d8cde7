"""A migrated store on a real PostgreSQL, empty again for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dynoform.configuration import Configuration
from dynoform.store.migrate import upgrade
from dynoform.store.session import Store
from dynoform.store.tables import Base
from tests import postgres


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configuration]:
    """Settings of a stack whose database is a throw-away cluster."""
    if postgres.binaries() is None:
        pytest.skip("no initdb: install the Debian package postgresql")
    secrets = write_secrets(tmp_path_factory.mktemp("secrets"))
    with postgres.cluster() as url:
        yield Configuration.from_environment({"DYNOFORM_DATABASE": url, "DYNOFORM_SECRETS": str(secrets)})


def write_secrets(folder: Path) -> Path:
    """Secrets as the services get them; returns the folder."""
    values = {
        "database_password": "unused",
        "encryption_key": "A" * 42 + "s=",
        "operator_api_key": "operator-key-of-the-tests",
    }
    for name, value in values.items():
        (folder / name).write_text(value)
    return folder


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
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with migrated.transaction() as session:
        session.execute(text(f"TRUNCATE {tables}"))
    return migrated
