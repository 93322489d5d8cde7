"""A Redis with HA, by the real CLI, on the running platform: from a single server to a group and back."""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_databases import left_behind, resident, said, says
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI
from tests.redis_client import Connection, RefusedError, ask, writing
from tests.redis_group import Group

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "redis-test"


@pytest.fixture(scope="module")
def cli(cli: HerokuCLI) -> Iterator[HerokuCLI]:
    """The CLI with what ``bin/dynoform env`` gives, and an app without code."""
    cli(f"create {APP}")
    yield cli
    cli(f"apps:destroy -a {APP} --confirm {APP}")


@pytest.fixture
def heroku(cli: HerokuCLI) -> HerokuCLI:
    cli.ran.clear()
    return cli


def redis_url(platform: Platform) -> str:
    return str(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json()["REDIS_URL"])


def redis(platform: Platform) -> dict[str, Any]:
    """The app's Redis, which is its one add-on."""
    (found,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    return dict(found)


def plan(platform: Platform) -> str:
    return str(redis(platform)["plan"]["name"])


@covers(
    "redis:stats-reset -a myapp --confirm myapp",
    "redis:upgrade --version 8 -a myapp --confirm myapp",
    "redis:keyspace-notifications -c AKE -a myapp",
)
def test_a_redis_becomes_a_group_with_its_data_and_fails_over_at_the_same_address(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    heroku(f"addons:create heroku-redis:mini -a {APP} --wait -- --timeout 120")
    url, name = redis_url(platform), f"{STACK}_addon-{redis(platform)['id']}"
    heroku(f"redis:keyspace-notifications -c AKE -a {APP}")
    ask(url, platform.trust, "SET", "kept", "42")
    began = time.monotonic()
    heroku(f"addons:upgrade heroku-redis:premium-0 -a {APP}", seconds=180)
    seconds = time.monotonic() - began
    group = Group(platform.engine, name)
    eventually(lambda: plan(platform) == "heroku-redis:premium-0", 60, "there is a group")
    primary = group.wait()
    assert redis_url(platform) == url
    assert ask(url, platform.trust, "GET", "kept", seconds=10) == "42"
    info = says(heroku, f"redis:info -a {APP}", "Plan: Premium 0 Status: available", "HA Status: Available")
    assert "Timeout: 120 Maxmemory: noeviction Keyspace Notifications: AKE" in info
    sizes = {each.number: resident(each.container) for each in group.members()}
    front = next(iter(platform.engine.containers.list(filters={"label": f"com.docker.swarm.service.name={name}"})))
    with capsys.disabled():
        print(
            f"\nmini to premium-0: {seconds:.1f} s; at rest {sizes} MiB, and what leads clients {resident(front):.1f}"
        )

    # Nobody else gets in: another password, the members' name, a member's own port without a certificate's name.
    assert "WRONGPASS" in said(platform, url, f"AUTH {'p' + '0' * 64}", "PING")
    assert "WRONGPASS" in said(platform, url, f"AUTH member {urlsplit(url).password}", "PING")
    assert "NOPERM" in said(platform, url, f"AUTH {urlsplit(url).password}", "CONFIG GET dir")

    # A rotation reaches each member: both passwords are let in at once, also after a failover.
    heroku(f"redis:credentials --reset -a {APP}")
    rotated = redis_url(platform)
    assert rotated != url
    with writing(rotated, platform.trust, "history") as found:
        eventually(lambda: found.acknowledged, 30, "writes are acknowledged")
        killed = time.monotonic()
        with group.killed(primary):
            eventually(lambda: max(found.acknowledged.values()) > killed + 1, 60, "writes go on")
    assert ask(rotated, platform.trust, "GET", "kept") == ask(url, platform.trust, "GET", "kept") == "42"
    lost, twice = found.compare(rotated, platform.trust)
    with capsys.disabled():
        print(f"failover: nothing acknowledged for {found.outage(killed):.2f} s; {lost} lost")
    assert twice == 0
    assert group.wait().number != primary.number
    assert redis_url(platform) == rotated

    # By force the old ones end at once, and so do connections; members go on with each other.
    with contextlib.closing(Connection(url, platform.trust, seconds=10)) as before:
        path = f"/redis/v0/databases/{redis(platform)['id']}/credentials_rotation"
        platform.api.post(path, json={"forced": True}).raise_for_status()
        with pytest.raises(OSError):
            before("PING")
    with pytest.raises(RefusedError, match="WRONGPASS"):
        ask(rotated, platform.trust, "PING", seconds=10)
    rotated = redis_url(platform)
    group.wait()

    assert "Stats reset successful." in heroku(f"redis:stats-reset -a {APP} --confirm {APP}").text
    assert "Upgrade started" in heroku(f"redis:upgrade --version 8 -a {APP} --confirm {APP}").text
    refused = heroku(f"redis:upgrade --version 7 -a {APP} --confirm {APP}", code=REFUSED)
    assert "Version 7 is not there: the platform has Valkey 8" in refused.text
    heroku(f"redis:wait --wait-interval 1 -a {APP}", seconds=120)

    heroku(f"addons:downgrade heroku-redis:mini -a {APP}", seconds=180)
    eventually(lambda: plan(platform) == "heroku-redis:mini", 120, "there is one server again")
    eventually(lambda: not group.members(), 60, "no member runs any more")
    codes = eventually(lambda: ended(platform, redis(platform)["id"]), 60, "what led clients has ended")
    assert 137 not in codes, "what led clients ended when it was told to"
    assert ask(rotated, platform.trust, "GET", "kept", seconds=10) == "42"
    assert "HA Status" not in says(heroku, f"redis:info -a {APP}", "Plan: Mini Status: available")
    heroku(f"addons:destroy REDIS -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the store is left")


def test_a_redis_that_was_destroyed_begins_again_with_its_last_backup(heroku: HerokuCLI, platform: Platform) -> None:
    heroku(f"addons:create heroku-redis:mini -a {APP} --wait", seconds=180)
    ask(redis_url(platform), platform.trust, "SET", "kept", "43", seconds=10)
    backups = numbers(heroku)
    heroku(f"addons:destroy REDIS -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the store is left")
    (backup,) = numbers(heroku) - backups
    refused = heroku(f"addons:create heroku-redis:mini -a {APP} -- --restore b999", code=REFUSED)
    assert "Couldn't find that backup" in refused.text
    heroku(f"addons:create heroku-redis:premium-0 -a {APP} --wait -- --restore {backup}", seconds=240)
    assert ask(redis_url(platform), platform.trust, "GET", "kept", seconds=10) == "43"
    heroku(f"addons:destroy REDIS -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the second one is left")


def ended(platform: Platform, addon: str) -> list[int]:
    """How the containers ended that the add-on's own service had."""
    filters = {"label": f"com.docker.swarm.service.name={STACK}_addon-{addon}", "status": "exited"}
    found = platform.engine.containers.list(all=True, filters=filters, ignore_removed=True)
    return [int(each.attrs["State"]["ExitCode"]) for each in found]


def numbers(heroku: HerokuCLI) -> set[str]:
    """The names of the app's backups."""
    return set(re.findall(r"\bb\d{3}\b", heroku(f"pg:backups -a {APP}").text))
