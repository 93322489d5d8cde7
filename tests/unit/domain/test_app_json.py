import json
from typing import Any

import pytest

from dynoform.domain.app_json import MOST_PROBLEMS, problems

GOOD: dict[str, Any] = {
    "name": "Small Sharp Tool",
    "description": "This app does one little thing, and does it well.",
    "keywords": ["productivity", "HTML5"],
    "website": "https://example.com/",
    "repository": "https://github.com/example/tool",
    "logo": "https://example.com/logo.svg",
    "success_url": "/welcome",
    "scripts": {"postdeploy": "bundle exec rake bootstrap", "pr-predestroy": {"command": "true", "size": "eco"}},
    "env": {
        "SECRET_TOKEN": {"description": "A secret key", "generator": "secret"},
        "WEB_CONCURRENCY": {"description": "Processes", "value": "5", "required": False},
        "RAILS_ENV": "production",
    },
    "formation": {"web": {"quantity": 1, "size": "standard-1x"}, "worker": {"quantity": 0}},
    "addons": ["openredis", {"plan": "heroku-postgresql", "as": "MAIN", "options": {"version": "17"}}],
    "buildpacks": [{"url": "heroku/nodejs"}],
    "environments": {"test": {"scripts": {"test": "npm test"}, "env": {"A": "b"}}},
    "stack": "dynoform-13",
}


def test_herokus_example_is_good() -> None:
    assert problems(json.dumps(GOOD)) == []
    assert problems("{}") == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "a" * 31}, "name: must be text of 1 to 30 characters"),
        ({"keywords": "one"}, "keywords: must be a list"),
        ({"keywords": ["one", 2]}, "keywords[1]: must be text"),
        ({"env": {"A": 1}}, "env.A: must be an object"),
        ({"env": {"A": {"generator": "random"}}}, 'env.A.generator: must be "secret"'),
        ({"env": {"A": {"required": "no"}}}, "env.A.required: must be true or false"),
        (
            {"env": {"A B": "x"}},
            "env.A B: Config var name 'A B' is invalid: use letters, digits and underscores, no digit first",
        ),
        (
            {"env": {"A": {"generater": "secret"}}},
            "env.A.generater: is not known: use description, generator, required, value",
        ),
        ({"formation": {"web": {"quantity": -1}}}, "formation.web.quantity: must be a whole number, 0 or more"),
        ({"formation": {"web": {"quantity": True}}}, "formation.web.quantity: must be a whole number, 0 or more"),
        ({"addons": [{"as": "DB"}]}, "addons[0].plan: is missing"),
        ({"buildpacks": ["heroku/nodejs"]}, "buildpacks[0]: must be an object"),
        ({"buildpacks": [{"url": "nodejs"}]}, "buildpacks[0].url: 'nodejs' is not a buildpack: use a name like"),
        ({"success_url": "javascript:x"}, "success_url: must be a path, or an http or https address"),
        ({"scripts": {"postdeploy": " "}}, "scripts.postdeploy: Command can't be blank."),
        ({"scripts": {"postdeploy": {"size": "eco"}}}, "scripts.postdeploy.command: is missing"),
        ({"environments": {"review": {"name": "x"}}}, "environments.review.name: is not known: use addons, buildpacks"),
        ({"stack": "cedar-14"}, "stack: Couldn't find that stack (cedar-14). Available stacks are: "),
        ({"formation": {"web": {"size": "huge"}}}, "formation.web.size: Couldn't find that dyno size (huge). "),
        ({"formation": {"a b": {}}}, "formation.a b: process type 'a b': may only have letters"),
        ({"\x1b[2J": 1}, "'\\x1b[2J': is not known: use addons"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(change: dict[str, Any], problem: str) -> None:
    (found,) = problems(json.dumps(GOOD | change))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "is not JSON (Expecting property name"), ("[" * 100_000, "is not JSON ("), ("[]", "must be an object")],
)
def test_what_is_no_app_json_is_told(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_a_file_that_is_all_wrong_is_told_in_few_words() -> None:
    assert len(problems(json.dumps({f"key{number}": 1 for number in range(100_000)}))) == MOST_PROBLEMS
