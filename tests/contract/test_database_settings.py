"""Settings of databases, and reports on them, on a real server."""

from typing import Any

import httpx
import pytest

from tests.contract.conftest import Person
from tests.contract.test_databases import config, place
from tests.local_databases import Local

__all__ = ["place"]


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """A standard database of ``myapp``."""
    answer = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:standard-0"})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


@pytest.fixture
def path(addon: dict[str, Any]) -> str:
    return f"/postgres/v0/databases/{addon['id']}/config"


def in_force(client: httpx.Client, place: Local, name: str) -> str:
    with place.connect(config(client)["DATABASE_URL"]) as session:
        (found,) = session.execute("SELECT current_setting(%s)", [name]).fetchone() or ("",)
    return str(found)


def test_settings_are_herokus_until_somebody_sets_them(
    client: httpx.Client, path: str, place: Local, addon: dict[str, Any]
) -> None:
    found = client.get(path).raise_for_status().json()
    usual = {name: each["value"] for name, each in found.items()}
    assert (usual["log_statement"], usual["log_min_duration_statement"], usual["log_lock_waits"]) == ("ddl", 2000, True)
    assert found["log_statement"]["values"]["none"] == "No SQL statements will be logged."
    assert [in_force(client, place, name) for name in ("log_statement", "log_lock_waits", "log_connections")] == [
        "ddl", "on", "on",
    ]  # fmt: skip
    body = {
        "log_statement": "mod",
        "log_min_duration_statement": 500,
        "log_connections": False,
        "track_functions": "pl",
    }
    changed = client.patch(path, json=body).raise_for_status().json()
    assert {name: changed[name]["value"] for name in body} == body
    assert changed["log_lock_waits"]["value"] is True
    names = ("log_statement", "log_min_duration_statement", "log_connections", "track_functions")
    assert [in_force(client, place, name) for name in names] == ["mod", "500ms", "off", "pl"]
    client.put(f"/client/v11/databases/{addon['id']}/reset", json={}).raise_for_status()
    assert in_force(client, place, "log_statement") == "mod", "an empty database has them as well"


def test_settings_of_plans_are_kept_out_of_the_logs_by_the_platform_itself(
    client: httpx.Client, path: str, place: Local
) -> None:
    client.patch(path, json={"log_statement": "all", "auto_explain.log_analyze": True}).raise_for_status()
    assert in_force(client, place, "auto_explain.log_analyze") == "on"
    said = [stdin for stdin in place.engine.told if "PASSWORD" in stdin]
    assert said and all(stdin.index("SET log_statement = 'none'") < stdin.index("PASSWORD") for stdin in said)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Name at least one setting: auto_explain, "),
        ({"fsync": False}, "fsync is no setting: choose one of auto_explain, "),
        ({"log_statement": "some"}, "log_statement must be one of: none, ddl, mod, all"),
        ({"log_lock_waits": "on"}, "log_lock_waits must be true or false"),
        ({"log_min_duration_statement": -2}, "log_min_duration_statement must be a whole number of milliseconds, "),
        ({"log_min_duration_statement": True}, "log_min_duration_statement must be a whole number of milliseconds, "),
        ({"data_connector_details_logs": True}, "data_connector_details_logs cannot be turned on: there are no data "),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(
    client: httpx.Client, path: str, body: dict[str, object], message: str
) -> None:
    refused = client.patch(path, json=body)
    assert refused.status_code == 422
    assert refused.json()["message"].startswith(message)


def test_an_essential_database_has_no_settings_and_others_have_none_of_it(
    client: httpx.Client, path: str, stranger: httpx.Client, person: Person
) -> None:
    small = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:essential-0"}).raise_for_status().json()
    refused = client.get(f"/postgres/v0/databases/{small['id']}/config")
    assert (refused.status_code, refused.json()["message"]) == (
        422, "You can't perform this operation on Essential-tier databases. Change to a Standard plan first",
    )  # fmt: skip
    assert [stranger.get(path).status_code, stranger.patch(path, json={}).status_code] == [404, 404]
    viewer = person("eve")
    client.post("/apps/myapp/collaborators", json={"user": "eve@example.com", "silent": True}).raise_for_status()
    assert viewer.get(path).status_code == 200


def test_a_report_says_what_is_worth_a_look(
    client: httpx.Client, addon: dict[str, Any], place: Local, stranger: httpx.Client
) -> None:
    with place.connect(config(client)["DATABASE_URL"]) as session:
        session.execute("CREATE UNLOGGED TABLE fast (a int)")
        session.execute("CREATE SEQUENCE nearly MAXVALUE 100")
        session.execute("SELECT setval('nearly', 95)")
        body = {"app": "myapp", "database": "DATABASE_URL", "plan": "standard-0", "url": "postgres://", "metrics": []}
        made = client.post("/reports", json=body).raise_for_status().json()
    found = {each["name"]: (each["status"], each["results"]) for each in made["checks"]}
    assert len(found) == 13
    assert found["Unlogged Tables"] == ("yellow", [{"table": "public.fast"}])
    assert found["Sequences"] == ("red", [{"sequence": "public.nearly", "percent": 95}])
    assert found["Connection Count"] == ("green", [])
    assert (made["app"], made["database"]) == ("myapp", "DATABASE_URL")
    again = client.get(f"/reports/{made['id']}").raise_for_status().json()
    assert again == made
    assert [stranger.get(f"/reports/{made['id']}").status_code, stranger.post("/reports", json=body).status_code] == [
        404, 404,
    ]  # fmt: skip
    assert client.get("/reports/00000000-0000-0000-0000-000000000000").status_code == 404
    assert client.post("/reports", json={**body, "database": "OTHER"}).status_code == 404
    assert client.get(f"/client/v11/databases/{addon['id']}/metrics").json() == []
    assert client.get(f"/client/v11/databases/{addon['id']}/burst_status").json() == {}


def test_statistics_begin_anew(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    answer = client.put(f"/client/v11/databases/{addon['id']}/stats_reset").raise_for_status()
    assert answer.json() == {"message": "Stats reset successful."}
    with place.connect(config(client)["DATABASE_URL"]) as session:
        since = (
            "SELECT stats_reset > now() - interval '1 minute' FROM pg_stat_database WHERE datname = current_database()"
        )
        assert session.execute(since).fetchone() == (True,)
