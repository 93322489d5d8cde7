"""Formation and dynos: scaling, sizes, restarting."""

import uuid

import httpx
import pytest
from sqlalchemy import select

from dynoform.api.services import Services
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, Release


def test_the_first_release_with_a_slug_makes_the_formation(client: httpx.Client, app: str, slug: uuid.UUID) -> None:
    rows = client.get(f"/apps/{app}/formation").json()
    assert [(row["type"], row["quantity"], row["size"], row["command"]) for row in rows] == [
        ("web", 1, "Standard-1X", "python app.py"),
        ("worker", 0, "Standard-1X", "python work.py"),
    ]
    assert client.get(f"/apps/{app}/formation/web").json() == rows[0]
    assert client.get(f"/apps/{app}/formation/{rows[1]['id']}").json() == rows[1]
    assert client.get(f"/apps/{app}/formation/nope").json()["message"] == "Couldn't find that formation."


def test_dynos_are_scaled(client: httpx.Client, app: str, slug: uuid.UUID, services: Services) -> None:
    updates = [{"type": "web", "quantity": "2", "size": "standard-2x"}, {"type": "worker", "quantity": "+1"}]
    rows = client.patch(f"/apps/{app}/formation", json={"updates": updates}).raise_for_status().json()
    assert [(r["type"], r["quantity"], r["size"]) for r in rows] == [
        ("web", 2, "Standard-2X"),
        ("worker", 1, "Standard-1X"),
    ]
    line = "app[api]: Scaled to web@2:Standard-2X worker@1:Standard-1X by user ann@example.com"
    assert line in services.logs.lines  # type: ignore[attr-defined]
    one = client.patch(f"/apps/{app}/formation/web", json={"quantity": 0}).raise_for_status().json()
    assert (one["type"], one["quantity"], one["size"]) == ("web", 0, "Standard-2X")


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"type": "foo", "quantity": 1}, "Couldn't find that process type (foo)."),
        ({"type": "web", "quantity": "many"}, "Quantity 'many' is not a number of dynos"),
        ({"type": "web", "quantity": 101}, "Cannot scale to 101 dynos: a process type can have 0 to 100"),
        ({"type": "web", "quantity": -1}, "Cannot scale to -1 dynos"),
        ({"type": "web", "size": "huge"}, "Couldn't find that dyno size (huge). Available sizes are: Eco, Basic,"),
        ({"type": "web", "quantity": 1.5}, "Invalid request. updates.1.quantity must be a whole number or a string."),
        ({"quantity": 1}, "Invalid request. updates.1.type is required."),
    ],
)
def test_a_wrong_scale_changes_nothing(
    client: httpx.Client, app: str, slug: uuid.UUID, update: dict[str, object], message: str
) -> None:
    updates = [{"type": "worker", "quantity": 5}, update]
    answer = client.patch(f"/apps/{app}/formation", json={"updates": updates})
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)
    assert client.get(f"/apps/{app}/formation/worker").json()["quantity"] == 0


def test_an_app_without_a_slug_has_nothing_to_scale(client: httpx.Client, app: str) -> None:
    assert client.get(f"/apps/{app}/formation").json() == []
    answer = client.patch(f"/apps/{app}/formation/web", json={"quantity": 1})
    assert (answer.status_code, answer.json()["message"]) == (422, "Couldn't find that process type (web).")


@pytest.fixture
def dynos(store: Store, app: str, slug: uuid.UUID) -> None:
    """web.1 of the release before and of this one, web.2, and worker.1 on its way out."""
    with store.transaction() as session:
        found = session.scalars(select(App)).one()
        releases = {release.version: release for release in session.scalars(select(Release))}
        for version, name, number, state in ((2, "web", 1, "up"), (3, "web", 1, "up"), (3, "web", 2, "crashed")):
            session.add(_dyno(found, releases[version], name, number, state))
        session.add(_dyno(found, releases[3], "worker", 1, "down"))


def _dyno(app: App, release: Release, process_type: str, number: int, state: str) -> Dyno:
    command, size = f"run {process_type}", "Standard-1X"
    return Dyno(
        app_id=app.id, release_id=release.id, type=process_type, number=number, size=size, command=command, state=state
    )


def test_dynos_are_listed_once_each(client: httpx.Client, app: str, dynos: None) -> None:
    rows = client.get(f"/apps/{app}/dynos").json()
    assert [(row["name"], row["state"], row["release"]["version"]) for row in rows] == [
        ("web.1", "up", 3),
        ("web.2", "crashed", 3),
    ]
    assert client.get(f"/apps/{app}/dynos/web.1").json() == rows[0]
    assert client.get(f"/apps/{app}/dynos/{rows[1]['id']}").json() == rows[1]


@pytest.mark.parametrize(
    ("path", "running"),
    [("dynos", []), ("dynos/web.1", ["web.2"]), ("dynos/web", []), ("formations/web", [])],
)
def test_a_restart_marks_the_dynos(client: httpx.Client, app: str, dynos: None, path: str, running: list[str]) -> None:
    answer = client.delete(f"/apps/{app}/{path}")
    assert (answer.status_code, answer.json()) == (202, {})
    assert [row["name"] for row in client.get(f"/apps/{app}/dynos").json()] == running


@pytest.mark.parametrize("path", ["dynos/web.9", "dynos/nope", "dynos/web.x", "formations/nope", "dynos/worker.1"])
def test_what_does_not_run_cannot_be_restarted(client: httpx.Client, app: str, dynos: None, path: str) -> None:
    answer = client.delete(f"/apps/{app}/{path}")
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that dyno.")
