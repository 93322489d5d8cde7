"""Buildpacks: an app's list as the CLI changes it, and the registry where it looks names up."""

import httpx
import pytest

HEROKUS = "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/nodejs.tgz"


def put(client: httpx.Client, app: str, *buildpacks: str) -> httpx.Response:
    return client.put(
        f"/apps/{app}/buildpack-installations", json={"updates": [{"buildpack": one} for one in buildpacks]}
    )


def test_a_list_is_kept_in_order_and_replaced(client: httpx.Client, app: str) -> None:
    url = f"/apps/{app}/buildpack-installations"
    assert client.get(url).json() == []
    shown = put(client, app, "https://example.com/x.git", "urn:buildpack:heroku/python", HEROKUS).json()
    assert shown == [
        {"buildpack": {"name": "https://example.com/x.git", "url": "https://example.com/x.git"}, "ordinal": 0},
        {"buildpack": {"name": "heroku/python", "url": "urn:buildpack:heroku/python"}, "ordinal": 1},
        {"buildpack": {"name": "heroku/nodejs", "url": "urn:buildpack:heroku/nodejs"}, "ordinal": 2},
    ]
    assert client.get(url).json() == shown
    put(client, app, "heroku/python").raise_for_status()
    assert [one["buildpack"]["name"] for one in client.get(url).json()] == ["heroku/python"]
    assert put(client, app).json() == client.get(url).json() == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("https://github.com/heroku/heroku-buildpack-ruby", "heroku/ruby"),
        ("https://github.com/heroku/heroku-buildpack-ruby.git#v300", None),
        ("https://github.com/heroku/heroku-buildpack-apt", None),
        ("heroku-community/apt", "heroku-community/apt"),
    ],
)
def test_herokus_are_ours_where_we_have_them(client: httpx.Client, app: str, given: str, name: str | None) -> None:
    (shown,) = put(client, app, given).json()
    assert shown["buildpack"]["name"] == (name or given)


@pytest.mark.parametrize(
    ("buildpacks", "message"),
    [
        (["python"], "'python' is not a buildpack: use a name like heroku/python, or the https URL of its repository"),
        (["https://x y"], "'https://x y' is not a buildpack"),
        (["heroku/python", HEROKUS.replace("nodejs", "python")], "The buildpack heroku/python is listed twice"),
        ([f"me/b{number}" for number in range(21)], "An app can have 20 buildpacks, these would be 21"),
    ],
)
def test_a_wrong_list_is_refused_and_changes_nothing(
    client: httpx.Client, app: str, buildpacks: list[str], message: str
) -> None:
    put(client, app, "heroku/ruby").raise_for_status()
    answer = put(client, app, *buildpacks)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (422, message)
    (kept,) = client.get(f"/apps/{app}/buildpack-installations").json()
    assert kept["buildpack"]["name"] == "heroku/ruby"


def test_the_cli_finds_a_name_in_the_registry_without_a_token(nobody: httpx.Client) -> None:
    found = nobody.get("/buildpacks/heroku%2Fpython").json()
    assert (found["namespace"], found["name"], found["blob_url"]) == ("heroku", "python", "urn:buildpack:heroku/python")
    names = {one["name"] for one in nobody.get("/buildpacks").json()}
    assert names == {"ruby", "nodejs", "clojure", "python", "java", "gradle", "scala", "php", "go", "static"}
    answer = nobody.get("/buildpacks/heroku%2Fcobol")
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that buildpack.")
