"""Features of apps and accounts."""

from typing import Any

import httpx

from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI
from tests.store_fixtures import EMAIL

METRICS = "log-runtime-metrics"


def feature(client: httpx.Client, name: str) -> dict[str, Any]:
    """A feature of ``myapp``."""
    found: dict[str, Any] = client.get(f"/apps/myapp/features/{name}").raise_for_status().json()
    return found


@covers("features -a myapp", "features:info log-runtime-metrics -a myapp")
def test_features_are_shown(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    listed, info = heroku.each("features -a myapp", f"features:info {METRICS} -a myapp")
    generally_available = [
        row["name"] for row in client.get("/apps/myapp/features").json() if row["state"] == "general"
    ]
    assert generally_available
    assert all(name in listed.out for name in generally_available)
    assert ["Enabled:", "false"] in info.table
    assert feature(client, METRICS)["description"] in info.text


@covers("features:enable log-runtime-metrics -a myapp", "features:disable log-runtime-metrics -a myapp")
def test_a_feature_is_turned_on_and_off(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    heroku(f"features:enable {METRICS} -a myapp")
    assert feature(client, METRICS)["enabled"] is True
    assert "already enabled" in heroku(f"features:enable {METRICS} -a myapp", code=1).text
    heroku(f"features:disable {METRICS} -a myapp")
    assert feature(client, METRICS)["enabled"] is False


@covers("labs -a myapp", "labs:info labthing -a myapp")
def test_labs_shows_experimental_features(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    (name, *_) = experimental(client)
    listed, info = heroku.each("labs -a myapp", f"labs:info {name} -a myapp")
    assert f"User Features {EMAIL}" in listed.out
    assert name in listed.out
    assert ["Enabled:", "false"] in info.table


@covers("labs:enable labthing -a myapp", "labs:disable labthing -a myapp")
def test_an_experimental_feature_is_turned_on_and_off(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    (name, *_) = experimental(client)
    heroku(f"labs:enable {name} -a myapp")
    assert feature(client, name)["enabled"] is True
    heroku(f"labs:disable {name} -a myapp")
    assert feature(client, name)["enabled"] is False
    heroku("labs:enable nope -a myapp", code=REFUSED)


def experimental(client: httpx.Client) -> list[str]:
    """Names of the features that are not yet generally available."""
    rows = client.get("/apps/myapp/features").raise_for_status().json()
    return [row["name"] for row in rows if row["state"] != "general"]
