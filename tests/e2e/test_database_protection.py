"""Continuous protection by the real CLI on the running platform: any second can be had again, what is lost is said."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest

from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_databases import answers, connect, container, left_behind, refusal, resident, worker
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "protection-test"
HOSTILE = """CREATE SCHEMA theirs
CREATE FUNCTION theirs.fail() RETURNS "char" LANGUAGE plpgsql AS 'BEGIN RAISE ''run as %'', current_user; END'
CREATE VIEW theirs.pg_class AS SELECT oid, relname, relnamespace, theirs.fail() AS relkind FROM pg_catalog.pg_class
ALTER DATABASE "{0}" SET statement_timeout = 1
ALTER DATABASE "{0}" SET search_path = theirs, pg_catalog"""
"""What a user does to have the platform run something of his."""
REPOSITORY = "/var/lib/pgbackrest"


@pytest.fixture(scope="module")
def addon(cli: HerokuCLI, platform: Platform) -> Iterator[dict[str, Any]]:
    """An essential database with its first backup."""
    cli(f"create {APP}")
    cli(f"addons:create heroku-postgresql:essential-0 -a {APP} --wait")
    (made,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    eventually(lambda: info(platform, made)["Rollback"].startswith("earliest from "), 300, "the first backup is there")
    yield made
    cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 90, "nothing of the databases is left")


def info(platform: Platform, addon: dict[str, Any]) -> dict[str, str]:
    shown = platform.api.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
    return {line["name"]: line["values"][0] for line in shown["info"]}


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())


def within(found: Any, script: str, user: str = "postgres") -> str:
    """What a shell prints in a container."""
    code, said = found.exec_run(["bash", "-c", script], user=user)
    assert code == 0, said.decode()
    return str(said.decode())


def look(platform: Platform, also: str = "") -> None:
    """Have all repositories looked at now, and not at the next tenth minute."""
    service = {"label": f"com.docker.swarm.service.name={STACK}_postgres", "status": "running"}
    (store,) = platform.engine.containers.list(filters=service)
    sql = f"UPDATE databases SET {also}look_at = now() - interval '1 second'"  # noqa: S608 - words of these tests
    within(store, f'psql -X -q -d dynoform -c "{sql}"')


def brought(platform: Platform, check: Callable[[], Any], seconds: float, what: str) -> Any:
    """As ``eventually``, by looks until then: one that was under way puts off the next by ten minutes."""

    def again() -> Any:
        look(platform)
        return check()

    return eventually(again, seconds, what)


def test_any_second_can_be_had_again_and_nobody_gets_in_who_could_before(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    url = config(platform)["DATABASE_URL"]
    rest = resident(container(platform, addon["id"]))
    assert rest < 60, "MiB of an essential database that is protected"
    with connect(url) as database:
        database.execute("CREATE TABLE kept (number int, at timestamptz DEFAULT clock_timestamp())")
        for number in range(5):
            database.execute("INSERT INTO kept VALUES (%s)", [number])
            time.sleep(1.1)
        (to,) = database.execute("SELECT at FROM kept WHERE number = 2").fetchone() or (None,)
        assert isinstance(to, datetime)
        second = to.astimezone(UTC).replace(microsecond=0)
        expected = database.execute("SELECT count(*) FROM kept WHERE at <= %s", [second]).fetchone()
        database.execute("DROP TABLE kept")

    began = time.monotonic()
    at = f"{second:%Y-%m-%d %H:%M:%S} UTC"
    words = f"addons:create heroku-postgresql:essential-0 -a {APP} --as BACK --wait --"
    cli(f"{words} --rollback DATABASE_URL --to '{at}'")
    seconds = time.monotonic() - began
    back = config(platform)["BACK_URL"]
    with connect(back) as restored:
        assert restored.execute("SELECT count(*) FROM kept").fetchone() == expected == (2,)
        assert restored.execute("SELECT max(at) <= %s FROM kept", [second]).fetchone() == (True,)
        restored.execute("INSERT INTO kept VALUES (9)")
    with connect(url) as database:
        assert database.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    user, password = url.split("//")[1].split("@")[0].split(":")
    assert "password authentication failed" in refusal(back, user=user, password=password)

    # A copy of the copy, which has a repository of its own by then.
    (made,) = [each for each in platform.api.get(f"/apps/{APP}/addons").json() if each["id"] != addon["id"]]
    eventually(lambda: info(platform, made)["Rollback"].startswith("earliest from "), 300, "the copy has a backup")
    assert info(platform, made)["Forked From"] == addon["name"]
    copied = volumes(platform, made["id"])
    assert set(copied.values()) == set(volumes(platform, addon["id"]).values()) == {STACK}
    assert len(copied) == 2, "what was made for the copy beforehand is what its stack has"
    cli(f"addons:create heroku-postgresql:essential-0 -a {APP} --as FORK --wait -- --fork BACK_URL")
    with connect(config(platform)["FORK_URL"]) as fork:
        assert fork.execute("SELECT count(*) FROM kept WHERE number = 9").fetchone() == (1,), "to the last row"
    with capsys.disabled():
        print(f"\nessential-0, protected: {rest:.1f} MiB at rest; rolled back in {seconds:.1f} s by the CLI")

    # The other can go while its copies stay.
    refused = cli(f"addons:create heroku-postgresql:essential-0 -a {APP} -- --rollback FORK --to '2001-01-01'", code=2)
    assert "further" in refused.text or "no backup yet" in refused.text
    cli(f"addons:destroy {made['name']} -a {APP} --confirm {APP}")
    eventually(lambda: not volumes(platform, made["id"]), 90, "nothing of it is left")
    assert answers(config(platform)["FORK_URL"])


@pytest.mark.chaos
def test_a_worker_that_is_killed_while_it_copies_ends_with_one_copy(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any]
) -> None:
    """The data are brought by then, and their server was not made; what brings them is killed, too."""
    with connect(config(platform)["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE answers AS SELECT 42 AS answer")
    wanted = {"plan": "heroku-postgresql:essential-0", "name": "copy-1", "attachment": {"name": "KILLED"}}
    with pytest.raises(Exception, match="timed out"):
        platform.api.post(f"/apps/{APP}/addons", json={**wanted, "config": {"fork": "DATABASE_URL"}}, timeout=0.5)
    path = f"/apps/{APP}/addons/copy-1"
    made = eventually(lambda: platform.api.get(path).raise_for_status().json(), 30, "it is asked for")
    name = f"{STACK}_addon-{made['id']}-restore"
    job = eventually(lambda: _container(platform, name), 60, "the data are being brought")
    with suppress(docker.errors.APIError):  # it has not begun
        job.kill()
    worker(platform).kill()
    services = {"label": f"dynoform.addon={made['id']}"}
    assert platform.engine.api.services(filters=services) == []
    eventually(
        lambda: platform.api.get(path).raise_for_status().json()["state"] == "provisioned",
        240,
        "another worker has finished it",
    )
    assert len(platform.engine.api.services(filters=services)) == 1 and len(volumes(platform, made["id"])) == 2
    with connect(config(platform)["KILLED_URL"]) as copy:
        assert copy.execute("SELECT answer FROM answers").fetchone() == (42,)
    cli(f"addons:destroy copy-1 -a {APP} --confirm {APP}")
    eventually(lambda: not volumes(platform, made["id"]), 90, "nothing of it is left")
    with connect(config(platform)["DATABASE_URL"]) as database:
        database.execute("DROP TABLE answers")


def volumes(platform: Platform, addon: str) -> dict[str, str]:
    """An add-on's volumes, and whose stack they are of."""
    found = platform.engine.volumes.list(filters={"label": f"dynoform.addon={addon}"})
    return {str(each.name): each.attrs["Labels"]["dynoform.stack"] for each in found}


def test_a_drill_restores_the_latest_backup_and_shows_what_it_found(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any]
) -> None:
    with connect(config(platform)["DATABASE_URL"]) as database:
        for statement in HOSTILE.format(database.info.dbname).splitlines():
            database.execute(statement)
    within(container(platform, addon["id"]), "/opt/dynoform/protect archive")
    look(platform, "drill_at = now() - interval '1 second', ")
    name = f"{STACK}_addon-{addon['id']}-drill"
    job = brought(platform, lambda: _container(platform, name), 120, "the drill has begun")
    assert job.attrs["HostConfig"]["NetworkMode"] == "none"
    eventually(lambda: _ended(platform, name), 120, "the drill has ended")
    shown = brought(platform, lambda: info(platform, addon).get("Restore Drill"), 60, "its result is shown")
    assert " UTC, passed: " in shown and " tables, " in shown
    assert "Restore Drill: " in cli(f"pg:info -a {APP}").text
    assert _container(platform, name) is None
    database = urlsplit(config(platform)["DATABASE_URL"]).path[1:]
    settings = "statement_timeout", "search_path"
    words = " ".join(f"-c 'ALTER DATABASE \"{database}\" RESET {each}'" for each in settings)
    within(container(platform, addon["id"]), f"psql -Xq -d postgres {words}")


def _ended(platform: Platform, name: str) -> bool:
    """Whether a drill went well; what it found may have been taken already, and the container with it."""
    job = _container(platform, name)
    return job is None or (job.attrs["State"]["Status"] == "exited" and job.attrs["State"]["ExitCode"] == 0)


def _container(platform: Platform, name: str) -> Any:
    try:
        return platform.engine.containers.get(name)
    except docker.errors.NotFound:
        return None


def test_a_lost_repository_is_an_alarm_and_then_a_new_one(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any]
) -> None:
    found = container(platform, addon["id"])
    gone = f"rm -rf {REPOSITORY}/archive {REPOSITORY}/backup"
    within(found, f"{gone} || {gone}")  # WAL may come in meanwhile
    lost = f"source={addon['name']} Continuous protection: the repository of backups was lost"
    brought(platform, lambda: lost in cli(f"logs -a {APP}").text, 60, "the app's log says that the repository was lost")
    works = f"source={addon['name']} Continuous protection: works again"
    brought(platform, lambda: works in cli(f"logs -a {APP}").text, 90, "a new backup is there")
    lines = info(platform, addon)
    assert lines["Continuous Protection"] == "On"
    assert ", 1 kept, " in lines["Last Backup"]


def test_a_corrupt_repository_is_an_alarm_until_it_is_mended(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any]
) -> None:
    found = container(platform, addon["id"])
    files = f"{REPOSITORY}/backup/db/backup.info"
    within(found, f"cd /tmp && cp {files} kept && cp {files}.copy kept.copy && echo no | tee {files} >{files}.copy")
    alarm = "Off: the repository of backups cannot be read"

    def shown() -> str:
        return info(platform, addon)["Continuous Protection"]

    brought(platform, lambda: shown().startswith(alarm), 60, "pg:info shows the alarm")
    assert alarm in cli(f"pg:info -a {APP}").text
    within(found, f"cd /tmp && cp kept {files} && cp kept.copy {files}.copy")
    brought(platform, lambda: shown() == "On", 60, "it works again")


def test_data_that_were_lost_come_back_from_the_repository(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any]
) -> None:
    url, name = config(platform)["DATABASE_URL"], f"{STACK}_addon-{addon['id']}"
    with connect(url) as database:
        database.execute("CREATE TABLE last AS SELECT 42 AS answer")
    within(container(platform, addon["id"]), "/opt/dynoform/protect archive")
    # Whoever looks for what was removed finds both gone, not the one while the other is going.
    with paused(worker(platform)):
        platform.engine.api.remove_service(name)
        eventually(lambda: container(platform, addon["id"]) is None, 60, "its container has gone")
        eventually(lambda: _removed(platform, name), 30, "its data have gone")

    def again() -> bool:
        look(platform)  # a shift looks for services that were removed
        time.sleep(20)
        return answers(url)

    eventually(again, 180, "it is back")
    with connect(url) as database:
        assert database.execute("SELECT answer FROM last").fetchone() == (42,)
        database.execute("CREATE TABLE later AS SELECT 43 AS answer")
    # The way that it has gone since is known there before there is a backup of it.
    found = container(platform, addon["id"])
    within(found, "/opt/dynoform/protect archive")
    archived = within(found, "pgbackrest --stanza=db repo-ls archive/db/17-1 --filter=history").split()
    way = within(found, "ls /var/lib/postgresql/17/pg_wal/*.history | tail -n 1").strip().rpartition("/")[2]
    assert way in archived


@contextmanager
def paused(found: Any) -> Iterator[None]:
    """A container whose processes stand still for the length of the block."""
    found.pause()
    try:
        yield
    finally:
        found.unpause()


def _removed(platform: Platform, volume: str) -> bool:
    platform.engine.api.remove_volume(volume)
    return True


def test_backups_are_encrypted_and_their_key_is_in_no_place_that_others_read(
    platform: Platform, addon: dict[str, Any]
) -> None:
    found = container(platform, addon["id"])
    url = config(platform)["DATABASE_URL"]
    with connect(url) as database:
        words = "SELECT repeat('the-plain-text-', 100) AS word FROM generate_series(1, 50)"
        database.execute(f"CREATE TABLE secrets AS {words}")
    within(found, "/opt/dynoform/protect archive && /opt/dynoform/protect backup diff")
    assert within(found, f"grep -rlaF the-plain-text- {REPOSITORY} | wc -l").strip() == "0"
    cipher = within(found, "sed -n 's/^repo1-cipher-pass=//p' /run/secrets/repository.conf").strip()
    assert len(cipher) > 60
    service = platform.engine.api.inspect_service(f"{STACK}_addon-{addon['id']}")
    seen = [str(service), str(found.attrs), str(found.top(ps_args="-efww")), found.logs().decode()]
    for each in platform.engine.containers.list(ignore_removed=True):  # other runs' too, which come and go
        try:
            seen.append(str(each.top(ps_args="-efww")))
        except docker.errors.APIError:
            continue  # it has ended
    assert not [each for each in seen if cipher in each]
