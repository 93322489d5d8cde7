"""A database with more than its plan's disk: its users are told, lose INSERT, and get it back."""

from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from dynoform.domain.data_services import GIB
from dynoform.store.session import Store
from tests.contract.test_database_protection import FULL, Told, addon, info, look
from tests.contract.test_databases import config, place
from tests.local_databases import Local, backup, repository

__all__ = ["addon", "place"]


def test_insert_is_revoked_at_twice_the_limit_and_granted_again_below(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    told: list[tuple[str, str, str]] = []
    place.worker.logs = Told(told)
    url = config(client)["DATABASE_URL"]
    with place.connect(url) as database:
        database.execute('CREATE TABLE "kept rows" (number int); CREATE TABLE others (number int)')
        database.execute("GRANT INSERT ON others TO pg_monitor")
        # A function of the user's that fits better than PostgreSQL's own is not taken for it by the superuser.
        database.execute("CREATE FUNCTION format(text, regclass, regrole) RETURNS text RETURN 'GRANT ALL TO nobody'")
        arguments = "text, text, text, bigint, text, bigint, text, bigint"
        database.execute(f"CREATE FUNCTION json_build_object({arguments}) RETURNS json RETURN '{{}}'::json")
        database.execute('INSERT INTO "kept rows" VALUES (1)')
        # Neither is what he sets for all who begin to read there from now on.
        database.execute(f'ALTER DATABASE "{database.info.dbname}" SET default_transaction_read_only = on')

        place.engine.said = repository(backup(FULL), data_bytes=int(1.5 * GIB))
        look(place, store)
        assert info(client, addon)["Data Size"].endswith("(Above limits, access disruption imminent)")
        assert "Data size: 1.5 GB of 1.0 GB, INSERT will be revoked at" in told[-1][2]
        database.execute('INSERT INTO "kept rows" VALUES (2)')

        place.engine.said = repository(backup(FULL), data_bytes=3 * GIB)
        look(place, store)
        assert info(client, addon)["Data Size"].endswith("(Above limits, write access revoked)")
        assert "INSERT is revoked until it has less" in told[-1][2]
        database.execute("CREATE TABLE later (number int)")
        place.engine.said = repository(backup(FULL), data_bytes=3 * GIB, revoked=True)
        look(place, store)
        for table in ("kept rows", "others", "later"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                insert(database, table)
        database.execute('UPDATE "kept rows" SET number = 5 WHERE number = 1')
        database.execute('DELETE FROM "kept rows" WHERE number = 2; DROP TABLE later')
        assert not monitor_inserts(database)

        place.engine.said = repository(backup(FULL), data_bytes=GIB // 2, revoked=True)
        look(place, store)
        assert info(client, addon)["Data Size"].endswith("(In compliance)")
        assert told[-1][2].endswith("within its limit again; INSERT is granted again")
        for table in ("kept rows", "others"):
            insert(database, table)
        assert monitor_inserts(database)
    place.engine.said = repository(backup(FULL), data_bytes=GIB // 2)
    look(place, store)


def insert(database: "psycopg.Connection[Any]", table: str) -> None:
    database.execute(sql.SQL("INSERT INTO {} VALUES (3)").format(sql.Identifier(table)))


def monitor_inserts(database: "psycopg.Connection[Any]") -> bool:
    row = database.execute("SELECT has_table_privilege('pg_monitor', 'others', 'INSERT')").fetchone()
    return bool(row and row[0])


def test_what_was_dropped_is_told_and_backed_up_anew(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    place.engine.started.clear()
    place.engine.said = repository(backup(timedelta(hours=1)), dropped=1_790_000_000)
    look(place, store)
    assert info(client, addon)["Continuous Protection"].startswith("Off: changes since 2026-09-21 14:13:20 UTC were")
    assert place.engine.started[-1][1:] == ["/opt/dynoform/protect", "backup", "full"]
    refused = client.post(
        "/apps/myapp/addons", json={"plan": "heroku-postgresql:essential-0", "config": {"fork": "DATABASE"}}
    )
    assert refused.status_code == 422
    assert "has no backup since changes were dropped" in refused.json()["message"]
