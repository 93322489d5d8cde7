"""What the CLI does with a database itself, once the API has told it the address: psql and its relatives.

The databases are real ones, on the tests' own server; so is everything but the provider of the add-on.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from dynoform.addons.provider import Answer, Resource
from dynoform.addons.queue import Surroundings
from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.configuration import Configuration
from dynoform.domain import addons
from tests.contract.addon_fixtures import at_work
from tests.contract.addon_provider import MANIFEST
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

SERVICE = "heroku-postgresql"
ATTACHED: LiteralString = "cli_attached"
LOCAL: LiteralString = "cli_local"


class Databases:
    """A provider whose add-ons are all one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def provision(self, wanted: Resource) -> Answer:
        return Answer(config={"DATABASE_URL": self.url})

    change_plan = deprovision = provision


@pytest.fixture
def server(configuration: Configuration) -> Iterator[str]:
    """libpq's URL of the tests' server, without a database; for the length of a test it has two."""
    url = make_url(configuration.database_url).set(drivername="postgres", host="localhost", password="of-nobody")
    base = url.set(database="").render_as_string(hide_password=False).rstrip("/")
    with psycopg.connect(f"{base}/dynoform", autocommit=True) as connection:
        for name in (ATTACHED, LOCAL):
            connection.execute(f"CREATE DATABASE {name}")
        yield base
        for name in (ATTACHED, LOCAL):
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(
    client: httpx.Client, services: Services, server: str, myapp: str
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to the database that ``myapp`` has as DATABASE."""
    url = f"{server}/{ATTACHED}"
    api = {**MANIFEST["api"], "config_vars": ["DATABASE_URL"], "config_vars_prefix": "DATABASE"}
    api["production"] = {"base_url": "https://provider.example.com"}
    manifest = {**MANIFEST, "id": SERVICE, "api": api}
    client.put(f"/dynoform/addon-services/{SERVICE}", json=manifest).raise_for_status()
    around = Surroundings(services.configuration.api_url, "local")
    providers = {addons.PARTNER: Databases(url)}
    worker = Worker(services.store, services.vault, providers, around, services.logs, services.journal)
    with at_work(worker), psycopg.connect(url, autocommit=True) as connection:
        client.post("/apps/myapp/addons", json={"plan": f"{SERVICE}:mini"}).raise_for_status()
        yield connection


@covers('pg:psql -a myapp -c "select 1"', "pg:psql DATABASE -a myapp")
def test_psql_runs_statements(heroku: HerokuCLI, database: psycopg.Connection[tuple[Any, ...]]) -> None:
    heroku('pg:psql -a myapp -c "create table made as select 42 as answer"')
    assert database.execute("SELECT answer FROM made").fetchall() == [(42,)]
    ran = heroku("pg:psql DATABASE -a myapp", stdin="insert into made values (43);\nselect sum(answer) from made;\n")
    assert ["85"] in ran.table


@covers("pg:ps -a myapp", "pg:locks -a myapp")
def test_queries_and_locks_are_shown(
    heroku: HerokuCLI, database: psycopg.Connection[tuple[Any, ...]], server: str
) -> None:
    database.execute("CREATE TABLE held (a int)")
    with psycopg.connect(f"{server}/{ATTACHED}") as busy:
        busy.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        identifier = str(busy.info.backend_pid)
        queries, locks = heroku.each("pg:ps -a myapp", "pg:locks -a myapp")
    assert any(identifier in row and "LOCK" in row for row in queries.table)
    assert any(identifier in row and "held" in row for row in locks.table)


@covers("pg:kill 1 -a myapp")
def test_kill_ends_a_query(heroku: HerokuCLI, database: psycopg.Connection[tuple[Any, ...]], server: str) -> None:
    with psycopg.connect(f"{server}/{ATTACHED}") as busy, ThreadPoolExecutor(1) as pool:
        asleep = pool.submit(busy.execute, "SELECT pg_sleep(300)")
        running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while database.execute(running).fetchone() != (1,):
            assert not asleep.done()
        heroku(f"pg:kill {busy.info.backend_pid} -a myapp")
        with pytest.raises(psycopg.errors.QueryCanceled):
            asleep.result(60)


@covers("pg:blocking -a myapp", "pg:kill 1 --force -a myapp")
def test_who_blocks_others_is_shown_and_who_waits_is_ended(
    heroku: HerokuCLI, database: psycopg.Connection[tuple[Any, ...]], server: str
) -> None:
    database.execute("CREATE TABLE held AS SELECT 1 AS a")
    url = f"{server}/{ATTACHED}"
    with psycopg.connect(url) as holds, psycopg.connect(url) as waits, ThreadPoolExecutor(1) as pool:
        holds.execute("UPDATE held SET a = 0")
        asleep = pool.submit(waits.execute, "UPDATE held SET a = 2")
        waiting, holding = str(waits.info.backend_pid), str(holds.info.backend_pid)
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while database.execute(blocked).fetchone() != (1,):
            assert not asleep.done()
        assert any(waiting in row and holding in row for row in heroku("pg:blocking -a myapp").table)
        heroku(f"pg:kill {waiting} --force -a myapp")
        with pytest.raises(psycopg.errors.AdminShutdown):
            asleep.result(60)


@covers("pg:extensions -a myapp")
def test_allowed_extensions_are_shown(heroku: HerokuCLI, database: psycopg.Connection[tuple[Any, ...]]) -> None:
    database.execute(f"ALTER DATABASE {ATTACHED} SET extwlist.extensions = 'plpgsql'")
    assert "PL/pgSQL procedural language" in heroku("pg:extensions -a myapp").text


@covers("pg:push db2 DATABASE -a myapp")
def test_push_copies_a_local_database(
    heroku: HerokuCLI, database: psycopg.Connection[tuple[Any, ...]], server: str
) -> None:
    """On localhost, and nowhere else, the CLI makes the database that it pushes to."""
    database.close()
    with psycopg.connect(f"{server}/{LOCAL}", autocommit=True) as local:
        local.execute("CREATE TABLE pushed AS SELECT 'over' AS word")
        local.execute(f"DROP DATABASE {ATTACHED} WITH (FORCE)")
    heroku(f"pg:push {server}/{LOCAL} DATABASE -a myapp")
    with psycopg.connect(f"{server}/{ATTACHED}") as pushed:
        assert pushed.execute("SELECT word FROM pushed").fetchall() == [("over",)]
