"""Logical backups by the real CLI on the running platform."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_databases import connect, container, left_behind
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "backups-test"


@pytest.fixture(scope="module")
def url(cli: HerokuCLI, platform: Platform) -> Iterator[str]:
    """An essential database with a table: its address."""
    cli(f"create {APP}")
    cli(f"addons:create heroku-postgresql:essential-0 -a {APP} --wait")
    found = config(platform)["DATABASE_URL"]
    with connect(found) as database:
        rows = "SELECT g AS number, md5(g::text) AS word FROM generate_series(1, 20000) g"
        database.execute(f"CREATE TABLE kept AS {rows}")
    yield found
    cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 90, "nothing of the databases is left")


@pytest.fixture
def heroku(cli: HerokuCLI, url: str) -> HerokuCLI:
    cli.ran.clear()
    return cli


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())


def transfers(platform: Platform) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.api.get(f"/client/v11/apps/{APP}/transfers").raise_for_status().json()
    return found


def count(url: str) -> int:
    with connect(url) as database:
        row = database.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


@covers(
    "pg:backups:capture DATABASE -a myapp",
    "pg:backups:capture DATABASE -a myapp --verbose",
    "pg:backups -a myapp",
    "pg:backups:info -a myapp",
    "pg:backups:info b001 -a myapp",
    "pg:backups:url -a myapp",
    "pg:backups:download -a myapp -o latest.dump",
    "pg:backups:restore b001 DATABASE_URL -a myapp --confirm myapp",
    "pg:backups:restore http://127.0.0.1:5999/dump/1 DATABASE_URL -a myapp --confirm myapp",
    "pg:backups:delete b001 -a myapp --confirm myapp",
)
def test_a_backup_from_capture_to_restore(heroku: HerokuCLI, platform: Platform, url: str, tmp_path: Path) -> None:
    heroku(f"pg:backups:capture DATABASE -a {APP}", seconds=120)
    heroku(f"pg:backups:capture DATABASE -a {APP} --verbose", seconds=120)
    listed, newest, first = heroku.each(
        f"pg:backups -a {APP}", f"pg:backups:info -a {APP}", f"pg:backups:info b001 -a {APP}"
    )
    assert "b001" in listed.text and "b002" in listed.text and "Completed" in listed.text
    assert "b002" in newest.text
    for part in ("b001", "Status: Completed", "Type: Manual", "Database: DATABASE", "transfer succeeded"):
        assert part in first.text
    link = heroku(f"pg:backups:url -a {APP}").out.strip()
    assert link.startswith("https://")
    file = tmp_path / "latest.dump"
    heroku(f"pg:backups:download -a {APP} -o {file}", seconds=120)
    assert file.read_bytes().startswith(b"PGDMP")

    # In the store of backups it is encrypted.
    api = platform.engine.containers.list(filters={"label": f"com.docker.swarm.service.name={STACK}_api"})[0]
    code, said = api.exec_run(["sh", "-c", "head -c 8 /var/lib/dynoform/backups/*; touch /var/lib/dynoform/backups/x"])
    assert b"Salted__" in said and b"PGDMP" not in said and b"Read-only file system" in said, code

    with connect(url) as database:
        database.execute("DELETE FROM kept WHERE number > 10")
    heroku(f"pg:backups:restore b001 DATABASE_URL -a {APP} --confirm {APP}", seconds=120)
    assert count(url) == 20000
    with connect(url) as database:
        database.execute("DROP TABLE kept")
    heroku(f"pg:backups:restore {link} DATABASE_URL -a {APP} --confirm {APP}", seconds=120)
    assert count(url) == 20000
    heroku(f"pg:backups:delete b001 -a {APP} --confirm {APP}")
    assert "b001" not in heroku(f"pg:backups -a {APP}").text


@covers("pg:copy DATABASE HEROKU_POSTGRESQL_PINK -a myapp --confirm PINK")
def test_a_copy_from_database_to_database(heroku: HerokuCLI, platform: Platform, url: str) -> None:
    heroku(f"addons:create heroku-postgresql:essential-0 -a {APP} --as HEROKU_POSTGRESQL_PINK --wait")
    heroku(f"pg:copy DATABASE HEROKU_POSTGRESQL_PINK -a {APP} --confirm PINK", seconds=120)
    assert count(config(platform)["HEROKU_POSTGRESQL_PINK_URL"]) == count(url)
    # What is destroyed leaves a last backup.
    before = len(transfers(platform))
    heroku(f"addons:destroy HEROKU_POSTGRESQL_PINK -a {APP} --confirm {APP}")
    eventually(lambda: len(transfers(platform)) == before + 1, 30, "a last backup")
    assert eventually(lambda: transfers(platform)[-1]["finished_at"], 30, "it is made")
    assert transfers(platform)[-1]["succeeded"] is True


@covers(
    'pg:backups:schedule DATABASE --at "02:00 UTC" -a myapp',
    "pg:backups:schedules -a myapp",
    "pg:backups:unschedule DATABASE -a myapp",
)
def test_a_schedule(heroku: HerokuCLI, platform: Platform, url: str) -> None:
    heroku(f'pg:backups:schedule DATABASE --at "02:00 UTC" -a {APP}')
    assert "02:00 UTC" in heroku(f"pg:backups:schedules -a {APP}").text.replace("2:00", "02:00").replace("002", "02")
    service = {"label": f"com.docker.swarm.service.name={STACK}_postgres", "status": "running"}
    (store,) = platform.engine.containers.list(filters=service)
    sql = "UPDATE transfer_schedules SET next_at = now() - interval '1 second'"
    assert store.exec_run(["psql", "-X", "-d", "dynoform", "-c", sql], user="postgres").exit_code == 0
    made = eventually(
        lambda: [each for each in transfers(platform) if each["schedule"] and each["finished_at"]], 60, "it is made"
    )
    assert made[-1]["succeeded"] is True
    assert f"a{made[-1]['num']:03}" in heroku(f"pg:backups -a {APP}").text
    heroku(f"pg:backups:unschedule DATABASE -a {APP}")
    assert "02:00" not in heroku(f"pg:backups:schedules -a {APP}").text


@covers("pg:backups:cancel b001 -a myapp")
def test_a_backup_that_waits_is_canceled(heroku: HerokuCLI, platform: Platform, url: str) -> None:
    with psycopg.connect(url) as busy:
        addon, made, path = _begun_behind(busy, platform)
        heroku(f"pg:backups:cancel b{made['num']:03} -a {APP}")
        found = eventually(lambda: _finished(platform, path), 30, "it has ended")
    assert found["succeeded"] is False and found["canceled_at"] is not None
    assert not _jobs(platform, made)
    assert container(platform, addon["id"]) is not None


def test_a_backup_whose_job_was_killed_is_made_all_the_same(platform: Platform, url: str) -> None:
    with psycopg.connect(url) as busy:
        _, made, path = _begun_behind(busy, platform)
        (job,) = _jobs(platform, made)
        job.kill()
        eventually(lambda: [each for each in _jobs(platform, made) if each.id != job.id], 30, "there is another job")
    found = eventually(lambda: _finished(platform, path), 30, "it has ended")
    said = [each["message"] for each in platform.api.get(path, params={"verbose": "true"}).json()["logs"]]
    assert found["succeeded"] is True and "begun again" in said
    eventually(lambda: not _jobs(platform, made), 30, "its job is taken away")


def _begun_behind(busy: "psycopg.Connection[Any]", platform: Platform) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A backup under way, which waits for that connection's end: the add-on, the backup, and its path."""
    busy.execute("LOCK TABLE kept IN ACCESS EXCLUSIVE MODE")
    # The other database's end may not be over yet.
    found = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    (addon,) = [each for each in found if "DATABASE_URL" in each["config_vars"]]
    made = platform.api.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status().json()
    path = f"/client/v11/apps/{APP}/transfers/{made['uuid']}"
    eventually(lambda: platform.api.get(path).raise_for_status().json()["started_at"], 30, "it has begun")
    return addon, made, path


def _jobs(platform: Platform, made: dict[str, Any]) -> list[Any]:
    return list(platform.engine.containers.list(all=True, filters={"name": made["uuid"]}, ignore_removed=True))


def _finished(platform: Platform, path: str) -> Any:
    found = platform.api.get(path).raise_for_status().json()
    return found if found["finished_at"] else None
