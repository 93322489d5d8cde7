"""Data links: the tables of one database in another, on a real server."""

from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from dynoform.store import databases
from dynoform.store.session import Store
from tests.contract.test_databases import config, place, work_through
from tests.local_databases import Local

__all__ = ["place"]


@pytest.fixture
def pair(client: httpx.Client, app: str, place: Local) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two standard databases of ``myapp``: DATABASE and another one with a table."""
    first, second = (
        client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:standard-0", "name": name})
        .raise_for_status()
        .json()
        for name in ("here-1", "there-2")
    )
    return first, second


def other(client: httpx.Client) -> str:
    (found,) = (value for name, value in config(client).items() if name != "DATABASE_URL")
    return found


def link(client: httpx.Client, addon: dict[str, Any], **body: str) -> httpx.Response:
    return client.post(f"/client/v11/databases/{addon['id']}/links", json=body)


def test_links_that_cannot_be_are_refused(
    client: httpx.Client, pair: tuple[dict[str, Any], dict[str, Any]], stranger: httpx.Client
) -> None:
    here, there = pair
    small = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:essential-0"}).raise_for_status().json()
    said = {
        "itself": link(client, here, target="here-1"),
        "essential": link(client, here, target=small["name"]),
        "public": link(client, here, target="there-2", **{"as": "public"}),
    }
    assert {name: each.json()["message"].partition(":")[0] for name, each in said.items()} == {
        "itself": "A database cannot be linked to itself",
        "essential": "You can't link databases on Essential-tier databases. Change to a Standard plan first",
        "public": "Name public cannot be a data link's",
    }
    assert link(client, here, target="nobodys-1").status_code == 404
    assert link(stranger, here, target="there-2").status_code == 404
    stranger.post("/apps", json={"name": "bobs"}).raise_for_status()
    theirs = stranger.post("/apps/bobs/addons", json={"plan": "heroku-postgresql:standard-0"}).raise_for_status().json()
    assert link(stranger, theirs, target=there["name"]).status_code in (403, 404), "what is another app's stays there"
    assert client.get(f"/client/v11/databases/{here['id']}/links").json() == []
    assert client.delete(f"/client/v11/databases/{here['id']}/links/nothing").status_code == 404


def test_a_link_has_the_others_tables_until_it_is_destroyed(
    client: httpx.Client,
    pair: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One server has both here, so that the link's address is the tests' own server's."""
    here, there = pair
    place.lead_links_here(monkeypatch)
    with place.connect(other(client)) as theirs:
        theirs.execute("CREATE TABLE orders AS SELECT 42 AS number")
    made = link(client, here, target="there-2").raise_for_status().json()
    assert (made["name"], made["remote"]["name"]) == ("there_2", "there-2")
    assert made["remote"]["attachment_name"].startswith("HEROKU_POSTGRESQL_")
    with place.connect(config(client)["DATABASE_URL"]) as mine:
        assert mine.execute("SELECT number FROM there_2.orders").fetchone() == (42,)
        mine.execute("INSERT INTO there_2.orders VALUES (43)")
        client.post(f"/postgres/v0/databases/{there['name']}/credentials_rotation", json={"forced": True})
        work_through(place, store)
        assert mine.execute("SELECT sum(number) FROM there_2.orders").fetchone() == (85,), "it has a user of its own"
        named = client.get(f"/postgres/v0/databases/{there['name']}/credentials").json()
        assert [each["name"] for each in named] == ["default"]
        refused = link(client, here, target="there-2")
        assert refused.json()["message"] == "There is a link there_2 already: choose another name with --as"
        mine.execute("CREATE SCHEMA mine")
        taken = link(client, here, target="there-2", **{"as": "mine"})
        assert taken.json()["message"] == "There is a schema mine already: choose another name with --as"
        (listed,) = client.get(f"/client/v11/databases/{here['id']}/links").json()
        assert listed == made
        client.delete(f"/client/v11/databases/{here['id']}/links/there_2").raise_for_status()
        with pytest.raises(psycopg.errors.UndefinedTable):
            mine.execute("SELECT number FROM there_2.orders")
    work_through(place, store)
    with store.transaction() as session:
        users = databases.all_credentials(session, UUID(there["id"]))
        assert [each.name for each in users] == ["default"], "its user is gone"


def test_a_link_outlives_what_it_leads_to(
    client: httpx.Client,
    pair: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = pair
    place.lead_links_here(monkeypatch)
    link(client, here, target="there-2").raise_for_status()
    client.delete(f"/apps/myapp/addons/{there['id']}").raise_for_status()
    work_through(place, store)
    (listed,) = client.get(f"/client/v11/databases/{here['id']}/links").json()
    assert listed["remote"] == {"attachment_name": "destroyed", "name": "there-2"}
    client.delete(f"/client/v11/databases/{here['id']}/links/there_2").raise_for_status()
