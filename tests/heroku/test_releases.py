"""Releases: the ledger, output of the release phase, rollback, retry."""

import json

import httpx
import pytest
from sqlalchemy import select

from dynoform.store.releases import lock_app, succeed
from dynoform.store.session import Store
from dynoform.store.tables import Account, Release, ReleaseOutput
from tests.contract.conftest import deploy
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI
from tests.store_fixtures import EMAIL


def releases(client: httpx.Client) -> list[tuple[int, str, bool]]:
    """Version, description and whether it is current of each release, the newest first."""
    rows = client.get("/apps/myapp/releases", headers={"Range": "version ..; order=desc"}).json()
    return [(row["version"], row["description"], row["current"]) for row in rows]


def conclude(store: Store, output: str) -> None:
    """Do what a worker does with the release command that waits: it says ``output``, and succeeds."""
    with store.transaction() as session:
        release = session.scalars(select(Release).where(Release.status == "pending")).one()
        session.add(ReleaseOutput(release_id=release.id, sequence=0, text=output))
        app = lock_app(session, release.app_id)
        assert app is not None
        succeed(session, app, release)


@pytest.fixture
def twice_deployed(deployed: str, store: Store, operator: Account, client: httpx.Client) -> None:
    """``myapp`` with v3 (deployed), v4 (config var) and v5 (another slug)."""
    client.patch("/apps/myapp/config-vars", json={"FOO": "bar"}).raise_for_status()
    deploy(store, "myapp", operator, {"web": "python other.py"})


@covers("releases -a myapp", "releases -a myapp --json")
def test_releases_are_listed_newest_first(heroku: HerokuCLI, client: httpx.Client, twice_deployed: None) -> None:
    plain, as_json = heroku.each("releases -a myapp", "releases -a myapp --json")
    assert "Current: v5" in plain.out
    rows = plain.table[2:]
    assert [row[0] for row in rows] == ["v5", "v4", "v3", "v2", "v1"]
    assert rows[1][1:6] == ["Set", "FOO", "config", "vars", EMAIL]
    assert (
        json.loads(as_json.out)
        == client.get("/apps/myapp/releases", headers={"Range": "version ..; order=desc"}).json()
    )


@covers("releases:info -a myapp", "releases:info v2 -a myapp")
def test_a_release_is_shown_with_its_config_vars(heroku: HerokuCLI, client: httpx.Client, twice_deployed: None) -> None:
    client.patch("/apps/myapp/config-vars", json={"FOO": "later"}).raise_for_status()
    latest, earlier = heroku.each("releases:info -a myapp", "releases:info v4 -a myapp")
    assert "=== Release v6" in latest.out
    assert ["FOO:", "later"] in latest.table
    assert "=== Release v4" in earlier.out
    assert ["Change:", "Set", "FOO", "config", "vars"] in earlier.table
    assert ["By:", EMAIL] in earlier.table
    assert ["FOO:", "bar"] in earlier.table


@covers("releases:rollback -a myapp")
def test_rollback_goes_to_the_release_before(heroku: HerokuCLI, client: httpx.Client, twice_deployed: None) -> None:
    ran = heroku("releases:rollback -a myapp")
    assert releases(client)[0] == (6, "Rollback to v4", True)
    assert "v6" in ran.text


@covers("releases:rollback v1 -a myapp", "rollback v1 -a myapp")
def test_rollback_to_a_version_brings_its_slug_and_config(
    heroku: HerokuCLI, client: httpx.Client, twice_deployed: None
) -> None:
    heroku("releases:rollback v3 -a myapp")
    assert releases(client)[0] == (6, "Rollback to v3", True)
    assert client.get("/apps/myapp/config-vars").json() == {}
    assert {row["command"] for row in client.get("/apps/myapp/formation").json()} == {"python app.py", "python work.py"}
    heroku("rollback v5 -a myapp")
    assert releases(client)[0] == (7, "Rollback to v5", True)
    assert client.get("/apps/myapp/config-vars").json() == {"FOO": "bar"}
    assert "v1" in heroku("rollback v1 -a myapp", code=REFUSED).text
    assert releases(client)[0][0] == 7


@covers("releases:output -a myapp", "releases:retry -a relapp")
def test_output_of_the_release_command_is_shown_and_the_release_retried(
    heroku: HerokuCLI, client: httpx.Client, myapp: str, store: Store, operator: Account
) -> None:
    deploy(store, "myapp", operator, {"web": "python app.py", "release": "python migrate.py"})
    assert releases(client)[0] == (3, "Deploy abc1234d", False)
    conclude(store, "migrated once\n")
    assert heroku("releases:output -a myapp").out == "migrated once\n"
    concluded: list[bool] = []

    def retried(seen: str) -> bool:
        if not concluded and "Running release command..." in seen:
            concluded.append(True)
            conclude(store, "migrated twice\n")
        return "migrated twice\n" in seen

    heroku.until("releases:retry -a myapp", retried)
    assert releases(client)[0] == (4, "Retry of v3: Deploy abc1234d", True)
