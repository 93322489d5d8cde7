import json

import pytest

from dynoform.domain import cloud_native
from dynoform.errors import InvalidInputError

SCHEMA = '[_]\nschema-version = "0.2"\n'
BUILDER = f'{SCHEMA}[io.buildpacks]\nbuilder = "heroku/builder:24"\n'


def group(uri: object, place: str = "") -> str:
    """A descriptor with one more buildpack."""
    return f"{BUILDER}[[io.buildpacks.{place}group]]\nuri = {json.dumps(uri)}\n"


def test_a_descriptor_names_its_builder() -> None:
    own = '[[io.buildpacks.group]]\nid = "heroku/python"\n[[io.buildpacks.build.env]]\nname = "A"\nvalue = "b"\n'
    assert cloud_native.builder(BUILDER + own).full == "heroku/builder:24"
    assert cloud_native.builder(group("urn:cnb:builder:a/c@1", "post.")).full == "heroku/builder:24"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "is not TOML ("),
        ('[project]\nid = "a"\n', '_.schema-version: must be "0.2"'),
        ("_ = 5", "_: must be a table"),
        (f"io = 5\n{SCHEMA}", "io: must be a table"),
        (SCHEMA, "io.buildpacks.builder: must be the name of an image"),
        (f"{SCHEMA}[io.buildpacks]\nbuilder = 5", "io.buildpacks.builder: must be the name of an image"),
        (f'{SCHEMA}[io.buildpacks]\nbuilder = "-v /:/host"', "io.buildpacks.builder: must be the name of an image"),
        (f"{BUILDER}group = 5", "io.buildpacks.group: must be a list of tables"),
        (f"{BUILDER}pre = 5", "io.buildpacks.pre: must be a table"),
        (group("http://169.254.169.254/a.tgz"), "io.buildpacks.group[0].uri: may only be urn:cnb:builder:"),
        (group("file:///run/secrets", "post."), "io.buildpacks.post.group[0].uri: may only be"),
        (group("../../etc", "pre."), "io.buildpacks.pre.group[0].uri: may only be"),
        (group(5), "io.buildpacks.group[0].uri: may only be"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(text: str, told: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        cloud_native.builder(text)
    assert str(error.value).startswith("project.toml: ") and told in str(error.value)


def test_an_image_says_what_its_processes_are() -> None:
    told = json.dumps(
        {"processes": [{"type": "web", "command": ["a"]}, {"type": "job", "command": "b", "direct": False}]}
    )
    found = cloud_native.processes({cloud_native.LABEL: told})
    assert found == {"web": "/cnb/process/web", "job": "/cnb/process/job"}


@pytest.mark.parametrize("told", [None, "", "5", "{}", '{"processes": []}', '{"processes": [5]}'])
def test_an_image_without_processes_is_refused(told: str | None) -> None:
    with pytest.raises(InvalidInputError, match="have declared no process type"):
        cloud_native.processes({} if told is None else {cloud_native.LABEL: told})


def test_a_process_type_is_named_as_any_other() -> None:
    with pytest.raises(InvalidInputError, match="may only have letters"):
        cloud_native.processes({cloud_native.LABEL: '{"processes": [{"type": "a; b"}]}'})
