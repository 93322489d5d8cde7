"""Repositories of backups in S3 and on another host: databases move there, come back from there, and leave nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import heroku_cli
from tests.e2e import far_repositories
from tests.e2e.conftest import ROOT, STACK, Platform, dynoform, eventually, provision
from tests.e2e.far_repositories import Far
from tests.e2e.test_database_protection import info, look, within
from tests.e2e.test_databases import connect, container, left_behind
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(1800)]
APP = "far-test"


@pytest.fixture(params=["s3", "sftp"])
def far(request: pytest.FixtureRequest, platform: Platform, tmp_path: Path) -> Iterator[Far]:
    if request.param == "s3":
        with far_repositories.s3(tmp_path) as made:
            yield made
        return
    service = platform.engine.api.inspect_service(f"{STACK}_registry")
    image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]  # a Debian, and there
    with far_repositories.sftp(tmp_path, image) as made:
        yield made


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
    assert far.key.strip().splitlines()[-1] not in file.read_text()
    done = dynoform("up", "--stack", STACK, "--yes", "--config-file", str(file))
    assert done.code == 0, done.err


def test_databases_keep_their_backups_elsewhere(
    platform: Platform, far: Far, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = HerokuCLI(heroku_cli.bring(), tmp_path / "home", platform.environment)
    cli(f"create {APP}")
    try:
        made = provision(platform, APP)
        eventually(lambda: info(platform, made)["Rollback"].startswith("earliest from "), 300, "the first backup")
        url = platform.api.get(f"/apps/{APP}/config-vars").json()["DATABASE_URL"]
        with connect(url) as database:
            database.execute("CREATE TABLE kept AS SELECT repeat('the-plain-text-', 1000) AS word, 42 AS answer")
        up(platform, far, tmp_path)

        def moved() -> bool:
            look(platform)
            return bool(far.files()) and info(platform, made)["Continuous Protection"] == "On"

        eventually(moved, 300, "the database has moved")
        mounts = {each["Destination"] for each in container(platform, made["id"]).attrs["Mounts"]}
        assert "/var/lib/pgbackrest" not in mounts
        mine = [name for name in far.files() if f"{STACK}/{made['id']}/" in name]
        assert any("/archive/db/" in name for name in mine) and any("/backup/db/" in name for name in mine)
        for name in mine:
            assert b"the-plain-text-" not in far.read(name)
        seen = json.dumps(container(platform, made["id"]).attrs)
        assert far.key.strip().splitlines()[-1].rpartition(":")[2] not in seen

        # From there a copy is made, and the latest backup restored for a trial.
        with connect(url) as database:
            database.execute("INSERT INTO kept VALUES ('later', 43)")
        provision(platform, APP, config={"fork": "DATABASE"}, attachment={"name": "FORK"})
        with connect(platform.api.get(f"/apps/{APP}/config-vars").json()["FORK_URL"]) as fork:
            assert fork.execute("SELECT sum(answer) FROM kept").fetchone() == (85,)
        look(platform, "drill_at = now() - interval '1 second', ")

        def drilled() -> bool:
            look(platform)
            return ", passed: " in info(platform, made).get("Restore Drill", "")

        eventually(drilled, 240, "the drill has passed")
        within(container(platform, made["id"]), "/opt/dynoform/protect archive")
    finally:
        cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 180, "nothing of the databases is left here")
    eventually(lambda: not far.files(), 60, "nor there")
    back = dynoform("up", "--stack", STACK, "--yes")
    assert back.code == 0, back.err
