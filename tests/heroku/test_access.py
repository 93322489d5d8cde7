"""Collaborators and teams."""

from typing import Any

import httpx
import pytest

from tests.heroku.conftest import BOB
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI
from tests.store_fixtures import EMAIL


def collaborators(client: httpx.Client) -> set[str]:
    """Who may use ``myapp``."""
    return {row["user"]["email"] for row in client.get("/apps/myapp/collaborators").raise_for_status().json()}


@covers("access -a myapp", "access:add you@example.com -a myapp", "access:remove you@example.com -a myapp")
def test_a_collaborator_gets_in_and_out(heroku: HerokuCLI, bob: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    assert "Couldn't find that app." in bob("maintenance -a myapp", code=REFUSED).text
    heroku(f"access:add {BOB} -a myapp")
    assert collaborators(client) == {EMAIL, BOB}
    assert [BOB, "collaborator"] in [row[:2] for row in heroku("access -a myapp").table]
    assert bob("maintenance -a myapp").out == "off\n"
    bob("apps:destroy -a myapp --confirm myapp", code=REFUSED)
    heroku(f"access:remove {BOB} -a myapp")
    assert collaborators(client) == {EMAIL}
    assert "Couldn't find that app." in bob("maintenance -a myapp", code=REFUSED).text


@covers("apps:transfer you@example.com -a myapp")
def test_an_app_is_transferred(heroku: HerokuCLI, bob: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    heroku(f"access:add {BOB} -a myapp")
    heroku(f"apps:transfer {BOB} -a myapp")
    (transfer,) = client.get("/account/app-transfers").json()
    assert (transfer["state"], transfer["recipient"]["email"]) == ("pending", BOB)
    assert client.get("/apps/myapp").json()["owner"]["email"] == EMAIL


@pytest.fixture
def team(client: httpx.Client, operator: Any) -> str:
    """``myteam``, with the operator as its admin."""
    return str(client.post("/teams", json={"name": "myteam"}).raise_for_status().json()["id"])


def members(client: httpx.Client) -> dict[str, str]:
    """Each member's role in ``myteam``."""
    return {row["email"]: row["role"] for row in client.get("/teams/myteam/members").raise_for_status().json()}


@covers("teams", "members -t myteam")
def test_teams_and_members_are_shown(heroku: HerokuCLI, team: str) -> None:
    teams, people = heroku.each("teams", "members -t myteam")
    assert ["myteam", "admin"] in teams.table
    assert [EMAIL, "admin"] in people.table


@covers("members:add new@example.com -r member -t myteam", "members:set new@example.com -r admin -t myteam")
def test_a_member_is_added_and_made_admin(heroku: HerokuCLI, bob: HerokuCLI, client: httpx.Client, team: str) -> None:
    heroku(f"members:add {BOB} -r member -t myteam")
    assert members(client)[BOB] == "member"
    heroku(f"members:set {BOB} -r admin -t myteam")
    assert members(client) == {EMAIL: "admin", BOB: "admin"}
    assert ["myteam", "admin"] in bob("teams").table


@covers("members:remove inv@example.com -t myteam")
def test_a_member_is_removed(heroku: HerokuCLI, bob: HerokuCLI, client: httpx.Client, team: str) -> None:
    heroku(f"members:add {BOB} -r member -t myteam")
    heroku(f"members:remove {BOB} -t myteam")
    assert members(client) == {EMAIL: "admin"}
    assert bob("teams").table == [["Team", "Role"]]
