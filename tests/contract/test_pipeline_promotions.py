"""Promotions: the slug goes on, the config vars stay, and every target has its release or the reason why not."""

import threading
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.store import releases
from dynoform.store.session import Store
from dynoform.store.tables import Account, PipelinePromotion, Release, Slug
from tests.contract.conftest import OPERATOR_KEY, deploy, make_client
from tests.contract.test_pipelines import couple


@pytest.fixture
def pipeline(client: httpx.Client, app: str, slug: uuid.UUID) -> str:
    """A pipeline with myapp (which has a slug) in staging, and one and two in production; its id."""
    made = str(client.post("/pipelines", json={"name": "mypipe"}).raise_for_status().json()["id"])
    couple(client, made, app, "staging")
    for name in ("one", "two"):
        client.post("/apps", json={"name": name}).raise_for_status()
        couple(client, made, name, "production")
    return made


def promote(client: httpx.Client, pipeline: str, source: str, *targets: str, **more: Any) -> httpx.Response:
    body = {
        "pipeline": {"id": pipeline},
        "source": {"app": {"id": source}, **more},
        "targets": [{"app": {"id": target}} for target in targets],
    }
    return client.post("/pipeline-promotions", json=body)


def targets_of(client: httpx.Client, promotion: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The promotion's targets, by app id."""
    listed = client.get(f"/pipeline-promotions/{promotion['id']}/promotion-targets").raise_for_status().json()
    return {target["app"]["id"]: target for target in listed}


def ids(client: httpx.Client, *names: str) -> list[str]:
    return [client.get(f"/apps/{name}").json()["id"] for name in names]


def test_a_promotion_releases_the_slug_with_the_targets_own_config_vars(
    client: httpx.Client, pipeline: str, store: Store, services: Any
) -> None:
    client.patch("/apps/myapp/config-vars", json={"WHO": "staging"}).raise_for_status()
    client.patch("/apps/one/config-vars", json={"WHO": "production"}).raise_for_status()
    source, *targets = ids(client, "myapp", "one", "two")
    answer = promote(client, pipeline, source, *targets)
    made = answer.json()
    release = client.get("/apps/myapp/releases/4").json()
    assert (answer.status_code, made) == (
        201,
        {
            "created_at": made["created_at"],
            "id": made["id"],
            "pipeline": {"id": pipeline},
            "source": {"app": {"id": source}, "release": {"id": release["id"]}},
            "status": "completed",
            "updated_at": made["updated_at"],
        },
    )
    assert client.get(f"/pipeline-promotions/{made['id']}").json() == made
    found = targets_of(client, made)
    assert set(found) == set(targets)
    promoted = client.get("/apps/one/releases/4").json()
    assert found[targets[0]] == {
        "app": {"id": targets[0]},
        "error_message": None,
        "id": found[targets[0]]["id"],
        "pipeline_promotion": {"id": made["id"]},
        "release": {"id": promoted["id"]},
        "status": "succeeded",
    }
    assert (promoted["description"], promoted["current"]) == ("Promote myapp v4 abc1234d", True)
    assert client.get("/apps/one/config-vars").json() == {"WHO": "production"}
    assert client.get("/apps/two/releases/3").json()["description"] == "Promote myapp v4 abc1234d"
    assert [row["type"] for row in client.get("/apps/two/formation").json()] == ["web", "worker"]
    with store.transaction() as session:
        slugs = session.scalars(select(Slug)).all()
        assert len(slugs) == 3
        assert len({slug.image for slug in slugs}) == 1
        assert {str(slug.app_id) for slug in slugs} == {source, *targets}
    shown = client.get(f"/apps/one/slugs/{promoted['slug']['id']}").json()
    assert (shown["commit"], shown["size"]) == ("abc1234def", 1234)
    assert "app[api]: Promote myapp v4 abc1234d by user ann@example.com" in services.logs.lines


def test_an_earlier_release_can_be_promoted(
    client: httpx.Client, pipeline: str, store: Store, operator: Account
) -> None:
    first = client.get("/apps/myapp/releases/3").json()
    deploy(store, "myapp", operator, {"web": "newer"})
    made = promote(client, pipeline, "myapp", "one", release={"id": first["id"]}).json()
    assert made["source"]["release"]["id"] == first["id"]
    assert client.get("/apps/one/releases/3").json()["description"] == "Promote myapp v3 abc1234d"
    assert [row["type"] for row in client.get("/apps/one/formation").json()] == ["web", "worker"]


def test_a_promotion_follows_the_release_phase(client: httpx.Client, pipeline: str, store: Store) -> None:
    one, two = ids(client, "one", "two")
    made = promote(client, pipeline, "myapp", "one", "two").json()

    def set_status(app: str, status: str) -> None:
        with store.transaction() as session:
            mine = update(Release).where(Release.app_id == uuid.UUID(app), Release.version == 3)
            session.execute(mine.values(status=status))

    set_status(one, "pending")
    set_status(two, "expired")
    assert client.get(f"/pipeline-promotions/{made['id']}").json()["status"] == "pending"
    assert targets_of(client, made)[one]["status"] == "pending"
    assert targets_of(client, made)[two]["status"] == "succeeded"
    set_status(one, "failed")
    assert client.get(f"/pipeline-promotions/{made['id']}").json()["status"] == "completed"
    failed = targets_of(client, made)[one]
    assert (failed["status"], failed["error_message"]) == (
        "failed",
        "The release phase of v3 failed. Its output says why: heroku releases:output v3",
    )


def test_a_target_that_cannot_be_released_fails_alone(
    client: httpx.Client, pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = ids(client, "one", "two")
    real = releases.merge_formation

    def refuse(session: Any, app_id: uuid.UUID, slug: Slug) -> None:
        real(session, app_id, slug)
        if str(app_id) == one:
            from dynoform.errors import InvalidInputError

            raise InvalidInputError("app one", "does not want it")

    monkeypatch.setattr(releases, "merge_formation", refuse)
    made = promote(client, pipeline, "myapp", "one", "two").json()
    found = targets_of(client, made)
    assert (found[one]["status"], found[one]["error_message"], found[one]["release"]) == (
        "failed",
        "app one: does not want it",
        None,
    )
    assert found[two]["status"] == "succeeded"
    assert [release["version"] for release in client.get("/apps/one/releases").json()] == [1, 2]


def test_a_promotion_that_is_killed_has_promoted_nothing(
    client: httpx.Client, pipeline: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = releases.merge_formation, []

    def die(session: Any, app_id: uuid.UUID, slug: Slug) -> None:
        real(session, app_id, slug)
        calls.append(app_id)
        if len(calls) == 2:
            session.connection().exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(releases, "merge_formation", die)
    assert promote(client, pipeline, "myapp", "one", "two").status_code == 503
    assert len(calls) == 2
    monkeypatch.undo()
    with store.transaction() as session:
        assert session.scalars(select(PipelinePromotion)).all() == []
    for name in ("one", "two"):
        assert len(client.get(f"/apps/{name}/releases").json()) == 2
    assert promote(client, pipeline, "myapp", "one", "two").status_code == 201


def test_promotions_across_each_other_come_one_by_one(client: httpx.Client, pipeline: str, address: str) -> None:
    answers: list[int] = []

    def work(*targets: str) -> None:
        with make_client(address, OPERATOR_KEY) as own:
            answers.extend(promote(own, pipeline, "myapp", *targets).status_code for _ in range(4))

    threads = [threading.Thread(target=work, args=names) for names in (("one", "two"), ("two", "one")) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 16
    for name in ("one", "two"):
        versions = [release["version"] for release in client.get(f"/apps/{name}/releases").json()]
        assert versions == list(range(1, 19))


@pytest.mark.parametrize(
    ("source", "targets", "status", "message"),
    [
        ("myapp", ["myapp"], 422, "Each target must be another app, and none the source."),
        ("myapp", ["one", "one"], 422, "Each target must be another app, and none the source."),
        ("myapp", ["alone"], 422, "App alone is not in pipeline mypipe."),
        ("one", ["two"], 422, "App one has no release with a slug to promote. Deploy it first."),
        ("myapp", [], 422, "Invalid request. targets must not be empty."),
        ("myapp", ["bobs"], 404, "Couldn't find that app."),
        ("bobs", ["one"], 404, "Couldn't find that app."),
    ],
)
def test_a_wrong_promotion_is_refused(
    client: httpx.Client,
    stranger: httpx.Client,
    pipeline: str,
    source: str,
    targets: list[str],
    status: int,
    message: str,
) -> None:
    client.post("/apps", json={"name": "alone"}).raise_for_status()
    stranger.post("/apps", json={"name": "bobs"}).raise_for_status()
    answer = promote(client, pipeline, source, *targets)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (status, message)


def test_promotions_of_others_are_not_there(client: httpx.Client, stranger: httpx.Client, pipeline: str) -> None:
    made = promote(client, pipeline, "myapp", "one").json()
    for path in (f"/pipeline-promotions/{made['id']}", f"/pipeline-promotions/{made['id']}/promotion-targets"):
        assert stranger.get(path).json() == {
            "id": "not_found",
            "message": "Couldn't find that pipeline promotion.",
            "resource": "pipeline_promotion",
        }
    assert promote(stranger, pipeline, "myapp", "one").json()["resource"] == "pipeline"
    with_app = client.get("/apps/one").json()["id"]
    client.delete("/apps/one").raise_for_status()
    assert with_app not in targets_of(client, made)
