"""What a database may have on its disk, by the real CLI on the running platform: data, and WAL that nobody takes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import Platform, eventually, provision
from tests.e2e.test_database_protection import brought, info, look, within
from tests.e2e.test_databases import connect, container, left_behind, says
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "limits-test"
HOME, REPOSITORY = "/var/lib/postgresql", "/var/lib/pgbackrest"
SEGMENT = 16 * 2**20


@pytest.fixture(scope="module")
def addon(cli: HerokuCLI, platform: Platform) -> Iterator[dict[str, Any]]:
    """An essential database with its first backup."""
    cli(f"create {APP}")
    made = provision(platform, APP)
    eventually(lambda: info(platform, made)["Rollback"].startswith("earliest from "), 300, "the first backup is there")
    yield made
    cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 90, "nothing of the databases is left")


def url(platform: Platform) -> str:
    return str(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json()["DATABASE_URL"])


def data_size(platform: Platform, addon: dict[str, Any]) -> str:
    """As ``pg:info`` shows it; nothing while the process of databases is busy."""
    return info(platform, addon).get("Data Size", "")


def test_insert_is_revoked_while_there_is_twice_what_the_plan_has(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any]
) -> None:
    """A file with a hole is in the database's folder, of which PostgreSQL counts the length: 2.4 GB in a moment."""
    found = container(platform, addon["id"])
    with connect(url(platform)) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        row = database.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        assert row
        file = f"{HOME}/17/base/{row[0]}/large"
        within(found, f"truncate --size=2500M {file}")
        revoked = "(Above limits, write access revoked)"
        brought(platform, lambda: data_size(platform, addon).endswith(revoked), 60, "it is shown")
        says(cli, f"pg:info -a {APP}", "Data Size: 2.4 GB / 1.0 GB (24", revoked)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute("INSERT INTO kept VALUES (1)")
        database.execute("UPDATE kept SET answer = 43")
        told = f"source={addon['name']} Data size: 2.4 GB of 1.0 GB, INSERT is revoked until it has less"
        eventually(lambda: told in cli(f"logs -a {APP}").text, 30, "the app's log says so")
        within(found, f"rm {file}")
        complies = "(In compliance)"
        brought(platform, lambda: data_size(platform, addon).endswith(complies), 60, "it is shown that all is well")
        database.execute("INSERT INTO kept VALUES (1)")
        assert database.execute("SELECT sum(answer) FROM kept").fetchone() == (44,)


@pytest.mark.chaos
def test_a_repository_that_takes_nothing_does_not_fill_the_disk_and_the_gap_is_said(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = container(platform, addon["id"])
    within(found, f"find {REPOSITORY}/archive/db -type d -exec chmod 0500 {{}} +")
    write = "-c \"SELECT pg_logical_emit_message(true, 'a', 'b')\" -c 'SELECT pg_switch_wal()'"
    within(found, f"for _ in {{1..80}}; do psql -X -q -d postgres {write} >/dev/null; done")
    eventually(
        lambda: "there" in within(found, f"ls {HOME}/archive.dropped && echo there || true"), 120, "WAL is dropped"
    )
    broken = datetime.now(UTC)
    waiting = int(within(found, f"ls {HOME}/17/pg_wal/archive_status | grep -c ready"))
    size = int(within(found, f"du -sb {HOME}/17/pg_wal").split()[0])
    assert 50 <= waiting <= 65 and size < 90 * SEGMENT  # those that are allowed, and the one that is handed over
    with connect(url(platform)) as database:
        database.execute("CREATE TABLE lost AS SELECT 1 AS number")
        database.execute("SELECT 1")
    look(platform)
    off = "Off: changes since "
    eventually(lambda: info(platform, addon)["Continuous Protection"].startswith(off), 60, "pg:info shows the gap")
    shown = info(platform, addon)["Continuous Protection"]
    assert "were dropped to save the disk: the repository took none, a full backup is made" in shown
    words = f"addons:create heroku-postgresql:essential-0 -a {APP} --as COPY --wait --"
    refused = cli(f"{words} --fork DATABASE", code=2)
    assert "has no backup since changes were dropped" in refused.text

    within(found, f"find {REPOSITORY}/archive/db -type d -exec chmod 0700 {{}} +")
    well = "it is taken again, and there is a full backup"
    brought(platform, lambda: info(platform, addon)["Continuous Protection"] == "On", 240, well)
    assert "archive.dropped" not in within(found, f"ls {HOME}")
    to = broken - timedelta(seconds=1)
    refused = cli(f"{words} --rollback DATABASE --to '{to:%Y-%m-%d %H:%M:%S} UTC'", code=2)
    assert "were dropped" in refused.text
    provision(platform, APP, config={"fork": "DATABASE"}, attachment={"name": "COPY"})
    copy = str(platform.api.get(f"/apps/{APP}/config-vars").json()["COPY_URL"])
    with connect(copy) as database:
        assert database.execute("SELECT number FROM lost").fetchone() == (1,)
    with capsys.disabled():
        print(f"\nrepository away: {waiting} segments waited, {size / 2**20:.0f} MiB of WAL on the disk")
