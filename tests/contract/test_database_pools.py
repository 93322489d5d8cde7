"""Connection pools of databases: attached, rotated with their database, and gone with their last attachment."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from dynoform.api import databases as api_databases
from dynoform.store import databases
from dynoform.store.session import Store
from dynoform.store.tables import Database
from tests.contract.test_databases import config, place, work_through
from tests.local_databases import Local

__all__ = ["place"]


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """A standard database of ``myapp``."""
    answer = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:standard-0"})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def attach(client: httpx.Client, addon: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"app": "myapp", "credential": "default", **more}
    return client.post(f"/client/v11/databases/{addon['name']}/connection-pooling", json=body)


def newest(client: httpx.Client, app: str = "myapp") -> str:
    release = client.get(f"/apps/{app}/releases", headers={"Range": "version ..; order=desc,max=1"}).json()[0]
    return str(release["description"])


def told(place: Local) -> dict[str, Any] | None:
    """What the database's stack was told of a pool the last time."""
    found: dict[str, Any] | None = place.made.told[-1]["pool"]
    return found


def test_a_pool_is_there_for_as_long_as_it_is_attached(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    assert told(place) is None
    made = attach(client, addon).raise_for_status().json()
    assert (made["name"], made["namespace"]) == ("DATABASE_CONNECTION_POOL", "connection-pooling:default")
    assert made["config_vars"] == ["DATABASE_CONNECTION_POOL_URL"]
    assert newest(client) == f"Attach DATABASE_CONNECTION_POOL (@ref:{addon['name']})"
    found = config(client)
    server, pool = urlsplit(found["DATABASE_URL"]), urlsplit(found["DATABASE_CONNECTION_POOL_URL"])
    assert (server.port, pool.port) == (15000, 15001)
    assert pool._replace(netloc="") == server._replace(netloc="")
    assert (pool.username, pool.password) == (server.username, server.password)
    instance = told(place)
    assert instance is not None
    assert (instance["port"], instance["size"], instance["database"]) == (15001, 90, server.path[1:])

    # Another app has it under its own name, and no release comes of that where it is already.
    client.post("/apps", json={"name": "other"}).raise_for_status()
    assert attach(client, addon, app="other", name="POOLED").raise_for_status().json()["name"] == "POOLED"
    assert config(client, "other")["POOLED_URL"] == found["DATABASE_CONNECTION_POOL_URL"]
    assert newest(client) == f"Attach DATABASE_CONNECTION_POOL (@ref:{addon['name']})"

    # Its clients have the database's passwords.
    client.post(f"/postgres/v0/databases/{addon['name']}/credentials/default/credentials_rotation", json={})
    rotated = config(client)
    assert urlsplit(rotated["DATABASE_CONNECTION_POOL_URL"]).password == urlsplit(rotated["DATABASE_URL"]).password
    assert rotated["DATABASE_URL"] != found["DATABASE_URL"]
    assert config(client, "other")["POOLED_URL"] == rotated["DATABASE_CONNECTION_POOL_URL"]

    for app, name in (("myapp", "DATABASE_CONNECTION_POOL"), ("other", "POOLED")):
        work_through(place, store)
        assert told(place) is not None
        each = client.get(f"/apps/{app}/addon-attachments/{name}").raise_for_status().json()
        client.delete(f"/addon-attachments/{each['id']}").raise_for_status()
    work_through(place, store)
    assert told(place) is None
    with store.transaction() as session:
        assert session.get_one(Database, addon["id"]).pool_port is None
    refused = client.post("/addon-attachments", json={
        "addon": addon["name"], "app": "myapp", "name": "POOLED", "namespace": "connection-pooling:default",
    })  # fmt: skip
    assert refused.json()["message"] == f"{addon['name']} has no connection-pooling:default"


def test_a_pool_that_takes_long_is_attached_all_the_same(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_databases, "WAIT_SECONDS", 0.0)
    made = attach(client, addon).raise_for_status().json()
    assert made["name"] == "DATABASE_CONNECTION_POOL"
    work_through(place, store)
    assert "DATABASE_CONNECTION_POOL_URL" in config(client)


def test_a_pool_before_a_database_that_came_back_from_its_repository_lets_its_clients_in(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    attach(client, addon).raise_for_status()
    own = f"postgres://dynoform_pool:{(told(place) or {})['password']}@server/postgres"
    with psycopg.connect(place.engine.url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute("ALTER ROLE dynoform_pool NOLOGIN PASSWORD NULL")  # as images/postgres/restore does
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        place.connect(own)
    with store.transaction() as session:
        assert databases.enqueue_due(session, running=set()) == 1
    work_through(place, store)
    with place.connect(own) as looks:
        assert looks.execute("SELECT current_user").fetchone() == ("dynoform_pool",)


def test_a_pool_looks_up_who_may_log_in_and_nobody_else(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    attach(client, addon).raise_for_status()
    pool, url = told(place) or {}, urlsplit(config(client)["DATABASE_URL"])
    own = f"postgres://dynoform_pool:{pool['password']}@server"
    with place.connect(f"{own}/postgres") as looks:
        found = looks.execute("SELECT name, left(secret, 14) FROM dynoform.pool_user(%s)", [url.username])
        assert found.fetchall() == [(url.username, "SCRAM-SHA-256$")]
        for name in ("postgres", "dynoform", "dynoform_pool"):
            assert looks.execute("SELECT * FROM dynoform.pool_user(%s)", [name]).fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            looks.execute("SELECT rolpassword FROM pg_authid")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        place.connect(own + url.path)


def test_attachments_that_cannot_be_are_refused(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    attach(client, addon).raise_for_status()
    again, named = attach(client, addon), attach(client, addon, credential="reads")
    assert again.json()["message"] == (
        f"{addon['name']} is already attached to myapp as DATABASE_CONNECTION_POOL. Choose another name with --as"
    )
    assert named.json()["message"] == "Connection pooling is for the default credential alone"
    small = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:essential-0"}).raise_for_status().json()
    refused = attach(client, small, name="OTHER")
    assert {each.status_code for each in (again, named, refused)} == {422}
    assert refused.json()["message"] == (
        "You can't perform this operation on Essential-tier databases. Change to a Standard plan first"
    )
