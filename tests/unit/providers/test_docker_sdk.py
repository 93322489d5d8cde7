"""The plugin knows every property of the SDK that programs use, by name and type, and none besides."""

import json
import re
from typing import Any

import pulumi_docker
import pytest
from pulumi_docker import _inputs

from providers.docker.__main__ import RESOURCES
from providers.docker.properties import Kind, Property
from providers.docker.resource import Resource
from providers.docker.schema_document import schema_document

TYPES = {"str": Kind.STRING, "int": Kind.INTEGER, "bool": Kind.BOOLEAN}


def _sdk_properties(kind: type) -> dict[str, str]:
    """Name on the wire → type in the SDK's source, of an input type."""
    found = {}
    for name, hint in kind.__init__.__annotations__.items():
        if name in ("return", "__self__", "resource_name", "opts"):
            continue
        camel = re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name.rstrip("_"))
        found[camel] = str(hint)
    return found


def _assert_same(schema: Property, kind: type, path: str) -> None:
    found = _sdk_properties(kind)
    mine = {name for name, inner in schema.fields.items() if not inner.output}
    assert mine == set(found), path
    for name, hint in found.items():
        inner = schema.fields[name]
        if inner.refused is None:
            _assert_type(inner, hint, f"{path}.{name}")


def _assert_type(schema: Property, hint: str, path: str) -> None:
    nested = re.search(r"(\w+Args)\b", hint)
    listed, mapped = "Sequence" in hint, "Mapping" in hint
    assert listed == (schema.kind in (Kind.LIST, Kind.SET)), path
    if nested:
        item = schema.item if listed else schema
        assert item is not None
        assert item.kind is Kind.OBJECT, path
        _assert_same(item, getattr(_inputs, nested[1]), path)
    elif mapped:
        assert schema.kind is Kind.MAP, path
    else:
        simple = next(kind for name, kind in TYPES.items() if re.search(rf"\b{name}\b", hint))
        item = schema.item if listed else schema
        assert item is not None
        assert item.kind is simple, path


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.token)
def test_properties_are_those_of_the_sdk(resource: Resource) -> None:
    name = resource.token.rsplit(":", 1)[-1]
    _assert_same(resource.schema, getattr(pulumi_docker, f"{name}Args"), name)


def test_schema_document_names_the_types_and_resolves_its_references() -> None:
    document: dict[str, Any] = json.loads(schema_document(RESOURCES, "5.2.0"))
    assert set(document["resources"]) == {resource.token for resource in RESOURCES}
    references = set(re.findall(r'"#/types/([^"]+)"', json.dumps(document)))
    assert references == set(document["types"])
    assert document["resources"]["docker:index/secret:Secret"]["requiredInputs"] == ["data"]
    assert document["resources"]["docker:index/secret:Secret"]["properties"]["data"]["secret"] is True
