"""Pipelines and the apps in them."""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dynoform.store.session import Store
from dynoform.store.tables import Account, PipelineConfig
from tests.contract.conftest import Person

STAGES = ("test", "review", "development", "staging", "production")


@pytest.fixture
def pipeline(client: httpx.Client) -> dict[str, Any]:
    """A pipeline of the operator's."""
    return dict(client.post("/pipelines", json={"name": "mypipe"}).raise_for_status().json())


def couple(client: httpx.Client, pipeline: str, app: str, stage: str) -> dict[str, Any]:
    body = {"app": app, "pipeline": pipeline, "stage": stage}
    answer = client.post("/pipeline-couplings", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_pipeline_is_made_as_the_cli_does_it(client: httpx.Client, operator: Account) -> None:
    owner = {"id": str(operator.id), "type": "user"}
    answer = client.post("/pipelines", json={"generation": {"name": "cedar"}, "name": "newpipe", "owner": owner})
    made = answer.json()
    assert (answer.status_code, made) == (
        201,
        {
            "created_at": made["created_at"],
            "generation": {"id": made["generation"]["id"], "name": "cedar"},
            "id": made["id"],
            "name": "newpipe",
            "owner": owner,
            "updated_at": made["updated_at"],
        },
    )
    for reference in ("newpipe", made["id"]):
        assert client.get(f"/pipelines/{reference}").json() == made
    assert client.get("/pipelines").json() == [made]
    assert client.get("/pipelines?eq[name]=newpipe").json() == [made]
    assert client.get("/pipelines?eq[name]=other").json() == []


def test_a_pipeline_is_renamed_and_deleted(client: httpx.Client, app: str, pipeline: dict[str, Any]) -> None:
    couple(client, "mypipe", app, "staging")
    answer = client.patch(f"/pipelines/{pipeline['id']}", json={"name": "other"})
    assert (answer.status_code, answer.json()["name"]) == (200, "other")
    answer = client.request("DELETE", f"/pipelines/{pipeline['id']}", json={"name": "other"})
    assert (answer.status_code, answer.json()["id"]) == (200, pipeline["id"])
    assert client.get("/pipelines/other").json() == {
        "id": "not_found",
        "message": "Couldn't find that pipeline.",
        "resource": "pipeline",
    }
    assert client.get(f"/apps/{app}").status_code == 200
    assert client.get(f"/apps/{app}/pipeline-couplings").status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "mypipe"}, "Name mypipe is already taken"),
        ({"name": "My_pipe"}, "Name must be 3 to 30 characters, start with a letter"),
        ({"name": "p"}, "Name must be 3 to 30 characters"),
        ({"name": "fir-pipe", "generation": {"name": "fir"}}, "Generation must be cedar."),
        (
            {"name": "theirs", "owner": {"id": str(uuid.UUID(int=1)), "type": "user"}},
            "Owner must be your own account, or a team",
        ),
        (
            {"name": "theirs", "owner": {"id": str(uuid.UUID(int=1)), "type": "x"}},
            "Owner type must be one of: user, team.",
        ),
        ({}, "Invalid request. name is required."),
    ],
)
def test_a_wrong_pipeline_is_refused(
    client: httpx.Client, pipeline: dict[str, Any], body: dict[str, Any], message: str
) -> None:
    answer = client.post("/pipelines", json=body)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)


def test_a_name_is_taken_for_a_rename_too(client: httpx.Client, pipeline: dict[str, Any]) -> None:
    client.post("/pipelines", json={"name": "second"}).raise_for_status()
    answer = client.patch("/pipelines/second", json={"name": "mypipe"})
    assert (answer.status_code, answer.json()["message"]) == (422, "Name mypipe is already taken")


@pytest.mark.parametrize("stage", STAGES)
def test_an_app_is_coupled_and_moved(client: httpx.Client, app: str, pipeline: dict[str, Any], stage: str) -> None:
    made = couple(client, pipeline["id"], app, stage)
    identifier = client.get(f"/apps/{app}").json()["id"]
    assert made == {
        "app": {"id": identifier, "name": app},
        "created_at": made["created_at"],
        "id": made["id"],
        "pipeline": {"id": pipeline["id"], "name": "mypipe"},
        "stage": stage,
        "updated_at": made["updated_at"],
    }
    path = f"/pipeline-couplings/{made['id']}"
    assert client.get(path).json() == client.get(f"/apps/{identifier}/pipeline-couplings").json() == made
    for listed in ("/pipelines/mypipe/pipeline-couplings", "/pipeline-couplings", "/users/~/pipeline-couplings"):
        assert client.get(listed).json() == [made]
    assert client.patch(path, json={"stage": "production"}).json()["stage"] == "production"
    assert client.delete(path).json()["id"] == made["id"]
    assert client.get(path).json()["resource"] == "pipeline_coupling"
    assert client.get(f"/apps/{app}/pipeline-couplings").json() == {
        "id": "not_found",
        "message": "Couldn't find that pipeline coupling.",
        "resource": "pipeline_coupling",
    }


def test_an_app_is_in_one_pipeline(client: httpx.Client, app: str, pipeline: dict[str, Any]) -> None:
    client.post("/pipelines", json={"name": "second"}).raise_for_status()
    couple(client, "mypipe", app, "staging")
    answer = client.post("/pipeline-couplings", json={"app": app, "pipeline": "second", "stage": "staging"})
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "App myapp is already in a pipeline. Remove it there first: heroku pipelines:remove",
    )
    answer = client.post("/pipeline-couplings", json={"app": app, "pipeline": "mypipe", "stage": "prod"})
    message = "Stage must be one of: test, review, development, staging, production."
    assert (answer.status_code, answer.json()["message"]) == (422, message)


def test_apps_are_filtered_by_their_ids(client: httpx.Client, stranger: httpx.Client, app: str) -> None:
    stranger.post("/apps", json={"name": "bobs"}).raise_for_status()
    client.post("/apps", json={"name": "other"}).raise_for_status()
    ids = {name: make.get(f"/apps/{name}").json()["id"] for name, make in (("myapp", client), ("bobs", stranger))}
    body = {"in": {"id": [*ids.values(), str(uuid.UUID(int=1)), "x"]}}
    answer = client.post("/filters/apps", json=body, headers={"Range": "id ..; max=1000;"})
    assert (answer.status_code, answer.json()) == (200, [client.get("/apps/myapp").json()])
    assert client.post("/filters/apps", json={"in": {"id": []}}).json() == []
    answer = client.post("/filters/apps", json={"in": {"id": ["x"] * 1001}})
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")


def test_a_stage_has_config_vars(client: httpx.Client, pipeline: dict[str, Any], store: Store) -> None:
    path = "/pipelines/mypipe/stage/test/config-vars"
    assert client.get(path).json() == {}
    assert client.patch(path, json={"A": "hidden-value", "B": "2"}).json() == {"A": "hidden-value", "B": "2"}
    assert client.patch(path, json={"B": None}).json() == {"A": "hidden-value"}
    assert client.get(f"/pipelines/{pipeline['id']}/stage/test/config-vars").json() == {"A": "hidden-value"}
    assert client.get("/pipelines/mypipe/stage/review/config-vars").json() == {}
    with store.transaction() as session:
        assert b"hidden-value" not in session.scalars(select(PipelineConfig)).one().ciphertext
    answer = client.get("/pipelines/mypipe/stage/production/config-vars")
    assert (answer.status_code, answer.json()["message"]) == (422, "Stage must be one of: test, review.")
    answer = client.patch(path, json={"1A": "x"})
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")


def test_a_pipeline_is_transferred(
    client: httpx.Client, stranger: httpx.Client, operator: Account, pipeline: dict[str, Any]
) -> None:
    bob = stranger.get("/account").json()
    new_owner = {"id": bob["id"], "type": "user"}
    body = {"pipeline": {"id": pipeline["id"]}, "new_owner": new_owner}
    answer = client.post("/pipeline-transfers", json=body)
    assert (answer.status_code, answer.json()) == (
        201,
        {
            "new_owner": new_owner,
            "pipeline": {"id": pipeline["id"]},
            "previous_owner": {"id": str(operator.id), "type": "user"},
        },
    )
    assert stranger.get("/pipelines/mypipe").json()["owner"] == new_owner
    assert client.get("/pipelines/mypipe").status_code == 404


@pytest.mark.parametrize(
    ("owner", "resource"),
    [
        ({"id": str(uuid.UUID(int=1)), "type": "user"}, "user"),
        ({"id": "no@example.com"}, "user"),
        ({"id": str(uuid.UUID(int=1)), "type": "team"}, "team"),
    ],
)
def test_a_pipeline_is_transferred_to_somebody_who_is_there(
    client: httpx.Client, pipeline: dict[str, Any], owner: dict[str, str], resource: str
) -> None:
    answer = client.post("/pipeline-transfers", json={"pipeline": {"id": "mypipe"}, "new_owner": owner})
    assert (answer.status_code, answer.json()) == (
        404,
        {"id": "not_found", "message": f"Couldn't find that {resource}.", "resource": resource},
    )


def test_a_pipeline_is_not_transferred_to_who_was_shut_out(
    client: httpx.Client, stranger: httpx.Client, pipeline: dict[str, Any]
) -> None:
    gone = stranger.get("/account").json()["id"]
    client.delete(f"/dynoform/accounts/{gone}").raise_for_status()
    for reference in (gone, f"deleted-{gone}@invalid", "bob@example.com"):
        body = {"pipeline": {"id": pipeline["id"]}, "new_owner": {"id": reference, "type": "user"}}
        answer = client.post("/pipeline-transfers", json=body)
        assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that user.")


def test_pipelines_of_others_are_not_there(
    client: httpx.Client, stranger: httpx.Client, app: str, pipeline: dict[str, Any]
) -> None:
    coupling = couple(client, "mypipe", app, "staging")
    stranger.post("/apps", json={"name": "bobs"}).raise_for_status()
    for path in ("/pipelines/mypipe", f"/pipelines/{pipeline['id']}", "/pipelines/mypipe/pipeline-couplings"):
        assert stranger.get(path).json()["resource"] == "pipeline"
    assert stranger.get("/pipelines").json() == stranger.get("/pipeline-couplings").json() == []
    for method in ("GET", "DELETE"):
        assert stranger.request(method, f"/pipeline-couplings/{coupling['id']}").status_code == 404
    answer = stranger.post("/pipeline-couplings", json={"app": "bobs", "pipeline": "mypipe", "stage": "staging"})
    assert answer.json()["resource"] == "pipeline"
    answer = stranger.post("/pipeline-couplings", json={"app": app, "pipeline": "mypipe", "stage": "staging"})
    assert answer.json()["resource"] == "app"
    assert stranger.post("/pipelines", json={"name": "mypipe"}).status_code == 201  # names are each owner's own


def test_an_app_in_a_pipeline_shows_it_but_only_its_owner_changes_it(
    client: httpx.Client, stranger: httpx.Client, app: str, pipeline: dict[str, Any], operator: Account
) -> None:
    couple(client, "mypipe", app, "staging")
    bob = stranger.get("/account").json()
    body = {"pipeline": {"id": "mypipe"}, "new_owner": {"id": bob["email"]}}
    client.post("/pipeline-transfers", json=body).raise_for_status()
    assert client.get("/pipelines/mypipe").json()["owner"]["id"] == bob["id"]
    assert stranger.get("/pipelines/mypipe/pipeline-couplings").json() == []
    for method, path, content in (
        ("PATCH", "/pipelines/mypipe", {"name": "other"}),
        ("DELETE", "/pipelines/mypipe", None),
        ("POST", "/pipeline-transfers", body),
        ("GET", "/pipelines/mypipe/stage/test/config-vars", None),
    ):
        answer = client.request(method, path, json=content)
        assert (answer.status_code, answer.json()) == (
            403,
            {
                "id": "forbidden",
                "message": "You do not have permission to change this pipeline: only its owner has.",
            },
        )


def test_there_are_no_review_apps(client: httpx.Client, app: str) -> None:
    answer = client.get(f"/apps/{app}/review-app")
    assert (answer.status_code, answer.json()["id"]) == (404, "not_found")


def test_a_team_owns_a_pipeline(client: httpx.Client, person: Person, stranger: httpx.Client) -> None:
    team = client.post("/teams", json={"name": "acme"}).raise_for_status().json()
    member, viewer = person("member"), person("viewer")
    for role in ("member", "viewer"):
        body = {"email": f"{role}@example.com", "role": role}
        client.put("/teams/acme/members", json=body).raise_for_status()
    # As `pipelines:create teampipe -t acme` does it: the team is looked up, then its id is sent.
    owner = {"id": team["id"], "type": "team"}
    body = {"name": "teampipe", "owner": owner, "generation": {"name": "cedar"}}
    assert stranger.post("/pipelines", json=body).json()["message"] == "Couldn't find that team."
    refused = viewer.post("/pipelines", json=body)
    message = "You do not have permission to make pipelines in the team acme."
    assert (refused.status_code, refused.json()["message"]) == (403, message)
    made = member.post("/pipelines", json=body)
    assert (made.status_code, made.json()["owner"]) == (201, owner)
    assert client.post("/pipelines", json=body).json()["message"] == "Name teampipe is already taken"
    for who in (client, member, viewer):
        assert [each["name"] for each in who.get("/pipelines").json()] == ["teampipe"]
    assert stranger.get("/pipelines").json() == []
    assert viewer.patch("/pipelines/teampipe", json={"name": "other"}).status_code == 403
    assert client.patch("/pipelines/teampipe", json={"name": "renamed"}).json()["name"] == "renamed"
    path = "/pipelines/renamed/stage/test/config-vars"
    assert member.patch(path, json={"A": "1"}).json() == {"A": "1"}
    kept = client.delete("/teams/acme")
    message = "Team acme owns the pipeline renamed: delete or transfer its pipelines first"
    assert (kept.status_code, kept.json()["message"]) == (422, message)
    member.delete("/pipelines/renamed").raise_for_status()
    client.delete("/teams/acme").raise_for_status()


def test_a_pipeline_is_given_to_a_team_and_back(
    client: httpx.Client, stranger: httpx.Client, pipeline: dict[str, Any], operator: Account
) -> None:
    team = client.post("/teams", json={"name": "acme"}).raise_for_status().json()
    stranger.post("/teams", json={"name": "others"}).raise_for_status()
    body = {"pipeline": {"id": pipeline["id"]}, "new_owner": {"id": "others", "type": "team"}}
    assert client.post("/pipeline-transfers", json=body).json()["message"] == "Couldn't find that team."
    there = {**body, "new_owner": {"id": team["id"], "type": "team"}}
    made = client.post("/pipeline-transfers", json=there).raise_for_status().json()
    own = {"id": str(operator.id), "type": "user"}
    assert (made["previous_owner"], made["new_owner"]) == (own, there["new_owner"])
    assert client.get("/pipelines/mypipe").json()["owner"] == there["new_owner"]
    back = client.post("/pipeline-transfers", json={**body, "new_owner": own}).raise_for_status().json()
    assert (back["previous_owner"], back["new_owner"]) == (there["new_owner"], own)
