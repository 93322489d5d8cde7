"""Releases: list, info, rollback, release of a slug."""

import threading
import uuid

import httpx
import pytest
from sqlalchemy import update

from dynoform.store import output
from dynoform.store.releases import fail, succeed
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Release, ReleaseOutput, Slug
from tests.contract.conftest import deploy, path_of


def test_the_newest_release_comes_first_when_asked(client: httpx.Client, app: str, slug: uuid.UUID) -> None:
    answer = client.get(f"/apps/{app}/releases", headers={"Range": "version ..; max=1, order=desc"})
    assert answer.headers["Next-Range"] == "version ..3[; max=1, order=desc"
    (newest,) = answer.json()
    assert (newest["version"], newest["description"], newest["current"]) == (3, "Deploy abc1234d", True)
    assert (newest["slug"], newest["status"]) == ({"id": str(slug)}, "succeeded")
    assert (newest["eligible_for_rollback"], newest["output_stream_url"]) == (True, None)


def test_a_release_is_found_by_version_and_id(client: httpx.Client, app: str) -> None:
    release = client.get(f"/apps/{app}/releases/2").json()
    for reference in ("v2", release["id"]):
        assert client.get(f"/apps/{app}/releases/{reference}").json() == release
    for reference in ("9", "v", "x", str(uuid.UUID(int=0)), "9" * 40):
        answer = client.get(f"/apps/{app}/releases/{reference}")
        assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that release.")


def test_a_rollback_is_a_new_release_with_that_slug_and_its_config_vars(
    client: httpx.Client, app: str, slug: uuid.UUID, store: Store, operator: Account
) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"A": "new"}).raise_for_status()
    deploy(store, app, operator, {"web": "other"})
    assert [row["type"] for row in client.get(f"/apps/{app}/formation").json()] == ["web"]
    target = client.get(f"/apps/{app}/releases/3").json()
    answer = client.post(f"/apps/{app}/releases", json={"release": target["id"]})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["version"], made["description"], made["slug"]["id"]) == (6, "Rollback to v3", str(slug))
    assert client.get(f"/apps/{app}/config-vars").json() == {}
    assert [row["type"] for row in client.get(f"/apps/{app}/formation").json()] == ["web", "worker"]
    assert client.post(f"/apps/{app}/releases", json={"release": "v4"}).json()["description"] == "Rollback to v4"
    assert client.get(f"/apps/{app}/config-vars").json() == {"A": "new"}


def test_a_slug_is_released_again(client: httpx.Client, app: str, slug: uuid.UUID) -> None:
    answer = client.post(f"/apps/{app}/releases", json={"slug": str(slug), "description": "Retry of v3: Deploy"})
    assert (answer.status_code, answer.json()["description"], answer.json()["version"]) == (
        201,
        "Retry of v3: Deploy",
        4,
    )
    shown = client.get(f"/apps/{app}/slugs/{slug}").json()
    assert (shown["process_types"], shown["commit"], shown["size"]) == (
        {"web": "python app.py", "worker": "python work.py"},
        "abc1234def",
        1234,
    )
    assert client.get(f"/apps/{app}").json()["slug_size"] == 1234


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "Either slug or release must be given, and not both."),
        ({"slug": "x", "release": "y"}, 422, "Either slug or release must be given, and not both."),
        ({"release": "v1"}, 422, "Cannot roll back to v1: it has no slug. Choose a release that deployed one"),
        ({"release": 99}, 404, "Couldn't find that release."),
        ({"slug": str(uuid.UUID(int=1))}, 404, "Couldn't find that slug."),
        ({"release": {}}, 422, "Invalid request. release must be a string or a whole number."),
    ],
)
def test_a_wrong_release_is_refused(client: httpx.Client, app: str, body: object, status: int, message: str) -> None:
    answer = client.post(f"/apps/{app}/releases", json=body)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (status, message)


def test_a_slug_of_another_app_cannot_be_released(client: httpx.Client, app: str, slug: uuid.UUID) -> None:
    client.post("/apps", json={"name": "other"}).raise_for_status()
    for answer in (
        client.post("/apps/other/releases", json={"slug": str(slug)}),
        client.get(f"/apps/other/slugs/{slug}"),
    ):
        assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that slug.")


@pytest.fixture
def pending(client: httpx.Client, app: str, slug: uuid.UUID, store: Store, operator: Account) -> dict[str, str]:
    """Release 4, whose command has not ended; release 3 serves."""
    deploy(store, app, operator, {"web": "python app.py", "release": "python migrate.py"})
    found: dict[str, str] = client.get(f"/apps/{app}/releases/4").raise_for_status().json()
    return found


def end(store: Store, release: dict[str, str], *, succeeded: bool) -> None:
    """Write down what became of a release's command, as the worker does."""
    with store.transaction() as session:
        found = session.get_one(Release, uuid.UUID(release["id"]))
        if succeeded:
            succeed(session, session.get_one(App, found.app_id), found)
        else:
            fail(session, found)


def test_a_release_with_a_command_serves_when_that_has_succeeded(
    client: httpx.Client, app: str, pending: dict[str, str], store: Store
) -> None:
    assert (pending["status"], pending["current"], pending["eligible_for_rollback"]) == ("pending", False, False)
    assert client.get(f"/apps/{app}/releases/3").json()["current"]
    assert {row["type"] for row in client.get(f"/apps/{app}/formation").json()} == {"web", "worker", "release"}
    end(store, pending, succeeded=True)
    shown = client.get(f"/apps/{app}/releases/4").json()
    assert (shown["status"], shown["current"], shown["eligible_for_rollback"]) == ("succeeded", True, True)
    assert not client.get(f"/apps/{app}/releases/3").json()["current"]


def test_a_release_whose_command_fails_can_be_retried(
    client: httpx.Client, app: str, pending: dict[str, str], store: Store
) -> None:
    end(store, pending, succeeded=False)
    failed = client.get(f"/apps/{app}/releases/4").json()
    assert (failed["status"], failed["eligible_for_rollback"]) == ("failed", False)
    assert client.get(f"/apps/{app}/releases/3").json()["current"]
    refused = client.post(f"/apps/{app}/releases", json={"release": "v4"})
    message = "Cannot roll back to v4: its release command failed. Choose a release that deployed one"
    assert (refused.status_code, refused.json()["message"]) == (422, message)
    # What `releases:retry` sends, however often: the description grows each time.
    description = f"Retry of v4: {'Retry of v3: ' * 20}{failed['description']}"
    body = {"description": description, "slug": failed["slug"]["id"]}
    retry = client.post(f"/apps/{app}/releases", json=body).json()
    assert (retry["version"], retry["status"]) == (5, "pending")
    assert retry["description"] == f"{description[:199]}…"


def test_the_output_of_a_command_comes_as_it_is_written(
    client: httpx.Client, nobody: httpx.Client, app: str, pending: dict[str, str], store: Store
) -> None:
    write(store, pending, "migrating\n")
    with nobody.stream("GET", path_of(pending["output_stream_url"])) as answer:
        pieces = answer.iter_text()
        assert next(pieces) == "migrating\n"
        write(store, pending, "migrated ✓\n")
        assert next(pieces) == "migrated ✓\n"
        threading.Timer(0.1, end, (store, pending), {"succeeded": True}).start()
        assert list(pieces) == []
    assert nobody.get(path_of(pending["output_stream_url"])).text == "migrating\nmigrated ✓\n"
    link = path_of(pending["output_stream_url"])
    assert nobody.get(link.partition("?")[0]).status_code == 403
    other = link.replace(pending["id"], str(uuid.UUID(int=1)))
    assert nobody.get(other).json()["message"] == "Couldn't find that release."
    assert nobody.get(link.replace("/releases/", "/builds/")).status_code == 403
    assert client.get(f"/apps/{app}/releases/3").json()["output_stream_url"] is None


def write(store: Store, release: dict[str, str], text: str) -> None:
    """Write a piece of output, as the worker does."""
    with store.transaction() as session:
        output.append(session, ReleaseOutput, uuid.UUID(release["id"]), text)


def test_config_vars_that_were_set_meanwhile_are_kept(
    client: httpx.Client, app: str, pending: dict[str, str], store: Store
) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    assert client.patch(f"/apps/{app}/config-vars", json={"B": "2"}).json() == {"A": "1", "B": "2"}
    assert client.get(f"/apps/{app}/config-vars").json() == {"A": "1", "B": "2"}
    newest = client.get(f"/apps/{app}/releases/6").json()
    assert (newest["status"], newest["slug"]) == ("pending", pending["slug"])
    end(store, newest, succeeded=False)
    assert client.get(f"/apps/{app}/config-vars").json() == {"A": "1", "B": "2"}  # as on Heroku, they stay set


def test_a_pending_release_cannot_be_rolled_back_to(client: httpx.Client, app: str, pending: dict[str, str]) -> None:
    answer = client.post(f"/apps/{app}/releases", json={"release": pending["id"]})
    message = "Cannot roll back to v4: its release command has not finished. Choose a release that deployed one"
    assert (answer.status_code, answer.json()["message"]) == (422, message)


def test_an_expired_slug_cannot_be_released(
    client: httpx.Client, app: str, slug: uuid.UUID, store: Store, operator: Account
) -> None:
    deploy(store, app, operator, {"web": "other"})
    with store.transaction() as session:
        session.execute(update(Slug).where(Slug.id == slug).values(expired_at=Slug.created_at))
        session.execute(update(Release).where(Release.slug_id == slug).values(status="expired"))
    shown = client.get(f"/apps/{app}/releases/3").json()
    assert (shown["status"], shown["eligible_for_rollback"]) == ("expired", False)
    answer = client.post(f"/apps/{app}/releases", json={"release": 3})
    message = "Cannot roll back to v3: its slug has expired. Choose a release that deployed one"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    answer = client.post(f"/apps/{app}/releases", json={"slug": str(slug)})
    assert (answer.status_code, answer.json()["message"]) == (422, "The slug has expired: deploy that commit again")
