"""The form in which two values are compared: empty is absent, order in sets and spelling do not count. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .properties import Kind, Property
from .unknown import UNKNOWN


def canonical(schema: Property, value: Any) -> Any:
    """``value`` in its comparable form; None where it is absent or empty (``""``, 0, false, ``[]``, ``{}``)."""
    if value is None or value is UNKNOWN:
        return value
    if schema.kind is Kind.OBJECT:
        return _object(schema, value)
    if schema.kind is Kind.MAP:
        return {str(name): inner for name, inner in value.items() if not _hidden(name)} or None
    if schema.kind in (Kind.LIST, Kind.SET):
        items = canonical_items(schema, value)
        return sorted(items, key=_order) if schema.kind is Kind.SET and items else items or None
    if schema.canonical is not None and value != "":
        value = schema.canonical(value)
    return value or None


def canonical_items(schema: Property, value: Any) -> list[Any]:
    """The items of a list or set in comparable form and in the order given; an empty text stays a text."""
    if schema.item is None or value is None:
        return []
    return ["" if inner == "" else canonical(schema.item, inner) for inner in value]


def given(schema: Property, value: Any) -> bool:
    """Whether a program says anything with ``value``: an empty list, set, map or block says as little as none."""
    if value is None:
        return False
    return value is UNKNOWN or schema.kind in (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN) or bool(value)


def inputs_of(schema: Property) -> Iterator[tuple[str, Property]]:
    """Names and properties of an object that a program may set."""
    return ((name, inner) for name, inner in schema.fields.items() if not inner.output)


def _object(schema: Property, value: Mapping[str, Any]) -> dict[str, Any] | None:
    found = {name: canonical(inner, value.get(name)) for name, inner in inputs_of(schema)}
    return {name: inner for name, inner in found.items() if inner is not None} or None


def _hidden(name: str) -> bool:
    return str(name).startswith("__")


def _order(item: Any) -> str:
    return json.dumps(item, sort_keys=True, default=repr)
