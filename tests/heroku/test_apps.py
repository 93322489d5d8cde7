"""Apps: create, show, rename, maintenance, stack, destroy; git remotes."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from dynoform.api.services import Services
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI
from tests.store_fixtures import EMAIL

Create = Callable[[str], str]


def remotes(folder: Path) -> str:
    """A checkout's git remotes, as git lists them."""
    return subprocess.run(["git", "remote", "-v"], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An empty git repository."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


@covers("create withremote")
def test_create_makes_an_app_and_its_remote(
    heroku: HerokuCLI, client: httpx.Client, checkout: Path, services: Services
) -> None:
    ran = heroku("create withremote", cwd=checkout)
    app = client.get("/apps/withremote").json()
    assert app["owner"]["email"] == EMAIL
    assert f"{app['web_url']} | {app['git_url']}" in ran.text
    assert f"heroku\t{app['git_url']} (push)" in remotes(checkout)
    assert app["git_url"] == f"https://{services.configuration.git_host}/withremote.git"


@covers("create --region eu", lacks="the region is the platform's own, `local`; others are refused by name")
def test_create_without_a_name_makes_one_in_the_region(heroku: HerokuCLI, client: httpx.Client) -> None:
    heroku("create --region local")
    (app,) = client.get("/apps").json()
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{5}", app["name"])
    assert app["region"]["name"] == "local"
    assert "Couldn't find that region (eu)." in heroku("create --region eu", code=REFUSED).text
    assert len(client.get("/apps").json()) == 1


@covers("create bpapp --buildpack heroku/python")
def test_create_takes_a_buildpack_by_its_short_name(heroku: HerokuCLI, client: httpx.Client) -> None:
    heroku("create bpapp --buildpack heroku/python")
    (installation,) = client.get("/apps/bpapp/buildpack-installations").json()
    assert installation["buildpack"]["name"] == "heroku/python"


@covers("apps", "apps --all --json", "regions")
def test_apps_lists_ones_own(heroku: HerokuCLI, bob: HerokuCLI, create: Create) -> None:
    identifiers = {create("one-app"), create("two-app")}
    plain, everything, regions = heroku.each("apps", "apps --all --json", "regions")
    assert plain.table == [["===", EMAIL, "Apps"], ["one-app", "(local)"], ["two-app", "(local)"]]
    assert {app["id"] for app in json.loads(everything.out)} == identifiers
    assert ["local", "local", "Common", "Runtime"] in [row[:1] + row[-3:] for row in regions.table]
    assert bob("apps").text == "You have no apps."


@covers("apps:info -a myapp", "apps:info -a myapp --json", "apps:info -a myapp --shell")
def test_info_shows_an_app_in_three_forms(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    app = client.get("/apps/myapp").json()
    plain, as_json, shell = heroku.each("apps:info -a myapp", "apps:info -a myapp --json", "apps:info -a myapp --shell")
    assert "=== myapp" in plain.out
    for label, value in {"Git URL": "git_url", "Web URL": "web_url"}.items():
        assert re.search(rf"{label}:\s+{re.escape(app[value])}\n", plain.out)
    assert re.search(rf"Owner:\s+{EMAIL}\n", plain.out)
    assert re.search(r"Stack:\s+dynoform-13\n", plain.out)
    assert json.loads(as_json.out)["app"] == app
    values = dict(line.split("=", 1) for line in shell.out.splitlines())
    assert (values["git_url"], values["owner"], values["stack"]) == (app["git_url"], EMAIL, "dynoform-13")


@covers("apps:rename -a myapp renamed")
def test_rename_moves_app_address_and_remote(
    heroku: HerokuCLI, client: httpx.Client, myapp: str, checkout: Path
) -> None:
    heroku("git:remote -a myapp", cwd=checkout)
    heroku("apps:rename -a myapp renamed", cwd=checkout)
    app = client.get(f"/apps/{myapp}").json()
    assert (app["name"], app["web_url"]) == ("renamed", "http://renamed.localhost:8080/")
    assert app["git_url"] in remotes(checkout)
    assert "Couldn't find that app." in heroku("apps:info -a myapp", code=REFUSED).text


@covers("git:remote -a myapp")
def test_remote_is_added_to_a_checkout(heroku: HerokuCLI, client: httpx.Client, myapp: str, checkout: Path) -> None:
    heroku("git:remote -a myapp", cwd=checkout)
    assert f"heroku\t{client.get('/apps/myapp').json()['git_url']} (fetch)" in remotes(checkout)


@covers("maintenance -a myapp", "maintenance:on -a myapp", "maintenance:off -a myapp")
def test_maintenance_mode_is_turned_on_and_off(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    assert heroku("maintenance -a myapp").out == "off\n"
    heroku("maintenance:on -a myapp")
    assert client.get("/apps/myapp").json()["maintenance"] is True
    assert heroku("maintenance -a myapp").out == "on\n"
    heroku("maintenance:off -a myapp")
    assert client.get("/apps/myapp").json()["maintenance"] is False


@covers("stack -a myapp")
@covers("stack:set heroku-22 -a myapp", lacks="stacks are `dynoform-13` and `container`; others are refused by name")
def test_stack_is_shown_and_set_for_the_next_deploy(heroku: HerokuCLI, client: httpx.Client, deployed: str) -> None:
    assert ["*", "dynoform-13"] in heroku("stack -a myapp").table
    assert "container" in heroku("stack:set container -a myapp").text
    app = client.get("/apps/myapp").json()
    assert (app["stack"]["name"], app["build_stack"]["name"]) == ("dynoform-13", "container")
    heroku("stack:set dynoform-13 -a myapp")
    assert client.get("/apps/myapp").json()["build_stack"]["name"] == "dynoform-13"
    refused = heroku("stack:set heroku-22 -a myapp", code=REFUSED)
    assert "Couldn't find that stack (heroku-22)" in refused.text


@covers("apps:destroy -a myapp --confirm myapp")
def test_destroy_needs_the_name_and_destroys(
    heroku: HerokuCLI, bob: HerokuCLI, client: httpx.Client, myapp: str, checkout: Path
) -> None:
    heroku("git:remote -a myapp", cwd=checkout)
    assert "Confirmation" in heroku("apps:destroy -a myapp --confirm other", code=1, cwd=checkout).text
    assert "Couldn't find that app." in bob("apps:destroy -a myapp --confirm myapp", code=REFUSED).text
    assert client.get("/apps/myapp").status_code == 200
    heroku("apps:destroy -a myapp --confirm myapp", cwd=checkout)
    assert client.get(f"/apps/{myapp}").status_code == 404
    assert remotes(checkout) == ""
