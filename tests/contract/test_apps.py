"""Apps: create, info, list, rename, maintenance, delete."""

import re

import httpx
import pytest

from dynoform.api.apps import AppObject
from dynoform.api.services import Services


def test_an_app_is_made_with_its_first_two_releases(client: httpx.Client, services: Services) -> None:
    answer = client.post("/apps", json={"name": "myapp"})
    assert answer.status_code == 201
    app = answer.json()
    assert set(app) == set(AppObject.__annotations__)
    assert app["name"] == "myapp"
    assert app["stack"]["name"] == "dynoform-13"
    assert app["owner"]["email"] == "ann@example.com"
    assert app["web_url"] == "http://myapp.localhost:8080/"
    assert app["git_url"] == "https://localhost:8443/myapp.git"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", app["created_at"])
    described = [(r["version"], r["description"], r["current"]) for r in client.get("/apps/myapp/releases").json()]
    assert described == [(1, "Initial release", False), (2, "Enable Logplex", True)]
    assert services.logs.lines == [  # type: ignore[attr-defined]
        "app[api]: Release v1 created by user ann@example.com",
        "app[api]: Initial release by user ann@example.com",
        "app[api]: Release v2 created by user ann@example.com",
        "app[api]: Enable Logplex by user ann@example.com",
    ]


@pytest.mark.parametrize("body", [None, {}, {"region": "local", "stack": "dynoform-13"}])
def test_an_app_without_a_name_gets_one(client: httpx.Client, body: object) -> None:
    answer = client.post("/apps", json=body) if body is not None else client.post("/apps")
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{5}", answer.raise_for_status().json()["name"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "ab"}, "Name is too short (minimum is 3 characters)"),
        ({"name": "a" * 31}, "Name is too long (maximum is 30 characters)"),
        (
            {"name": "My_App"},
            "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, "
            "and dashes",
        ),
        ({"name": "myapp"}, "Name myapp is already taken"),
        ({"name": "api"}, "Name api is already taken"),
        ({"name": "abc\0"}, "Name must start with a letter"),
        ({"name": 7}, "Invalid request. name must be a string."),
        ({"name": ["x"], "stack": True}, "Invalid request. name must be a string; stack must be a string."),
        ({"region": "eu"}, "Couldn't find that region (eu)."),
        ({"stack": "heroku-22"}, "Couldn't find that stack (heroku-22). Available stacks are: container, dynoform-13."),
        ([], "The request's body must be a JSON object, sent with Content-Type: application/json."),
    ],
)
def test_a_wrong_app_is_refused_in_herokus_words(client: httpx.Client, app: str, body: object, message: str) -> None:
    answer = client.post("/apps", json=body)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)
    assert len(client.get("/apps").json()) == 1


def test_a_wrong_type_is_named_with_what_it_must_be(client: httpx.Client, app: str) -> None:
    answer = client.patch(f"/apps/{app}", json={"maintenance": "yes"})
    assert (answer.status_code, answer.json()) == (
        422,
        {"id": "invalid_params", "message": "Invalid request. maintenance must be true or false."},
    )


def test_an_app_is_found_by_name_and_id(client: httpx.Client, app: str) -> None:
    by_name = client.get(f"/apps/{app}").json()
    assert client.get(f"/apps/{by_name['id']}").json() == by_name


@pytest.mark.parametrize("reference", ["nope", "Nope!", "%00", "a" * 300, "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_app_is_not_found(client: httpx.Client, reference: str) -> None:
    answer = client.get(f"/apps/{reference}")
    assert answer.status_code == 404
    assert answer.json() == {"id": "not_found", "message": "Couldn't find that app.", "resource": "app"}


def test_somebody_elses_app_is_answered_as_none(client: httpx.Client, stranger: httpx.Client, app: str) -> None:
    identifier = client.get(f"/apps/{app}").json()["id"]
    for reference in (app, identifier):
        unknown = stranger.get("/apps/nope")
        for answer in (
            stranger.get(f"/apps/{reference}"),
            stranger.patch(f"/apps/{reference}", json={"maintenance": True}),
            stranger.delete(f"/apps/{reference}"),
            stranger.get(f"/apps/{reference}/config-vars"),
        ):
            assert (answer.status_code, answer.json()) == (unknown.status_code, unknown.json())
    assert stranger.get("/apps").json() == []
    taken = stranger.post("/apps", json={"name": app})
    assert taken.json()["message"] == f"Name {app} is already taken"


def test_an_app_is_renamed_and_put_into_maintenance(client: httpx.Client, app: str) -> None:
    changed = client.patch(f"/apps/{app}", json={"name": "renamed", "maintenance": True}).raise_for_status().json()
    assert (changed["name"], changed["maintenance"]) == ("renamed", True)
    assert changed["web_url"] == "http://renamed.localhost:8080/"
    assert client.get(f"/apps/{app}").status_code == 404
    client.post("/apps", json={"name": "other"}).raise_for_status()
    refused = client.patch("/apps/renamed", json={"name": "other"})
    assert (refused.status_code, refused.json()["message"]) == (422, "Name other is already taken")


def test_an_app_is_deleted_with_all_that_belongs_to_it(client: httpx.Client, app: str, slug: object) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    assert client.delete(f"/apps/{app}").json()["name"] == app
    assert client.get(f"/apps/{app}").status_code == 404
    assert client.get("/apps").json() == []
    assert client.post("/apps", json={"name": app}).status_code == 201


def test_lists_come_in_pages(client: httpx.Client) -> None:
    for number in range(5):
        client.post("/apps", json={"name": f"app-{number}"}).raise_for_status()
    names: list[str] = []
    wanted: str | None = "name ..; max=2"
    statuses = []
    while wanted:
        answer = client.get("/apps", headers={"Range": wanted})
        statuses.append(answer.status_code)
        names += [item["name"] for item in answer.json()]
        wanted = answer.headers.get("Next-Range")
    assert names == [f"app-{number}" for number in range(5)]
    assert statuses == [206, 206, 200]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("name ..; order=desc,max=2", ["app-3", "app-2"]),
        ("name app-1..app-2", ["app-1", "app-2"]),
        ("name ]app-1..app-3[", ["app-2"]),
        ("name ..; max=1000;", ["app-0", "app-1", "app-2", "app-3"]),
    ],
)
def test_ranges_are_honoured(client: httpx.Client, header: str, names: list[str]) -> None:
    for number in range(4):
        client.post("/apps", json={"name": f"app-{number}"}).raise_for_status()
    assert [item["name"] for item in client.get("/apps", headers={"Range": header}).json()] == names


@pytest.mark.parametrize("header", ["size ..", "name", "id x..", "name ..; max=0", "name ..; order=up", "id ..; max=x"])
def test_a_range_that_makes_no_sense_is_refused(client: httpx.Client, app: str, header: str) -> None:
    answer = client.get("/apps", headers={"Range": header})
    assert (answer.status_code, answer.json()["id"]) == (416, "requested_range_not_satisfiable")
    assert answer.headers["Accept-Ranges"] == "id, name"
