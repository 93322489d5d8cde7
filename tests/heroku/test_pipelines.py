"""Pipelines: couplings, stages, promotions."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dynoform.store.session import Store
from dynoform.store.tables import Account
from tests.contract.conftest import deploy
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI
from tests.store_fixtures import EMAIL

Create = Callable[[str], str]


def stages(client: httpx.Client, pipeline: str) -> dict[str, str]:
    """Each app's stage in the pipeline."""
    rows = client.get(f"/pipelines/{pipeline}/pipeline-couplings").raise_for_status().json()
    names = {row["id"]: row["name"] for row in client.get("/apps").json()}
    return {names[row["app"]["id"]]: row["stage"] for row in rows}


def couple(client: httpx.Client, pipeline: str, app: str, stage: str) -> None:
    """Put an app into a pipeline."""
    body = {"app": app, "pipeline": pipeline, "stage": stage}
    client.post("/pipeline-couplings", json=body).raise_for_status()


@pytest.fixture
def pipeline(client: httpx.Client, operator: Account, create: Create) -> str:
    """The id of ``mypipe``, with myapp-staging in staging and myapp in production."""
    body = {"name": "mypipe", "owner": {"id": str(operator.id), "type": "user"}}
    made: dict[str, Any] = client.post("/pipelines", json=body).raise_for_status().json()
    for app, stage in (("myapp-staging", "staging"), ("myapp", "production")):
        create(app)
        couple(client, made["id"], app, stage)
    return str(made["id"])


@covers("pipelines:create newpipe -a dockerapp -s staging")
def test_create_makes_a_pipeline_with_its_first_app(heroku: HerokuCLI, client: httpx.Client, create: Create) -> None:
    create("dockerapp")
    heroku("pipelines:create newpipe -a dockerapp -s staging")
    (made,) = client.get("/pipelines").json()
    assert made["name"] == "newpipe"
    assert stages(client, made["id"]) == {"dockerapp": "staging"}


@covers("pipelines", "pipelines:info mypipe")
def test_pipelines_are_shown(heroku: HerokuCLI, pipeline: str) -> None:
    listed, info = heroku.each("pipelines", "pipelines:info mypipe")
    assert ["mypipe"] in listed.table
    assert f"owner: {EMAIL}" in info.out
    assert [row for row in info.table if len(row) == 2][-2:] == [["myapp-staging", "staging"], ["myapp", "production"]]


@covers("pipelines:add mypipe -a dockerapp -s development")
def test_add_puts_an_app_into_a_stage(heroku: HerokuCLI, client: httpx.Client, pipeline: str, create: Create) -> None:
    create("dockerapp")
    heroku("pipelines:add mypipe -a dockerapp -s development")
    assert stages(client, pipeline)["dockerapp"] == "development"


@covers("pipelines:update -s production -a myapp")
def test_update_moves_an_app_to_another_stage(heroku: HerokuCLI, client: httpx.Client, pipeline: str) -> None:
    heroku("pipelines:update -s production -a myapp-staging")
    assert stages(client, pipeline)["myapp-staging"] == "production"


@covers("pipelines:remove -a myapp")
def test_remove_takes_an_app_out(heroku: HerokuCLI, client: httpx.Client, pipeline: str) -> None:
    heroku("pipelines:remove -a myapp")
    assert stages(client, pipeline) == {"myapp-staging": "staging"}
    assert client.get("/apps/myapp").status_code == 200


@covers("pipelines:rename mypipe other")
def test_rename_renames(heroku: HerokuCLI, client: httpx.Client, pipeline: str) -> None:
    heroku("pipelines:rename mypipe other")
    assert [row["name"] for row in client.get("/pipelines").json()] == ["other"]


@covers("pipelines:destroy mypipe")
def test_destroy_leaves_the_apps(heroku: HerokuCLI, client: httpx.Client, pipeline: str) -> None:
    heroku("pipelines:destroy mypipe")
    assert client.get("/pipelines").json() == []
    assert {row["name"] for row in client.get("/apps").json()} == {"myapp", "myapp-staging"}


@covers("pipelines:promote -a myapp-staging", "pipelines:promote -a myapp-staging --to myapp")
def test_promote_releases_the_slug_downstream(
    heroku: HerokuCLI, client: httpx.Client, store: Store, operator: Account, pipeline: str, create: Create
) -> None:
    create("second")
    couple(client, pipeline, "second", "production")
    for app in ("myapp", "second"):
        client.patch(f"/apps/{app}/config-vars", json={"OWN": app}).raise_for_status()
    deploy(store, "myapp-staging", operator, {"web": "python one.py"})
    heroku("pipelines:promote -a myapp-staging --to myapp")
    assert (commands(client, "myapp"), commands(client, "second")) == (["python one.py"], [])
    deploy(store, "myapp-staging", operator, {"web": "python two.py"})
    heroku("pipelines:promote -a myapp-staging")
    assert commands(client, "myapp") == commands(client, "second") == ["python two.py"]
    assert client.get("/apps/myapp/config-vars").json() == {"OWN": "myapp"}
    latest = client.get("/apps/myapp/releases").json()[-1]
    assert latest["description"].startswith("Promote myapp-staging v")


def commands(client: httpx.Client, app: str) -> list[str]:
    """What the app's process types run."""
    return [row["command"] for row in client.get(f"/apps/{app}/formation").json()]


@covers("ci:config -p mypipe", "ci:config:set A=1 -p mypipe", "ci:config:unset A -p mypipe")
def test_config_vars_of_tests_are_kept_with_the_pipeline(
    heroku: HerokuCLI, client: httpx.Client, operator: Account
) -> None:
    body = {"name": "mypipe", "owner": {"id": str(operator.id), "type": "user"}}
    path = f"/pipelines/{client.post('/pipelines', json=body).raise_for_status().json()['id']}/stage/test/config-vars"
    heroku("ci:config:set A=1 -p mypipe")
    heroku("ci:config:set B=2 -p mypipe")
    assert client.get(path).json() == {"A": "1", "B": "2"}
    assert ["A:", "1"] in heroku("ci:config -p mypipe").table
    heroku("ci:config:unset A -p mypipe")
    assert client.get(path).json() == {"B": "2"}
