"""Buildpacks of an app."""

import httpx
import pytest

from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

URL = "https://github.com/x/y"


def installed(client: httpx.Client) -> list[str]:
    """The buildpacks of ``myapp`` in their order, as users name them."""
    rows = client.get("/apps/myapp/buildpack-installations").raise_for_status().json()
    return [row["buildpack"]["name"] for row in sorted(rows, key=lambda row: row["ordinal"])]


@pytest.fixture
def python_only(client: httpx.Client, myapp: str) -> None:
    """``myapp`` is built with heroku/python."""
    body = {"updates": [{"buildpack": "heroku/python"}]}
    client.put("/apps/myapp/buildpack-installations", json=body).raise_for_status()


@covers("buildpacks:set https://github.com/x/y -a myapp", "buildpacks:set heroku/python -a myapp")
def test_set_takes_an_address_or_a_name(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    heroku(f"buildpacks:set {URL} -a myapp")
    assert installed(client) == [URL]
    heroku("buildpacks:clear -a myapp")
    ran = heroku("buildpacks:set heroku/python -a myapp")
    assert installed(client) == ["heroku/python"]
    assert "heroku/python" in ran.text


@covers("buildpacks -a myapp")
def test_buildpacks_are_shown(heroku: HerokuCLI, python_only: None) -> None:
    title, *rows = heroku("buildpacks -a myapp").table
    assert title[:4] == ["===", "myapp", "Classic", "Buildpack"]
    assert rows == [["heroku/python"]]


@covers("buildpacks:add heroku/nodejs -a myapp")
def test_add_goes_last(heroku: HerokuCLI, client: httpx.Client, python_only: None) -> None:
    heroku("buildpacks:add heroku/nodejs -a myapp")
    assert installed(client) == ["heroku/python", "heroku/nodejs"]


@covers("buildpacks:add heroku/nodejs -i 1 -a myapp")
def test_add_goes_where_it_is_told(heroku: HerokuCLI, client: httpx.Client, python_only: None) -> None:
    heroku("buildpacks:add heroku/nodejs -i 1 -a myapp")
    assert installed(client) == ["heroku/nodejs", "heroku/python"]


@covers("buildpacks:remove heroku/python -a myapp")
def test_remove_removes_one(heroku: HerokuCLI, client: httpx.Client, python_only: None) -> None:
    heroku("buildpacks:add heroku/nodejs -a myapp")
    heroku("buildpacks:remove heroku/python -a myapp")
    assert installed(client) == ["heroku/nodejs"]


@covers("buildpacks:clear -a myapp")
def test_clear_removes_all(heroku: HerokuCLI, client: httpx.Client, python_only: None) -> None:
    heroku("buildpacks:clear -a myapp")
    assert installed(client) == []
