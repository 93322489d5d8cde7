"""The platform's own backup: everything is destroyed, and comes back on an empty host from one file."""

import functools
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from tests import heroku_cli
from tests.e2e.conftest import LABEL, ROOT, STACK, Platform, dynoform, eventually, provision
from tests.e2e.test_databases import answers, connect, container
from tests.heroku_cli import HerokuCLI
from tests.redis_client import RefusedError, ask
from tests.standby import Servers

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(3600)]
APP, NAME, PAIR = "python", "kept-1", "kept-2"
REDIS = {"CACHE_URL": "heroku-redis:mini", "QUEUE_URL": "heroku-redis:premium-0"}
"""A single server, and a group of them."""
KEYS = 200


def test_everything_is_destroyed_and_comes_back(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = HerokuCLI(heroku_cli.bring(), tmp_path / "cli", platform.environment)
    cli(f"config:set KEPT=42 -a {APP}")
    made = provision(platform, APP, name=NAME)
    url = platform.api.get(f"/apps/{APP}/config-vars").json()["DATABASE_URL"]
    with connect(url) as database:
        database.execute("CREATE TABLE kept AS SELECT * FROM generate_series(1, 1000) AS number")
    cli(f"pg:backups:capture -a {APP}")
    pair = provision(platform, APP, plan="heroku-postgresql:premium-0", name=PAIR, attachment={"name": "PAIR"})
    pair_url = platform.api.get(f"/apps/{APP}/config-vars").json()["PAIR_URL"]
    servers = Servers(platform.engine, f"{STACK}_addon-{pair['id']}")
    servers.wait_ready(180)
    with connect(pair_url) as database:
        database.execute("CREATE TABLE kept AS SELECT * FROM generate_series(1, 2000) AS number")
    redis = [provision(platform, APP, plan=plan, attachment={"name": var[:-4]}) for var, plan in REDIS.items()]
    config = platform.api.get(f"/apps/{APP}/config-vars").json()
    for var in REDIS:
        _fill(config[var], platform)
    cli(f"redis:maxmemory {redis[0]['name']} --policy volatile-ttl -a {APP}")
    for each in (made, pair):
        _await_backup(platform, each)
    for found in (container(platform, made["id"]), servers.container(servers.primary())):
        code, said = found.exec_run(["/opt/dynoform/protect", "archive"], user="postgres")
        assert code == 0, said
    releases = _releases(platform)

    file, began = tmp_path / "all.backup", time.monotonic()
    done = dynoform("backup", "--stack", STACK, "--to", str(file), "--json")
    assert done.code == 0, done.err
    backup_seconds, told = time.monotonic() - began, json.loads(done.out)
    assert told["bytes"] == file.stat().st_size and file.stat().st_mode & 0o777 == 0o600
    assert {f"{STACK}_registry", f"{STACK}_repositories", "store"} < set(told["pieces"])
    assert {f"{STACK}_addon-{each['id']}" for each in redis} < set(told["pieces"])
    assert b"PGDMP" not in file.read_bytes()

    refused = dynoform("restore", str(file))
    assert refused.code == 1
    assert f"stack {STACK}: is there already, nothing was changed — remove it first: bin/dynoform down" in refused.err

    # Nothing is left but the file and the passphrase; the host's directory of state is another one.
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copy(_home() / "passphrase", home / "passphrase")
    assert dynoform("down", "--purge", "--yes", "--stack", STACK).code == 0
    assert docker.from_env().volumes.list(filters=LABEL) == []
    monkeypatch.setenv("DYNOFORM_HOME", str(home))

    _killed_while_it_fills(file)
    began = time.monotonic()
    done = dynoform("restore", str(file))
    assert done.code == 0, done.err
    seconds = time.monotonic() - began

    again = Platform()
    try:
        assert again.environment["HEROKU_API_KEY"] == platform.environment["HEROKU_API_KEY"]
        eventually(lambda: again.serves(APP), 120, "the app serves")
        assert _releases(again) == releases, "nothing was built or released anew"
        assert again.api.get(f"/apps/{APP}/config-vars").json()["KEPT"] == "42"
        eventually(lambda: answers(url), 240, "the database is back, by its old address and password")
        database_seconds = time.monotonic() - began
        with connect(url) as database:
            assert database.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
        eventually(lambda: answers(pair_url), 300, "the database with a standby is back, too")
        pair_seconds = time.monotonic() - began
        with connect(pair_url) as database:
            assert database.execute("SELECT count(*) FROM kept").fetchone() == (2000,)
        Servers(again.engine, servers.service).wait_ready(240)
        cli = HerokuCLI(heroku_cli.bring(), tmp_path / "cli", again.environment)
        for var in REDIS:
            eventually(functools.partial(_has_all, config[var], again), 240, f"the Redis of {var} is back")
        assert "volatile-ttl" in cli(f"redis:info {redis[0]['name']} -a {APP}").text
        assert NAME in cli(f"addons -a {APP}").text
        assert "Completed" in cli(f"pg:backups -a {APP}").text
        unchanged = dynoform("up", "--stack", STACK, "--yes", "--json")
        assert unchanged.code == 0, unchanged.err
        assert json.loads(unchanged.out)["changes"] == {}
        cli(f"config:set MORE=1 -a {APP}")
        eventually(lambda: again.serves(APP), 120, "the app is released anew")
        cli(f"addons:destroy {NAME} -a {APP} --confirm {APP}")
        for name in (PAIR, *(each["name"] for each in redis)):
            cli(f"addons:destroy {name} -a {APP} --confirm {APP}", seconds=180)
    finally:
        again.close()
        dynoform("down", "--purge", "--yes", "--stack", STACK)
    with capsys.disabled():
        print(
            f"\nbackup: {backup_seconds:.0f} s, {told['bytes'] / 2**20:.0f} MiB; "
            f"restore: {seconds:.0f} s after a kill, the database {database_seconds:.0f} s, "
            f"the one with a standby {pair_seconds:.0f} s"
        )


def _killed_while_it_fills(file: Path) -> None:
    """Run a restore that is killed while volumes are written."""
    words = [str(ROOT / "bin/dynoform"), "restore", str(file)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            eventually(_parked, 900, "the platform is parked")
            time.sleep(3)
            assert process.poll() is None, "it was to be killed half-way"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _fill(url: str, platform: Platform) -> None:
    for number in range(KEYS):
        ask(url, platform.trust, "SET", f"key:{number}", f"value of {number}")


def _has_all(url: str, platform: Platform) -> bool:
    try:
        values = ask(url, platform.trust, "MGET", *(f"key:{number}" for number in range(KEYS)))
    except (OSError, RefusedError):
        return False
    return bool(values == [f"value of {number}" for number in range(KEYS)])


def _parked() -> bool:
    services = docker.from_env().api.services(filters=LABEL)
    placements = [each["Spec"]["TaskTemplate"].get("Placement") or {} for each in services]
    return any("parked" in constraint for each in placements for constraint in each.get("Constraints") or ())


def _home() -> Path:
    return Path(os.environ.get("DYNOFORM_HOME") or Path.home() / ".local/share/dynoform")


def _releases(platform: Platform) -> list[tuple[int, str]]:
    found = platform.api.get(f"/apps/{APP}/releases").raise_for_status().json()
    return [(each["version"], each["description"]) for each in found]


def _await_backup(platform: Platform, addon: dict[str, Any]) -> None:
    eventually(lambda: _info(platform, addon)["Rollback"].startswith("earliest from "), 300, "its first backup")


def _info(platform: Platform, addon: dict[str, Any]) -> dict[str, str]:
    shown = platform.api.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
    return {line["name"]: line["values"][0] for line in shown["info"]}
