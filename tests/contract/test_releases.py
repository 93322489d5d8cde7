"""Releases: list, info, rollback, release of a slug."""

import uuid

import httpx
import pytest

from dynoform.store.session import Store
from dynoform.store.tables import Account
from tests.contract.conftest import deploy


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
        ({"release": {}}, 422, "Invalid request. release: Input should be a valid string"),
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
