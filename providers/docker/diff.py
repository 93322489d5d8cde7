"""Diff: what differs between a state and a program's checked inputs, and what of it needs a new resource. Pure.

A property that is absent in the program and computed stays as it is; any other absent one is to be emptied.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .canonical import canonical, canonical_items, given, inputs_of
from .properties import Kind, Property
from .unknown import UNKNOWN

ADD, DELETE, UPDATE = "add", "delete", "update"


@dataclass
class Difference:
    """Paths that differ (``taskSpec.containerSpec.env.A``) → add, delete or update; and those of them that replace."""

    changes: dict[str, str] = field(default_factory=dict)
    replaces: set[str] = field(default_factory=set)

    def note(self, path: str, kind: str, *, replaces: bool) -> None:
        """Adds one; an item that goes where another comes is an update."""
        self.changes[path] = UPDATE if self.changes.get(path, kind) != kind else kind
        if replaces:
            self.replaces.add(path)

    def without(self, ignored: Sequence[str]) -> "Difference":
        """The same without what lies at or below an ignored path."""
        kept = {path for path in self.changes if not any(_covers(pattern, path) for pattern in ignored)}
        return Difference({path: self.changes[path] for path in kept}, self.replaces & kept)


def difference(schema: Property, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """Compares the state ``old`` with the inputs ``new``."""
    found = Difference()
    _object(schema, old, new, "", found, replaces=False)
    return found


def planned(schema: Property, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``new`` with what it leaves to the engine taken from the state ``old``."""
    plan = {name: value for name, value in new.items() if name in schema.fields}
    for name, inner in schema.fields.items():
        before, after = old.get(name), new.get(name)
        if inner.output or (inner.computed and not given(inner, after)):
            if before is not None:
                plan[name] = before
        elif inner.kind is Kind.OBJECT and isinstance(after, Mapping) and isinstance(before, Mapping):
            plan[name] = planned(inner, before, after)
    return plan


def top_level(path: str) -> str:
    """The resource's own property in which ``path`` lies."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _property(schema: Property, old: Any, new: Any, path: str, found: Difference, *, replaces: bool) -> None:
    replaces = replaces or schema.replaces
    if schema.computed and not given(schema, new):
        return
    if new is UNKNOWN:
        found.note(path, ADD if canonical(schema, old) is None else UPDATE, replaces=replaces)
    elif schema.kind is Kind.OBJECT:
        _object(schema, old or {}, new or {}, path, found, replaces=replaces)
    elif schema.kind is Kind.MAP:
        _map(old or {}, new or {}, path, found, replaces=replaces)
    elif schema.kind is Kind.SET:
        _set(schema, old or [], new or [], path, found, replaces=replaces)
    elif schema.kind is Kind.LIST:
        _list(schema, old or [], new or [], path, found, replaces=replaces)
    else:
        _scalar(schema, old, new, path, found, replaces=replaces)


def _object(
    schema: Property, old: Mapping[str, Any], new: Mapping[str, Any], path: str, found: Difference, *, replaces: bool
) -> None:
    for name, inner in inputs_of(schema):
        at = f"{path}.{name}" if path else name
        _property(inner, old.get(name), new.get(name), at, found, replaces=replaces)


def _scalar(schema: Property, old: Any, new: Any, path: str, found: Difference, *, replaces: bool) -> None:
    before, after = canonical(schema, old), canonical(schema, new)
    if before != after:
        found.note(path, _kind(old if before is None else before, new), replaces=replaces)


def _kind(before: Any, after: Any) -> str:
    if before is None or before == "":
        return ADD
    return DELETE if after is None else UPDATE


def _map(old: Mapping[str, Any], new: Mapping[str, Any], path: str, found: Difference, *, replaces: bool) -> None:
    for name in sorted({*old, *new}):
        if name.startswith("__") or (name in old and name in new and old[name] == new[name]):
            continue
        at = f"{path}.{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f'{path}["{name}"]'
        found.note(at, ADD if name not in old else DELETE if name not in new else UPDATE, replaces=replaces)


def _list(
    schema: Property, old: Sequence[Any], new: Sequence[Any], path: str, found: Difference, *, replaces: bool
) -> None:
    item = schema.item or Property(Kind.STRING)
    for index in range(max(len(old), len(new))):
        at = f"{path}[{index}]"
        if index >= len(new):
            found.note(at, DELETE, replaces=replaces)
        elif index >= len(old):
            found.note(at, ADD, replaces=replaces)
        else:
            _property(item, old[index], new[index], at, found, replaces=replaces)


def _set(
    schema: Property, old: Sequence[Any], new: Sequence[Any], path: str, found: Difference, *, replaces: bool
) -> None:
    item = schema.item or Property(Kind.STRING)
    before, after = canonical_items(schema, old), canonical_items(schema, new)
    for index, element in enumerate(after):
        if element not in before:
            found.note(f"{path}[{index}]", ADD, replaces=replaces or _replaces_within(item, element))
    for index, element in enumerate(before):
        if element not in after:
            found.note(f"{path}[{index}]", DELETE, replaces=replaces or _replaces_within(item, element))


def _replaces_within(schema: Property, element: Any) -> bool:
    """Whether the element of a set says something that cannot be changed in place."""
    if element is None or not isinstance(element, Mapping):
        return False
    return any(
        name in element and (inner.replaces or _replaces_within(inner, element[name]))
        for name, inner in schema.fields.items()
    )


def _covers(pattern: str, path: str) -> bool:
    steps, inside = _steps(pattern), _steps(path)
    if len(steps) > len(inside):
        return False
    return all(step in ("*", other) for step, other in zip(steps, inside, strict=False))


def _steps(path: str) -> list[str]:
    found = re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]|([^.\[\]]+)', path)
    return [quoted or number or name for quoted, number, name in found]
