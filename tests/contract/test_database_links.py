"""Data links: the tables of one database in another, on a real server."""

import re
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from dynoform.addons import postgres_links
from dynoform.domain import addons
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


@pytest.fixture
def linkable(
    pair: tuple[dict[str, Any], dict[str, Any]], place: Local, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same, where links between them lead to the tests' own server."""
    place.lead_links_here(monkeypatch)
    return pair


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
    linkable: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
) -> None:
    """One server has both here, so that the link's address is the tests' own server's."""
    here, there = linkable
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
    linkable: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
) -> None:
    here, there = linkable
    link(client, here, target="there-2").raise_for_status()
    client.delete(f"/apps/myapp/addons/{there['id']}").raise_for_status()
    work_through(place, store)
    (listed,) = client.get(f"/client/v11/databases/{here['id']}/links").json()
    assert listed["remote"] == {"attachment_name": "destroyed", "name": "there-2"}
    client.delete(f"/client/v11/databases/{here['id']}/links/there_2").raise_for_status()


def test_a_copy_has_none_of_its_originals_links(
    client: httpx.Client,
    linkable: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
) -> None:
    """Copy and original are one database here."""
    here, _ = linkable
    work_through(place, store)
    link(client, here, target="there-2").raise_for_status()
    mappings = "SELECT srvname FROM pg_user_mappings"
    with place.connect(config(client)["DATABASE_URL"]) as mine:
        assert mine.execute(mappings).fetchall() == [("there_2",)]
        assert mine.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'there_2'").fetchone() == (1,)
    body = {"plan": "heroku-postgresql:standard-0", "config": {"fork": here["name"]}, "attachment": {"name": "COPY"}}
    made = client.post("/apps/myapp/addons", json=body).raise_for_status().json()
    work_through(place, store)
    assert client.get(f"/client/v11/databases/{made['id']}/links").json() == []
    with place.connect(config(client)["COPY_URL"]) as copy:
        assert copy.execute(mappings).fetchall() == []
        assert copy.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'there_2'").fetchone() is None


def left(client: httpx.Client, here: dict[str, Any], there: dict[str, Any], place: Local, store: Store) -> list[Any]:
    """What there is of links: those listed, schemas, servers, and users on the other database."""
    work_through(place, store)
    listed = client.get(f"/client/v11/databases/{here['id']}/links").raise_for_status().json()
    with place.connect(config(client)["DATABASE_URL"]) as mine:
        schemas = mine.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'there_2'").fetchall()
        servers = mine.execute("SELECT srvname FROM pg_foreign_server").fetchall()
    with store.transaction() as session:
        users = [each.name for each in databases.all_credentials(session, UUID(there["id"]))]
    return [listed, schemas, servers, users]


def test_a_link_that_can_never_be_made_says_why_and_leaves_nothing(
    client: httpx.Client,
    linkable: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
) -> None:
    here, there = linkable
    with place.connect(other(client)) as theirs:
        theirs.execute("CREATE TYPE mood AS ENUM ('good')")
        theirs.execute("CREATE TABLE people (name text, feels mood)")
    refused = link(client, here, target="there-2")
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        'The data link could not be made: type "public.mood" does not exist. Make the type in this database first',
    )
    assert left(client, here, there, place, store) == [[], [], [], ["default"]]
    with place.connect(config(client)["DATABASE_URL"]) as mine:
        mine.execute("CREATE TYPE mood AS ENUM ('good')")
    link(client, here, target="there-2").raise_for_status()


def test_a_link_to_one_that_does_not_answer_is_tried_again_and_leaves_nothing_in_the_end(
    client: httpx.Client,
    linkable: tuple[dict[str, Any], dict[str, Any]],
    place: Local,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = linkable
    create = postgres_links.create
    monkeypatch.setattr(postgres_links, "create", lambda *given: re.sub("port '\\d+'", "port '1'", create(*given)))
    monkeypatch.setattr(addons, "ATTEMPTS", 2)
    refused = link(client, here, target="there-2")
    assert refused.json()["message"] == "The add-on's provider does not answer. Try again later"
    tried = [said for said in place.engine.told if "IMPORT FOREIGN SCHEMA" in said]
    assert len(tried) == 2 and left(client, here, there, place, store) == [[], [], [], ["default"]]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('psql:<stdin>:9: ERROR: relation "a b" does not exist LINE 3: secret', 'relation "a b" does not exist'),
        ("psql:<stdin>:9: ERROR:  syntax error\nLINE 1: PASSWORD 'secret'\n   ^", "syntax error"),
        ("psql:<stdin>:9: ERROR: no HINT: say secret CONTEXT: secret", "no"),
        ('psql:<stdin>:9: ERROR: could not connect to server "there" DETAIL: secret', ""),
        ("psql: error: connection to server failed: FATAL: the database system is starting up", ""),
    ],
)
def test_why_a_link_is_refused_has_the_error_alone(said: str, why: str) -> None:
    assert postgres_links.refusal(said) == why
