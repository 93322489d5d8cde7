"""Repositories of backups in S3 and on another host: databases move there, come back from there, and leave nothing."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynoform.domain import addons
from tests.e2e import far_repositories
from tests.e2e.conftest import ROOT, STACK, Platform, dynoform, eventually, provision
from tests.e2e.far_repositories import Far
from tests.e2e.test_database_protection import brought, info, look, within
from tests.e2e.test_databases import connect, container, left_behind
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(1200)]
APP = "far-test"
STANDARD, PREMIUM = "heroku-postgresql:standard-0", "heroku-postgresql:premium-0"


@pytest.fixture(scope="module", params=["s3", "sftp"])
def far(request: pytest.FixtureRequest, platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """A place for backups."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "s3":
        with far_repositories.s3(folder) as made:
            yield made
        return
    service = platform.engine.api.inspect_service(f"{STACK}_registry")
    image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]  # a Debian, and there
    with far_repositories.sftp(folder, image) as made:
        yield made


@pytest.fixture(scope="module")
def moved(
    cli: HerokuCLI, platform: Platform, far: Far, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """An essential database that had a backup on its volume, on a stack whose backups are at the place now."""
    cli(f"create {APP}")
    try:
        made = provision(platform, APP)
        eventually(lambda: info(platform, made)["Rollback"].startswith("earliest from "), 120, "the first backup")
        with connect(url(platform, "DATABASE")) as database:
            database.execute("CREATE TABLE kept AS SELECT repeat('the-plain-text-', 1000) AS word, 42 AS answer")
        up(platform, far, tmp_path_factory.mktemp("settings"))
        yield made
    finally:
        cli(f"apps:destroy -a {APP} --confirm {APP}")
        eventually(lambda: not left_behind(platform), 600, "nothing of the databases is left here")
        back = dynoform("up", "--stack", STACK, "--yes")
        assert back.code == 0, back.err


def up(platform: Platform, far: Far, folder: Path) -> None:
    """Have the stack's databases keep their backups there."""
    home = Path(os.environ.get("DYNOFORM_HOME") or Path.home() / ".local/share/dynoform")
    known = yaml.safe_load((home / "stacks" / STACK / f"Pulumi.{STACK}.yaml").read_text())
    known["config"]["dynoform:backupRepository"] = far.settings
    file = folder / f"Pulumi.{STACK}.yaml"
    file.write_text(yaml.safe_dump(known))
    words = ["config", "set", "--secret", "backupRepositoryKey", "--stack", STACK, "--config-file", str(file)]
    environ = {**os.environ, **platform.environment}
    subprocess.run(
        [ROOT / ".venv/bin/pulumi", *words], cwd=ROOT, env=environ, input=far.key, text=True, check=True, timeout=120
    )
    assert secret(far) not in file.read_text()
    done = dynoform("up", "--stack", STACK, "--yes", "--config-file", str(file))
    assert done.code == 0, done.err
    assert secret(far) not in done.out + done.err


def secret(far: Far) -> str:
    """What of its key nobody may see."""
    return far.key.strip().splitlines()[len(far.key.strip().splitlines()) // 2].rpartition(":")[2]


def url(platform: Platform, name: str) -> str:
    return str(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json()[f"{name}_URL"])


def files(far: Far, addon: dict[str, Any]) -> list[str]:
    """What the place has of a database."""
    return [name for name in far.files() if f"{STACK}/{addon['id']}/" in name]


def protected(platform: Platform, addon: dict[str, Any], seconds: float = 240) -> None:
    """Wait until a database has a backup, and nothing is wrong with it."""

    def found() -> bool:
        lines = info(platform, addon)
        return lines["Continuous Protection"] == "On" and lines["Rollback"].startswith("earliest from ")

    brought(platform, found, seconds, "there is a backup")


def second(found: Any) -> datetime:
    """The next whole second by a server's clock, once it is over."""
    now = datetime.fromisoformat(within(found, "date --utc --iso-8601=seconds").strip())
    time.sleep(2.5)
    return now.astimezone(UTC) + timedelta(seconds=1)


def rolled_back(platform: Platform, addon: dict[str, Any], to: datetime, plan: str, name: str) -> dict[str, Any]:
    """Another database, as this one was then."""
    options = {"rollback": addon["name"], "to": f"{to:%Y-%m-%d %H:%M:%S} UTC"}
    return provision(platform, APP, plan=plan, config=options, attachment={"name": name})


def rows(platform: Platform, name: str) -> list[int]:
    with connect(url(platform, name)) as database:
        return [row[0] for row in database.execute("SELECT number FROM written ORDER BY number").fetchall()]


def write(platform: Platform, name: str, number: int) -> None:
    with connect(url(platform, name)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS written (number int)")
        database.execute("INSERT INTO written VALUES (%s)", [number])


def test_a_database_moves_there_and_nobody_can_read_it(
    platform: Platform, far: Far, moved: dict[str, Any], cli: HerokuCLI
) -> None:
    brought(platform, lambda: files(far, moved), 240, "the database has moved")
    protected(platform, moved)
    assert "was lost" not in cli(f"logs -a {APP}").text
    here = container(platform, moved["id"])
    assert "/var/lib/pgbackrest" not in {each["Destination"] for each in here.attrs["Mounts"]}
    names = files(far, moved)
    assert any("/archive/db/" in name for name in names) and any("/backup/db/" in name for name in names)
    assert [name for name in names if b"the-plain-text-" in far.read(name)] == []
    service = platform.engine.api.inspect_service(f"{STACK}_addon-{moved['id']}")
    seen = [json.dumps(here.attrs), json.dumps(service), str(here.top(ps_args="-efww")), here.logs().decode()]
    assert [text for text in seen if secret(far) in text] == []
    assert "status: ok" in within(here, "pgbackrest --stanza=db --output=text --verbose verify")

    write(platform, "DATABASE", 1)
    provision(platform, APP, config={"fork": "DATABASE"}, attachment={"name": "FORK"})
    assert rows(platform, "FORK") == [1]


def test_a_standard_database_goes_back_to_any_second_and_its_backups_are_restored_for_a_trial(
    platform: Platform, far: Far, moved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    made = provision(platform, APP, plan=STANDARD, attachment={"name": "STANDARD"})
    protected(platform, made)
    write(platform, "STANDARD", 1)
    to = second(container(platform, made["id"]))
    write(platform, "STANDARD", 2)
    began = time.monotonic()
    rolled_back(platform, made, to, STANDARD, "BACK")
    with capsys.disabled():
        print(f"\n{far.settings['type']}: rolled back in {time.monotonic() - began:.1f} s")
    assert rows(platform, "BACK") == [1]
    assert rows(platform, "STANDARD") == [1, 2]

    # One is at work at a time: of this one alone.
    mine = f"CASE WHEN addon_id = '{made['id']}' THEN interval '-1 second' ELSE interval '1 day' END"
    look(platform, f"drill_at = now() + {mine}, ")
    drilled = brought(platform, lambda: info(platform, made).get("Restore Drill"), 400, "the drill has ended")
    assert ", passed: " in drilled


def test_a_place_that_is_away_is_an_alarm_and_nothing_is_missing_once_it_is_back(
    platform: Platform, far: Far, moved: dict[str, Any], cli: HerokuCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    protected(platform, moved)
    here = container(platform, moved["id"])
    write(platform, "DATABASE", 10)
    far.away()
    began = time.monotonic()
    try:
        for number in (11, 12):
            write(platform, "DATABASE", number)
            within(here, "psql -X -q -c 'SELECT pg_switch_wal()' postgres")
        during = second(here)
        write(platform, "DATABASE", 13)

        def told() -> str:
            said = info(platform, moved)["Continuous Protection"]
            return said if said.startswith("Off: ") else ""

        alarm = brought(platform, told, 300, "pg:info shows the alarm")
        alarmed = time.monotonic() - began
        assert f"source={moved['name']} Continuous protection: {alarm.removeprefix('Off: ')}" in logs(cli)
    finally:
        far.back()
    began = time.monotonic()
    protected(platform, moved, 400)
    with capsys.disabled():
        print(f"\n{far.settings['type']} away: {alarm}, after {alarmed:.0f} s; ", end="")
        print(f"all there {time.monotonic() - began:.0f} s after it was back")
    assert f"source={moved['name']} Continuous protection: works again" in logs(cli)
    within(here, "test ! -e /var/lib/postgresql/archive.dropped && /opt/dynoform/protect archive")
    rolled_back(platform, moved, during, "heroku-postgresql:essential-0", "DURING")
    assert rows(platform, "DURING")[-3:] == [10, 11, 12]


def logs(cli: HerokuCLI) -> str:
    return cli(f"logs -a {APP} --num 500").text


def test_a_database_with_a_standby_is_kept_there_too(platform: Platform, far: Far, moved: dict[str, Any]) -> None:
    made = provision(platform, APP, plan=PREMIUM, attachment={"name": "PREMIUM"})
    protected(platform, made)
    write(platform, "PREMIUM", 1)
    provision(platform, APP, plan=STANDARD, config={"fork": "PREMIUM"}, attachment={"name": "SINGLE"})
    assert rows(platform, "SINGLE") == [1]
    assert any("/backup/db/" in name for name in files(far, made))
    destroy(platform, made)
    eventually(lambda: not files(far, made), 120, "nothing of it is there")


def destroy(platform: Platform, addon: dict[str, Any]) -> None:
    """By the API, which waits for no provider as long as the CLI does."""
    platform.api.delete(f"/apps/{APP}/addons/{addon['id']}", timeout=90).raise_for_status()


def test_what_a_destroyed_database_had_there_goes_or_is_told_of(
    platform: Platform, far: Far, moved: dict[str, Any], cli: HerokuCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, left = (provision(platform, APP, attachment={"name": name}) for name in ("GONE", "LEFT"))
    for each in (gone, left):
        protected(platform, each)
    destroy(platform, gone)
    eventually(lambda: not files(far, gone), 120, "nothing of it is there")
    assert files(far, left), "another one's stays"

    before = files(far, left)
    far.away()
    began = time.monotonic()
    try:
        destroy(platform, left)
        eventually(lambda: not container(platform, left["id"]), 900, "it is destroyed all the same")
        seconds = time.monotonic() - began
        said = f"source={left['name']} Continuous protection: backups that nobody can read any more are left at "
        eventually(lambda: said in logs(cli), 60, "the app's log says what is left")
    finally:
        far.back()
    assert files(far, left) == before
    with capsys.disabled():
        print(f"\n{far.settings['type']} away: destroyed after {seconds:.0f} s, {addons.ATTEMPTS} tries")
