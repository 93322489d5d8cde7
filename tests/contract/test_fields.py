"""Objects have the fields of Heroku's own schema, as its typings on npm have them."""

import re

import pytest

from tests import heroku_cli
from tests.contract.document import recorded

SECTION = re.compile(r"https://devcenter\.heroku\.com/articles/platform-api-reference#([a-z-]+)\.?")
"""What the description of an object is that is one of Heroku's resources."""
INTERFACE = re.compile(r"^export interface (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  '?([\w-]+)'?\??: (\w*)", re.MULTILINE)
RENAMED = {"buildpack-installations": "buildpack-installation"}
UNKNOWN = {"app-webhook", "build-result", "errors", "telemetry-drain"}
"""Sections of the reference that the typings say nothing of."""
OBJECTS = {
    match[1]: set(schema["properties"])
    for schema in recorded()["components"]["schemas"].values()
    if (match := SECTION.match(schema.get("description", ""))) and "Object" in schema["title"]
}


@pytest.fixture(scope="module")
def typings() -> dict[str, set[str]]:
    """Resource → its fields. The CLI brings the typings in several versions; the newest says `HerokuPlatformAPI`."""
    modules = heroku_cli.bring().heroku.parents[1]
    texts = [path.read_text() for path in modules.glob("**/@heroku-cli/schema/lib/index.d.ts")]
    text = next(text for text in texts if "export interface HerokuPlatformAPI " in text)
    interfaces = {name: dict(FIELD.findall(body)) for name, body in INTERFACE.findall(text)}
    resources = interfaces["HerokuPlatformAPI"]
    return {resource: set(interfaces[name]) for resource, name in resources.items() if name in interfaces}


@pytest.mark.parametrize("section", sorted(OBJECTS.keys() - UNKNOWN))
def test_an_object_has_every_field_of_herokus_schema(typings: dict[str, set[str]], section: str) -> None:
    missing = typings[RENAMED.get(section, section)] - OBJECTS[section]
    assert not missing, f"{section} lacks {', '.join(sorted(missing))}"


def test_most_resources_are_compared() -> None:
    assert len(OBJECTS) >= 40
    assert {"app", "build", "release", "formation", "add-on", "log-drain", "oauth-token", "team"} <= OBJECTS.keys()
