"""Add-ons: made by a real provider over HTTP, attached, changed, destroyed."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dynoform.addons.worker import Worker
from dynoform.api import addons as api_addons
from tests.contract.addon_fixtures import at_work, provider, worker, working
from tests.contract.addon_provider import ProviderServer
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI

__all__ = ["provider", "worker", "working"]
Create = Callable[[str], str]


def addons(client: httpx.Client, app: str = "myapp") -> list[dict[str, Any]]:
    """The app's add-ons."""
    found: list[dict[str, Any]] = client.get(f"/apps/{app}/addons").raise_for_status().json()
    return found


def attachments(client: httpx.Client, app: str = "myapp") -> set[str]:
    """The names that add-ons have in the app."""
    return {row["name"] for row in client.get(f"/apps/{app}/addon-attachments").raise_for_status().json()}


def config(client: httpx.Client, app: str = "myapp") -> dict[str, str]:
    """The app's config vars."""
    found: dict[str, str] = client.get(f"/apps/{app}/config-vars").raise_for_status().json()
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API does not wait for providers."""
    monkeypatch.setattr(api_addons, "_WAIT_SECONDS", 0.0)


@pytest.fixture
def redis(client: httpx.Client, working: Worker, myapp: str) -> str:
    """An add-on of ``myapp``, provisioned as REDIS; its name."""
    body = {"plan": "heroku-redis:mini", "name": "redis-flat-33333"}
    return str(client.post("/apps/myapp/addons", json=body).raise_for_status().json()["name"])


@covers(
    "create newapp --buildpack https://github.com/x/y --stack heroku-22 --addons heroku-redis:mini",
    lacks="of the stacks there are `dynoform-13` and `container`",
)
def test_create_takes_buildpack_stack_and_addon(heroku: HerokuCLI, client: httpx.Client, working: Worker) -> None:
    heroku("create newapp --buildpack https://github.com/x/y --stack dynoform-13 --addons heroku-redis:mini")
    assert client.get("/apps/newapp").json()["stack"]["name"] == "dynoform-13"
    (installation,) = client.get("/apps/newapp/buildpack-installations").json()
    assert installation["buildpack"]["url"] == "https://github.com/x/y"
    assert [addon["plan"]["name"] for addon in addons(client, "newapp")] == ["heroku-redis:mini"]
    assert config(client, "newapp")["REDIS_URL"].startswith("redis://")


@covers("addons:create heroku-postgresql:essential-0 -a myapp")
def test_create_provisions_and_releases(
    heroku: HerokuCLI, client: httpx.Client, working: Worker, provider: ProviderServer, myapp: str
) -> None:
    ran = heroku("addons:create heroku-redis:mini -a myapp")
    (addon,) = addons(client)
    assert (addon["state"], addon["plan"]["name"]) == ("provisioned", "heroku-redis:mini")
    assert addon["name"] in ran.text
    assert "Your mini is ready" in ran.text
    assert set(config(client)) == {"REDIS_URL", "REDIS_TLS_URL"}
    assert provider.resources == {addon["id"]: "mini"}
    assert "Couldn't find" in heroku("addons:create nope:mini -a myapp", code=REFUSED).text
    assert len(addons(client)) == 1


@covers(
    "addons:create heroku-redis:mini -a myapp --as CACHE --name mycache -- --maxmemory_policy allkeys-lru",
    "addons:create heroku-postgresql:standard-0 -a myapp --as FOLLOWER -- --follow DATABASE_URL",
)
def test_create_hands_names_and_options_on(
    heroku: HerokuCLI, client: httpx.Client, working: Worker, provider: ProviderServer, myapp: str
) -> None:
    heroku("addons:create heroku-redis:mini -a myapp --as CACHE --name mycache -- --maxmemory_policy allkeys-lru")
    heroku("addons:create heroku-redis:premium-0 -a myapp --as FOLLOWER -- --follow CACHE_URL")
    assert attachments(client) == {"CACHE", "FOLLOWER"}
    assert "mycache" in {addon["name"] for addon in addons(client)}
    options = [body["options"] for _, _, body in provider.requests]
    assert options == [{"maxmemory_policy": "allkeys-lru"}, {"follow": "CACHE_URL"}]
    assert set(config(client)) == {"CACHE_URL", "CACHE_TLS_URL", "FOLLOWER_URL", "FOLLOWER_TLS_URL"}


@covers("addons:create heroku-postgresql:essential-0 -a myapp --wait", "addons:wait waitme -a myapp --wait-interval 1")
def test_wait_ends_when_the_provider_is_done(
    heroku: HerokuCLI, client: httpx.Client, worker: Worker, provider: ProviderServer, myapp: str, impatient: None
) -> None:
    """Providers are asked only after the add-on was seen without: both commands have to wait."""
    client.post("/apps/myapp/addons", json={"plan": "heroku-redis:mini", "name": "waitme"}).raise_for_status()
    assert [addon["state"] for addon in addons(client)] == ["provisioning"]
    with at_work(worker):
        heroku.each("addons:wait waitme -a myapp --wait-interval 1", "addons:create heroku-redis:mini -a myapp --wait")
    assert [addon["state"] for addon in addons(client)] == ["provisioned", "provisioned"]


@covers("addons -a myapp", "addons --all", "addons:info postgresql-round-11111", "addons:info DATABASE -a myapp")
def test_addons_are_shown(heroku: HerokuCLI, client: httpx.Client, redis: str) -> None:
    of_app, everything, by_name, by_attachment = heroku.each(
        "addons -a myapp", "addons --all", f"addons:info {redis}", "addons:info REDIS -a myapp"
    )
    assert redis in of_app.text
    assert "as REDIS" in of_app.text
    assert ["myapp", redis] == next(row for row in everything.table if redis in row)[:2]
    for info in (by_name, by_attachment):
        assert f"=== {redis}" in info.out
        assert ["Plan:", "heroku-redis:mini"] in info.table
        assert ["State:", "created"] in info.table


@covers("addons:services", "addons:plans heroku-postgresql", "addons:docs heroku-redis --show-url")
def test_services_and_plans_are_shown(heroku: HerokuCLI, provider: ProviderServer) -> None:
    services, plans, docs = heroku.each(
        "addons:services", "addons:plans heroku-redis", "addons:docs heroku-redis --show-url"
    )
    assert any(row[0] == "heroku-redis" and "Key-Value" in row for row in services.table)
    assert {"heroku-redis:mini", "heroku-redis:premium-0"} <= {word for row in plans.table for word in row}
    assert docs.out == "https://devcenter.heroku.com/articles/heroku-redis\n"


@covers(
    "addons:attach postgresql-flat-22222 -a myapp-staging --as OTHER", "addons:detach HEROKU_POSTGRESQL_PINK -a myapp"
)
def test_an_addon_is_attached_to_another_app_and_detached(
    heroku: HerokuCLI, client: httpx.Client, redis: str, create: Create
) -> None:
    create("myapp-staging")
    heroku(f"addons:attach {redis} -a myapp-staging --as OTHER")
    assert attachments(client, "myapp-staging") == {"OTHER"}
    assert config(client, "myapp-staging")["OTHER_URL"] == config(client)["REDIS_URL"]
    heroku("addons:detach OTHER -a myapp-staging")
    assert config(client, "myapp-staging") == {}
    assert attachments(client) == {"REDIS"}


@covers("redis:promote redis-flat-33333 -a myapp")
def test_promote_makes_an_addon_the_main_one(heroku: HerokuCLI, client: httpx.Client, redis: str) -> None:
    body = {"plan": "heroku-redis:premium-0", "name": "redis-new-44444", "attachment": {"name": "NEW"}}
    client.post("/apps/myapp/addons", json=body).raise_for_status()
    alias = {"addon": redis, "app": "myapp", "name": "OLD"}
    client.post("/addon-attachments", json=alias).raise_for_status()
    wanted = config(client)["NEW_URL"]
    heroku("redis:promote redis-new-44444 -a myapp")
    assert config(client)["REDIS_URL"] == wanted != config(client)["OLD_URL"]


@covers("addons:upgrade postgresql-flat-22222 heroku-postgresql:standard-2 -a myapp")
def test_upgrade_changes_the_plan(
    heroku: HerokuCLI, client: httpx.Client, provider: ProviderServer, redis: str
) -> None:
    heroku(f"addons:upgrade {redis} heroku-redis:premium-0 -a myapp")
    (addon,) = addons(client)
    assert addon["plan"]["name"] == "heroku-redis:premium-0"
    assert provider.resources[addon["id"]] == "premium-0"


@covers("addons:rename postgresql-flat-22222 foo")
def test_rename_renames(heroku: HerokuCLI, client: httpx.Client, redis: str) -> None:
    heroku(f"addons:rename {redis} my-redis")
    assert [addon["name"] for addon in addons(client)] == ["my-redis"]


@covers("addons:destroy postgresql-flat-22222 -a myapp --confirm myapp")
def test_destroy_takes_config_vars_and_resource_away(
    heroku: HerokuCLI, client: httpx.Client, provider: ProviderServer, redis: str
) -> None:
    heroku(f"addons:destroy {redis} -a myapp --confirm other", code=1)
    assert len(addons(client)) == 1
    heroku(f"addons:destroy {redis} -a myapp --confirm myapp")
    assert addons(client) == []
    assert config(client) == {}
    assert provider.resources == {}
