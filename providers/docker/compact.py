"""Small helpers to write and read the engine's specs. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from .formats import parse_duration, shortest_duration


def compact(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, an empty text or an empty list or object; 0 and false are said."""
    return {name: value for name, value in spec.items() if value is not None and value not in ("", [], {}, ())}


def nanoseconds(text: str | None) -> int | None:
    """Of a duration; None where it is not given."""
    return parse_duration(text) if text else None


def duration_text(value: int | None, unset: str = "0s") -> str:
    """What the state shows for nanoseconds; ``unset`` where the engine says nothing."""
    return unset if value is None else shortest_duration(value)


def assignments(items: Sequence[str] | None) -> dict[str, str]:
    """``["a=b"]`` → ``{"a": "b"}``."""
    pairs = (item.partition("=") for item in items or ())
    return {name: value for name, _, value in pairs}


def label_map(labels: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Labels of a program → the engine's."""
    return {label["label"]: label["value"] for label in labels or ()}


def label_set(labels: Mapping[str, str] | None) -> list[dict[str, str]]:
    """The engine's labels → those of the state, sorted by name."""
    return [{"label": name, "value": value} for name, value in sorted((labels or {}).items())]
