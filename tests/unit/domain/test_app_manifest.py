"""What app.json and heroku.yml make of an app, and what is wrong with them, by its path and with the reason."""

import json
from typing import Any
from uuid import UUID

import pytest

from dynoform.domain import app_manifest, app_setups
from dynoform.domain.app_manifest import Manifest, Script, Variable, Wish
from dynoform.domain.app_setups import ManifestError
from dynoform.errors import InvalidInputError

YML = """
setup:
  addons: [{plan: "heroku-postgresql", as: MAIN}, {plan: scheduler}]
  config: {BUCKET: pictures, DEPTH: 3}
build: {docker: {web: Dockerfile}}
"""


def read(content: dict[str, Any] | None, images: str | None = None, stack: str | None = None) -> Manifest:
    return app_manifest.read(None if content is None else json.dumps(content), images, stack)


def test_an_app_json_says_what_an_app_is_made_of() -> None:
    found = read(
        {
            "addons": ["scheduler", {"plan": "heroku-redis:mini", "as": "CACHE", "options": {"size": "1"}}],
            "buildpacks": [{"url": "heroku/nodejs"}, {"url": "https://example.com/b.git#v1"}],
            "env": {"A": "1", "B": {"value": "2"}, "C": {"generator": "secret"}, "D": {"required": False}},
            "formation": {"web": {"quantity": 2, "size": "standard-2x"}},
            "scripts": {"postdeploy": {"command": "npm run seed", "size": "standard-2x"}, "test": "npm test"},
            "success_url": "/welcome",
        }
    )
    assert found == Manifest(
        env={
            "A": Variable("1"),
            "B": Variable("2"),
            "C": Variable(None, generated=True),
            "D": Variable(None, required=False),
        },
        addons=[
            Wish("addons[0]", "scheduler", None, {}),
            Wish("addons[1]", "heroku-redis:mini", "CACHE", {"size": "1"}),
        ],
        buildpacks=["heroku/nodejs", "https://example.com/b.git#v1"],
        formation={"web": {"quantity": 2, "size": "standard-2x"}},
        postdeploy=Script("npm run seed", "Standard-2X"),
        stack="dynoform-13",
        success_url="/welcome",
    )
    assert read({"scripts": {"postdeploy": "true"}}).postdeploy == Script("true", "Standard-1X")


def test_heroku_yml_adds_its_setup_for_images() -> None:
    found = read({"env": {"BUCKET": "films"}, "addons": ["heroku-redis"]}, YML)
    assert found.stack == "container"
    assert {name: variable.value for name, variable in found.env.items()} == {"BUCKET": "films", "DEPTH": "3"}
    assert [(wish.path, wish.plan, wish.attachment) for wish in found.addons] == [
        ("heroku.yml: setup.addons[0]", "heroku-postgresql", "MAIN"),
        ("heroku.yml: setup.addons[1]", "scheduler", None),
        ("addons[0]", "heroku-redis", None),
    ]
    assert read(None, YML).stack == "container"


@pytest.mark.parametrize(
    ("content", "wanted", "stack"),
    [({"stack": "dynoform-13"}, None, "dynoform-13"), ({"stack": "container"}, "dynoform-13", "dynoform-13")],
)
def test_what_is_said_of_the_stack_counts_more_than_a_heroku_yml(
    content: dict[str, Any], wanted: str | None, stack: str
) -> None:
    found = read(content, YML, wanted)
    assert (found.stack, found.env, found.addons) == (stack, {}, [])


def test_a_source_that_says_nothing_cannot_be_set_up() -> None:
    with pytest.raises(InvalidInputError, match=r"^app\.json not found$"):
        read(None)


@pytest.mark.parametrize(
    ("content", "images", "problems"),
    [
        ({"env": []}, None, ["env: must be an object"]),
        (
            {"success_url": "javascript:alert(1)", "keywords": 1},
            None,
            ["success_url: must be a path, or an http or https address", "keywords: must be a list"],
        ),
        ({}, "build: {}", ["heroku.yml: build.docker: is missing"]),
        (None, "setup: {addons: [{}]}\nbuild: {docker: {web: a}}", ["heroku.yml: setup.addons[0].plan: is missing"]),
    ],
)
def test_all_that_is_wrong_is_told(content: dict[str, Any] | None, images: str | None, problems: list[str]) -> None:
    with pytest.raises(ManifestError) as caught:
        read(content, images)
    assert caught.value.problems == problems
    assert str(caught.value).startswith("app.json is invalid: ")


def test_what_the_user_gives_wins_and_secrets_are_made() -> None:
    env = {"A": Variable("1"), "B": Variable(None, generated=True), "C": Variable(None, required=False)}
    numbers = iter("xyz")
    assert app_manifest.config(env, {}, lambda: next(numbers)) == {"A": "1", "B": "x"}
    assert app_manifest.config(env, {"A": "2", "B": "3", "MORE": "4"}) == {"A": "2", "B": "3", "MORE": "4"}
    first, second = (app_manifest.config(env, {})["B"] for _ in range(2))
    assert len(first) == 64 and int(first, 16) and first != second


def test_what_is_missing_is_told_by_its_name() -> None:
    with pytest.raises(ManifestError) as caught:
        app_manifest.config({"A": Variable(), "B": Variable("1"), "C": Variable()}, {})
    missing = "is required: give it a value in overrides.env"
    assert caught.value.problems == [f"env.A: {missing}", f"env.C: {missing}"]


def test_too_many_config_vars_are_refused() -> None:
    with pytest.raises(ManifestError) as caught:
        app_manifest.config({"A": Variable("x" * 70_000)}, {})
    assert caught.value.problems[0].startswith("env: Config vars are limited to 65536 bytes in total")


@pytest.mark.parametrize(
    ("success_url", "address"),
    [
        ("", "https://shop.example.com/"),
        ("/welcome?a=b", "https://shop.example.com/welcome?a=b"),
        ("welcome", "https://shop.example.com/welcome"),
        ("https://other.example.com/x", "https://other.example.com/x"),
    ],
)
def test_where_to_go_then_is_a_path_of_the_app_or_an_address(success_url: str, address: str) -> None:
    if success_url:
        assert read({"success_url": success_url}).success_url == success_url
    assert app_setups.resolved(success_url, "https://shop.example.com/") == address


@pytest.mark.parametrize("success_url", ["//evil.example.com", "data:text/html,x", "https://", "a\\b", "a\nb", " "])
def test_nowhere_else(success_url: str) -> None:
    with pytest.raises(ManifestError, match="success_url: must be a path"):
        read({"success_url": success_url})


def test_the_dyno_of_a_setup_has_always_the_same_number() -> None:
    identifier = UUID("12345678-1234-5678-1234-567812345678")
    assert app_setups.dyno_number(identifier) == app_setups.dyno_number(identifier) in range(1000, 10_000)
