"""Maintenance of databases and upgrades, by the data API."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from dynoform.domain import maintenance
from dynoform.store import databases
from dynoform.store.session import Store
from dynoform.store.tables import Database, now
from tests.contract.test_databases import create, place, work_through
from tests.local_databases import Local

__all__ = ["place"]


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """A database of ``myapp``."""
    return create(client)


@pytest.fixture
def path(addon: dict[str, Any]) -> str:
    return f"/data/maintenances/v1/{addon['id']}"


def test_maintenance_is_run_and_remembered(
    client: httpx.Client, addon: dict[str, Any], path: str, place: Local, store: Store
) -> None:
    before = client.get(path).raise_for_status().json()
    assert (before["status"], before["window"], before["completed_at"]) == ("none", "any time", None)
    assert (before["addon"]["attachments"], before["app"]["name"]) == (["DATABASE"], "myapp")
    assert client.get(f"{path}/history/?limit=5").json() == {"maintenances": []}
    ups = len(place.made.told)
    client.post(f"{path}/run").raise_for_status()
    work_through(place, store)
    assert len(place.made.told) == ups + 1
    after = client.get(path).raise_for_status().json()
    assert after["status"] == "completed" and after["duration_seconds"] is not None
    (past,) = client.get(f"{path}/history/?limit=5").json()["maintenances"]
    assert (past["status"], past["started_at"]) == ("completed", after["started_at"])
    (listed,) = client.get(f"/data/maintenances/v1/apps/{addon['app']['id']}").json()["maintenances"]
    assert listed == after


def test_what_is_due_waits_for_the_window(
    client: httpx.Client, addon: dict[str, Any], path: str, place: Local, store: Store
) -> None:
    with store.transaction() as session:
        moment = now()
        long_ago = update(Database).values(maintained_at=moment - timedelta(days=31))
        closed = (maintenance.minute_of_week(moment) + 60) % maintenance.WEEK_MINUTES
        session.execute(long_ago.values(maintenance_window=closed))
        assert databases.enqueue_due(session) == 0
    work_through(place, store)
    assert client.get(path).json()["status"] == "none"
    with store.transaction() as session:
        opened = (maintenance.minute_of_week(moment) - 60) % maintenance.WEEK_MINUTES
        session.execute(update(Database).values(maintenance_window=opened))
    work_through(place, store)
    assert client.get(path).json()["status"] == "completed"


def test_windows_and_delays_are_chosen(client: httpx.Client, addon: dict[str, Any], path: str, store: Store) -> None:
    chosen = client.post(f"{path}/window", json={"day_of_week": "sunday", "time_of_day": "13:30"}).raise_for_status()
    assert chosen.json() == client.get(f"{path}/window").json() == {"window": "Sundays 13:30 to 17:30 UTC"}
    wrong = client.post(f"{path}/window", json={"day_of_week": "someday", "time_of_day": "13:30"})
    assert (wrong.status_code, wrong.json()["message"].partition(":")[0]) == (422, "Day of the week must be one of")
    delayed = client.post(f"{path}/schedule", json={"delay_weeks": "2"}).raise_for_status().json()
    assert delayed["previously_scheduled_for"] < delayed["scheduled_for"]
    assert client.get(path).json()["scheduled_for"] == delayed["scheduled_for"]
    with store.transaction() as session:
        assert session.get_one(Database, UUID(addon["id"])).maintenance_at is not None
    assert client.post(f"{path}/schedule", json={"delay_weeks": "52"}).status_code == 422


def test_maintenance_is_its_apps_own(client: httpx.Client, path: str, stranger: httpx.Client) -> None:
    seen = [stranger.get(f"{path}{more}").status_code for more in ("", "/window", "/history/")]
    window = {"day_of_week": "sunday", "time_of_day": "13:30"}
    bodies = {"run": {}, "window": window, "schedule": {"delay_weeks": "1"}}
    changed = [stranger.post(f"{path}/{what}", json=body).status_code for what, body in bodies.items()]
    assert {*seen, *changed} == {404}


def test_there_is_one_major_version(client: httpx.Client, addon: dict[str, Any], stranger: httpx.Client) -> None:
    path, name = f"/client/v11/databases/{addon['id']}/upgrade", addon["name"]
    newest = f"{name} has PostgreSQL 17 already, there is no newer version. Minor updates come by maintenance: " + (
        f"`heroku data:maintenances:run {name}`"
    )
    for what in ("prepare", "run", "dry_run"):
        refused, other = (client.post(f"{path}/{what}", json=body) for body in ({}, {"version": "16"}))
        assert (refused.status_code, refused.json()["message"]) == (422, newest)
        assert other.json()["message"] == "PostgreSQL 16 is not there: version 17 is the only one"
    cancelled = client.post(f"{path}/cancel", json={})
    assert cancelled.json()["message"] == f"{name} has no upgrade scheduled: there is nothing to cancel"
    status = client.get(f"{path}/wait_status").raise_for_status().json()
    assert status == {"message": "no upgrade in progress", "waiting?": False}
    assert stranger.get(f"{path}/wait_status").status_code == 404
