"""Shapes of what users write down in JSON or YAML: what is wrong with a value, by its path and with the reason."""

from collections.abc import Callable, Iterator
from typing import Any

from dynoform.errors import InvalidInputError

_SHOWN = 60
Check = Callable[[str, Any], Iterator[str]]
"""What is wrong with a value at a path: ``path: reason`` of each thing."""


def text(path: str, value: Any) -> Iterator[str]:
    """Text."""
    if not isinstance(value, str):
        yield f"{path}: must be text"


def flag(path: str, value: Any) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield f"{path}: must be true or false"


def count(path: str, value: Any) -> Iterator[str]:
    """A whole number, 0 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        yield f"{path}: must be a whole number, 0 or more"


def rule(check: Callable[[str], object]) -> Check:
    """Text that one of the platform's own rules takes."""

    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, str):
            yield from text(path, value)
            return
        try:
            check(value)
        except InvalidInputError as error:
            yield f"{path}: {error}"

    return found


def either(one: Check, other: Check) -> Check:
    """Text as ``one``, anything else as ``other``."""
    return lambda path, value: one(path, value) if isinstance(value, str) else other(path, value)


def items(item: Check) -> Check:
    """A list whose elements are each like ``item``."""

    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path}: must be a list"
            return
        for number, each in enumerate(value):
            yield from item(f"{path}[{number}]", each)

    return found


def mapping(item: Check, name: Callable[[str], object] = str) -> Check:
    """An object with names of the user's own, which ``name`` refuses by raising ``InvalidInputError``."""

    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path}: must be an object"
            return
        for key, each in value.items():
            yield from rule(name)(_below(path, key), key)
            yield from item(_below(path, key), each)

    return found


def record(fields: dict[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object with these fields, of which some are ``required``, and no others."""

    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path}: must be an object" if path else "must be an object"
            return
        yield from (f"{_below(path, name)}: is missing" for name in required if name not in value)
        for key, each in value.items():
            if key in fields:
                yield from fields[key](_below(path, key), each)
            else:
                yield f"{_below(path, key)}: is not known: use {', '.join(sorted(fields))}"

    return found


def _below(path: str, key: str) -> str:
    shown = key if key.isprintable() else repr(key)
    return f"{path}.{shown[:_SHOWN]}" if path else shown[:_SHOWN]
