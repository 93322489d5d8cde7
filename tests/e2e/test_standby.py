"""A premium database by the real CLI on the running platform: its primary may go at any time."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.acknowledged import Writer, patient
from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_database_protection import brought, info
from tests.e2e.test_databases import answers, left_behind, refusal, resident
from tests.heroku_cli import HerokuCLI
from tests.standby import Servers

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "standby-test"


@pytest.fixture(scope="module")
def seconds() -> dict[str, float]:
    """How long things took."""
    return {}


@pytest.fixture(scope="module")
def addon(cli: HerokuCLI, platform: Platform, seconds: dict[str, float]) -> Iterator[dict[str, Any]]:
    """A premium database, which is gone afterwards with all that it had."""
    cli(f"create {APP}")
    began = time.monotonic()
    cli(f"addons:create heroku-postgresql:premium-0 -a {APP} --wait", seconds=180)
    seconds["provisioned"] = time.monotonic() - began
    (made,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    yield made
    cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the database is left")


@pytest.fixture(scope="module")
def servers(platform: Platform, addon: dict[str, Any], seconds: dict[str, float]) -> Servers:
    found = Servers(platform.engine, f"{STACK}_addon-{addon['id']}")
    began = time.monotonic()
    found.wait_ready(180)
    seconds["ready"] = seconds["provisioned"] + time.monotonic() - began
    return found


@pytest.fixture
def url(platform: Platform, addon: dict[str, Any]) -> str:
    return str(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json()["DATABASE_URL"])


def test_a_premium_postgres_is_there_soon_and_says_how_its_standby_is(
    cli: HerokuCLI,
    platform: Platform,
    servers: Servers,
    url: str,
    seconds: dict[str, float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = ("", 1, 2, "etcd-1", "etcd-2", "etcd-3")
    memory = {noun: resident(servers.container(noun)) for noun in parts}
    with capsys.disabled():
        shown = ", ".join(f"{noun or 'address'} {mib:.1f}" for noun, mib in memory.items())
        print(f"\npremium-0: {seconds} s by the CLI; MiB: {shown}; together {sum(memory.values()):.1f}")
    cli(f"pg:wait -a {APP}")
    state = "HA Status: Available Standby: Has all that is acknowledged, on the same host"
    wanted = f"Plan: Premium 0 Status: Available {state}"
    eventually(lambda: wanted in cli(f"pg:info -a {APP}").text, 120, "it says that its standby could take over")
    assert "pg_hba.conf rejects connection" in refusal(url, user="postgres")
    assert "certificate" in refusal(url, user="postgres", dbname="postgres")
    with patient(url) as database:
        assert database.execute("SELECT current_setting('synchronous_commit'), pg_is_in_recovery()").fetchone() == (
            "on",
            False,
        )


@pytest.mark.chaos
def test_a_killed_primary_and_a_handover_lose_nothing_and_change_no_config_var(
    cli: HerokuCLI,
    platform: Platform,
    addon: dict[str, Any],
    servers: Servers,
    url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Writer(url) as writer:
        eventually(lambda: len(writer.acknowledged) > 100, 30, "rows are acknowledged")
        first = servers.primary()
        killed = time.monotonic()
        with servers.killed(first):
            eventually(lambda: writer.goes_on(killed + 1.0), 60, "rows are acknowledged again")
            failover = writer.outage(killed)
            servers.wait(lambda: servers.primary() == 3 - first, 10, "the other one is primary")
            away = "Temporarily Unavailable"
            eventually(lambda: info(platform, addon).get("HA Status") == away, 60, "it says that it has no standby")
        servers.wait_ready()
        began = time.monotonic()
        assert servers.ask(servers.primary(), "switchover") is not None
        eventually(lambda: servers.primary() == first, 30, "the other one is primary")
        eventually(lambda: writer.goes_on(time.monotonic() - 0.2), 30, "rows are acknowledged again")
        time.sleep(2)
        switchover = writer.outage(began)
    found = writer.compare()
    with capsys.disabled():
        print(f"\nfailover {failover:.1f} s, handover {switchover:.1f} s, {found.acknowledged} acknowledged, {found}")
    assert (found.lost, found.stale) == ([], [])
    assert platform.api.get(f"/apps/{APP}/config-vars").json()["DATABASE_URL"] == url
    servers.wait_ready()


@pytest.mark.chaos
def test_what_is_done_to_a_database_goes_on_after_its_primary_has_changed(
    cli: HerokuCLI, platform: Platform, addon: dict[str, Any], servers: Servers, url: str
) -> None:
    eventually(lambda: info(platform, addon)["Rollback"].startswith("earliest from "), 300, "the first backup is there")
    with patient(url) as database:
        database.execute("CREATE TABLE kept AS SELECT 1 AS number")
        (at,) = database.execute("SELECT date_trunc('second', clock_timestamp()) + interval '1 s'").fetchone() or (
            None,
        )
    assert isinstance(at, datetime)
    time.sleep(2)
    before = servers.primary()
    with servers.killed(before):
        servers.wait(lambda: servers.primary() == 3 - before, 60, "the other one is primary")
        servers.wait(lambda: answers(url), 10, "its address leads there")
        with patient(url) as database:
            database.execute("INSERT INTO kept VALUES (2)")
        kept = backups(platform, addon)
        brought(platform, lambda: backups(platform, addon) > kept, 120, "the new primary has a backup of its own")
        assert info(platform, addon)["Continuous Protection"] == "On"
        cli(f"pg:credentials:rotate DATABASE -a {APP} --confirm {APP}")
        rotated = config(platform)["DATABASE_URL"]
        assert rotated != url
        with patient(rotated) as database:
            assert database.execute("SELECT count(*) FROM kept").fetchone() == (2,)
        cli(f"pg:backups:capture -a {APP}")
    servers.wait_ready()
    words = f"addons:create heroku-postgresql:standard-0 -a {APP} --wait"
    cli(f"{words} --as COPY -- --fork DATABASE", seconds=180)
    with patient(config(platform)["COPY_URL"]) as copy:
        assert copy.execute("SELECT count(*) FROM kept").fetchone() == (2,)
        assert copy.execute("SHOW default_text_search_config").fetchone() == ("pg_catalog.english",)
    cli(f"{words} --as BACK -- --rollback DATABASE --to '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC'", seconds=180)
    with patient(config(platform)["BACK_URL"]) as back:
        assert back.execute("SELECT number FROM kept").fetchall() == [(1,)], "as the old primary had it"


def backups(platform: Platform, addon: dict[str, Any]) -> int:
    """How many the repository has."""
    return int(info(platform, addon).get("Last Backup", ", 0 kept").split(", ")[1].split()[0])


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())
