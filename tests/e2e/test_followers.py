"""Followers by the real CLI on the running platform: as their leaders, until they are databases of their own."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.conftest import Platform, eventually
from tests.e2e.test_databases import connect, left_behind, says
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(900)]
APP = "followers-test"


@pytest.fixture(scope="module")
def cli(cli: HerokuCLI, platform: Platform) -> Iterator[HerokuCLI]:
    """The CLI, with an app that goes afterwards with all that it had."""
    cli(f"create {APP}")
    yield cli
    cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the databases is left")


@pytest.fixture
def heroku(cli: HerokuCLI) -> HerokuCLI:
    cli.ran.clear()
    return cli


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())


def count(url: str) -> int:
    """Rows that are there."""
    with connect(url) as database:
        row = database.execute("SELECT count(*) FROM kept").fetchone()
    return int(row[0]) if row else -1


@covers(
    "pg:promote HEROKU_POSTGRESQL_PINK -a myapp",
    "pg:unfollow HEROKU_POSTGRESQL_PINK -a myapp --confirm myapp",
)
def test_a_follower_is_as_its_leader_until_it_is_unfollowed(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    heroku(f"addons:create heroku-postgresql:standard-0 -a {APP} --wait", seconds=180)
    url = config(platform)["DATABASE_URL"]
    with connect(url) as database:
        database.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    began = time.monotonic()
    words = "--as FOLLOWER --wait -- --follow DATABASE_URL"
    heroku(f"addons:create heroku-postgresql:standard-0 -a {APP} {words}", seconds=180)
    seconds = time.monotonic() - began
    follower = config(platform)["FOLLOWER_URL"]
    eventually(lambda: count(follower) == 1000, 30, "the follower has what was there")
    with connect(url) as database:
        database.execute("INSERT INTO kept VALUES (1001)")
    eventually(lambda: count(follower) == 1001, 30, "the follower has what came later")
    with connect(follower) as database, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        database.execute("INSERT INTO kept VALUES (1002)")
    shown = says(heroku, f"pg:info FOLLOWER -a {APP}", "Behind By: 0 bytes")
    assert "Following: DATABASE" in shown or "Following: postgresql-" in shown

    heroku(f"pg:credentials:rotate DATABASE -a {APP} --confirm {APP}")
    eventually(lambda: config(platform)["FOLLOWER_URL"] != follower, 30, "the follower's app has the new password")
    follower = config(platform)["FOLLOWER_URL"]
    assert count(follower) == 1001

    promoted = heroku(f"pg:promote FOLLOWER -a {APP}")
    assert "follower" in promoted.text
    assert config(platform)["DATABASE_URL"].split("@")[1] == follower.split("@")[1]
    heroku(f"pg:unfollow FOLLOWER -a {APP} --confirm {APP}")
    free = config(platform)["FOLLOWER_URL"]
    with connect(free) as database:
        database.execute("INSERT INTO kept VALUES (1002)")
    assert count(free) == 1002 and count(_leader(platform)) == 1001
    with capsys.disabled():
        print(f"\na follower is there after {seconds:.1f} s by the CLI")


def _leader(platform: Platform) -> str:
    """The URL of the one that was followed, by whichever name it has now."""
    urls = config(platform)
    return next(url for url in urls.values() if url.split("@")[1] != urls["FOLLOWER_URL"].split("@")[1])
