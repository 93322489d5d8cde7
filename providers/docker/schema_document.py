"""The schema that Pulumi asks plugins for, made from the resource types' own. Pure.

Form: https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/
"""

import json
from collections.abc import Iterable
from typing import Any

from .properties import Kind, Property
from .resource import Resource

SIMPLE = {Kind.STRING: "string", Kind.INTEGER: "integer", Kind.BOOLEAN: "boolean"}


def schema_document(resources: Iterable[Resource], version: str) -> str:
    """JSON text of the package's schema: the types that are served, with their inputs and outputs."""
    types: dict[str, Any] = {}
    described = {resource.token: _resource(resource, types) for resource in resources}
    document = {"name": "docker", "version": version, "resources": described, "types": types}
    return json.dumps(document)


def _resource(resource: Resource, types: dict[str, Any]) -> dict[str, Any]:
    module, kind = resource.token.rsplit(":", 1)
    prefix = module.split("/")[0] + "/" + kind
    fields = {name: each for name, each in resource.schema.fields.items() if each.refused is None}
    inputs = {name: _type(each, prefix, name, types) for name, each in fields.items() if not each.output}
    outputs = {name: _type(each, prefix, name, types) for name, each in fields.items()}
    required = [name for name, each in fields.items() if each.required]
    return {
        "description": resource.__class__.__doc__,
        "inputProperties": inputs,
        "requiredInputs": required,
        "properties": outputs,
        "required": required,
    }


def _type(schema: Property, prefix: str, name: str, types: dict[str, Any]) -> dict[str, Any]:
    secret = {"secret": True} if schema.sensitive else {}
    if schema.kind is Kind.OBJECT:
        return {"$ref": f"#/types/{_object(schema, prefix, name, types)}"}
    if schema.item is not None:
        return {"type": "array", "items": _type(schema.item, prefix, name, types)}
    if schema.kind is Kind.MAP:
        return {"type": "object", "additionalProperties": {"type": "string"}}
    return {"type": SIMPLE[schema.kind], **secret}


def _object(schema: Property, prefix: str, name: str, types: dict[str, Any]) -> str:
    token = f"{prefix}{name[0].upper()}{name[1:]}"
    full = f"{token}:{token.rsplit('/', 1)[-1]}"
    fields = {each: inner for each, inner in schema.fields.items() if inner.refused is None}
    types[full] = {
        "type": "object",
        "properties": {each: _type(inner, token, each, types) for each, inner in fields.items()},
        "required": [each for each, inner in fields.items() if inner.required],
    }
    return full
