"""The smallest bodies that the API's routes accept, from its own OpenAPI document."""

from typing import Any

TELLING: dict[tuple[str, str], Any] = {
    ("POST", "/apps/{app}/releases"): {"slug": "00000000-0000-0000-0000-000000000000"},
    ("POST", "/apps/{app}/slugs"): {"process_types": {"web": "./serve"}},
    ("PATCH", "/apps/{app}"): {"maintenance": True},
    ("PATCH", "/apps/{app}/config-vars"): {"A": "1"},
}
"""Bodies for routes whose smallest one asks for nothing."""


def body(document: dict[str, Any], method: str, path: str) -> Any:
    """A body for this route, None when it takes none."""
    if (method, path) in TELLING:
        return TELLING[method, path]
    operation = document["paths"][path][method.lower()]
    if "requestBody" not in operation:
        return None
    return _sample(document, operation["requestBody"]["content"]["application/json"]["schema"])


def _sample(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _sample(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for choice in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if choice in schema:
            return _sample(document, schema[choice][0])
    if "enum" in schema or "const" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if schema.get("type") == "object":
        required = schema.get("required", ())
        return {name: _sample(document, schema["properties"][name]) for name in required}
    simple = {"string": "x" * max(1, schema.get("minLength", 1)), "integer": 1, "number": 1, "boolean": True}
    return simple.get(schema.get("type", "null"), [] if schema.get("type") == "array" else None)
