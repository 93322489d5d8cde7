"""The store by the driver alone promises what the other does, on a real PostgreSQL."""

from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select, text

from dynoform.configuration import Configuration
from dynoform.errors import ConflictError, InvalidInputError, UnavailableError
from dynoform.store.driver import SmallStore
from dynoform.store.session import Store
from dynoform.store.tables import Lease
from tests.postgres import free_port
from tests.store_fixtures import write_secrets

ADD = "INSERT INTO leases (name, holder, expires_at) VALUES (%s, 'x', now())"


def test_a_block_is_a_transaction_and_its_connection_is_kept(small_store: SmallStore, store: Store) -> None:
    with small_store.transaction() as connection:
        first = connection.info.backend_pid
        connection.execute(ADD, ("kept",))
    with pytest.raises(RuntimeError), small_store.transaction() as connection:
        connection.execute(ADD, ("lost",))
        raise RuntimeError
    with small_store.transaction() as connection, small_store.transaction() as other:
        assert connection.info.backend_pid == first != other.info.backend_pid
        named = "SELECT application_name FROM pg_stat_activity WHERE pid = %s"
        assert other.execute(named, (first,)).fetchone() == ("dynoform-test",)
    with store.transaction() as session:
        assert session.scalars(select(Lease.name)).all() == ["kept"]


def test_one_that_died_while_it_rested_is_made_anew(small_store: SmallStore, store: Store) -> None:
    with small_store.transaction() as connection:
        first = connection.info.backend_pid
    with store.transaction() as session:
        session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})
    with small_store.transaction() as connection:
        assert connection.info.backend_pid != first


def test_one_that_dies_at_work_is_unavailable(small_store: SmallStore) -> None:
    with pytest.raises(UnavailableError, match="the database does not answer"), small_store.transaction() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with small_store.transaction() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_errors_are_told_apart(small_store: SmallStore) -> None:
    with small_store.transaction() as holder:
        holder.execute("LOCK TABLE leases")
        with (
            pytest.raises(ConflictError, match="another change to the same thing"),
            small_store.transaction() as connection,
        ):
            connection.execute("SET LOCAL lock_timeout = '50ms'")
            connection.execute("LOCK TABLE leases")
    with pytest.raises(ConflictError, match="another change came in between"), small_store.transaction() as connection:
        connection.cursor().executemany(ADD, [("twice",), ("twice",)])
    with pytest.raises(InvalidInputError, match="a value: cannot be stored"), small_store.transaction() as connection:
        connection.execute(ADD, ("a\0b",))
    with pytest.raises(psycopg.ProgrammingError), small_store.transaction() as connection:
        connection.execute("SELEC 1")


def test_a_database_that_is_not_there_is_waited_for_as_long_as_one_says(
    small_store: SmallStore, tmp_path: Path
) -> None:
    small_store.wait_until_ready(5)
    url = f"postgresql+psycopg://dynoform@127.0.0.1:{free_port()}/dynoform"
    environment = {"DYNOFORM_DATABASE": url, "DYNOFORM_SECRETS": str(write_secrets(tmp_path))}
    away = SmallStore(Configuration.from_environment(environment), "test")
    with pytest.raises(UnavailableError, match=r"not ready after 0\.3 s"):
        away.wait_until_ready(0.3)
