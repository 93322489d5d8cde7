"""The properties that the state shows: every one of the schema, unset where nothing is known. Pure."""

from collections.abc import Mapping
from typing import Any

from .canonical import canonical, given, inputs_of
from .properties import Kind, Property
from .unknown import UNKNOWN


def shaped(schema: Property, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with every property of the schema: unset lists of objects are ``[]``, all else unset is None."""
    return {name: _shaped(inner, values.get(name)) for name, inner in schema.fields.items() if inner.refused is None}


def previewed(schema: Property, values: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs of a create that is only previewed: inputs echoed, what the engine will decide unknown."""
    shown = shaped(schema, values)
    for name, inner in schema.fields.items():
        value = values.get(name)
        if inner.output or (inner.computed and not given(inner, value)):
            shown[name] = UNKNOWN
        elif inner.kind is Kind.OBJECT and isinstance(value, Mapping):
            shown[name] = previewed(inner, value)
        elif inner.holds_objects and isinstance(value, list) and inner.item is not None:
            shown[name] = [previewed(inner.item, item) if isinstance(item, Mapping) else item for item in value]
    return shown


def refreshed(schema: Property, inputs: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """The program's inputs as they would have to be to give ``state``; in their own form where they still do."""
    fresh: dict[str, Any] = {name: value for name, value in inputs.items() if name.startswith("__")}
    for name, inner in inputs_of(schema):
        old, now = inputs.get(name), state.get(name)
        if old is None:
            continue
        if canonical(inner, old) == canonical(inner, now):
            fresh[name] = old
        elif inner.kind is Kind.OBJECT and isinstance(old, Mapping) and isinstance(now, Mapping):
            fresh[name] = refreshed(inner, old, now)
        elif now is not None:
            fresh[name] = now
    return fresh


def imported(schema: Property, state: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs that describe ``state``: all that is not empty and not what Check fills in."""
    found: dict[str, Any] = {}
    for name, inner in inputs_of(schema):
        value = _imported(inner, state.get(name))
        if value is None or (value == inner.default and not inner.required):
            continue
        found[name] = value
    return found


def _imported(schema: Property, value: Any) -> Any:
    if canonical(schema, value) is None:
        return None
    if schema.kind is Kind.OBJECT:
        return imported(schema, value) or None
    if schema.holds_objects and schema.item is not None:
        return [imported(schema.item, item) for item in value]
    return value


def _shaped(schema: Property, value: Any) -> Any:
    if value is None:
        return [] if schema.holds_objects else None
    if value is UNKNOWN:
        return value
    if schema.kind is Kind.OBJECT:
        return shaped(schema, value)
    if schema.holds_objects and schema.item is not None:
        item = schema.item
        return [shaped(item, inner) if isinstance(inner, Mapping) else inner for inner in value]
    return value
