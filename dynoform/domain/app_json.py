"""What an app.json may say: each thing that is wrong with one, by its path and with the reason.

https://devcenter.heroku.com/articles/app-json-schema
"""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dynoform.domain import app_names, config_vars, dyno_sizes, process_types, stacks
from dynoform.errors import InvalidInputError

FILE = "app.json"
MOST_PROBLEMS = 20
_SHOWN = 60
Check = Callable[[str, Any], Iterator[str]]
"""What is wrong with a value at a path."""


def problems(text: str) -> list[str]:
    """``path: reason`` of the first ``MOST_PROBLEMS`` things that are wrong; none for a good file."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [f"is not JSON ({error})"]
    return list(islice(_APP("", found), MOST_PROBLEMS))


def _text(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path}: must be text"


def _flag(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{path}: must be true or false"


def _count(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        yield f"{path}: must be a whole number, 0 or more"


def _generator(path: str, value: Any) -> Iterator[str]:
    if value != "secret":
        yield f'{path}: must be "secret"'


def _app_name(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not 1 <= len(value) <= app_names.MAXIMUM_LENGTH:
        yield f"{path}: must be text of 1 to {app_names.MAXIMUM_LENGTH} characters"


def _rule(check: Callable[[str], object]) -> Check:
    """Text that one of the platform's own rules takes."""

    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, str):
            yield from _text(path, value)
            return
        try:
            check(value)
        except InvalidInputError as error:
            yield f"{path}: {error}"

    return found


def _either(one: Check, other: Check) -> Check:
    """Text as ``one``, anything else as ``other``."""
    return lambda path, value: one(path, value) if isinstance(value, str) else other(path, value)


def _list(item: Check) -> Check:
    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path}: must be a list"
            return
        for number, each in enumerate(value):
            yield from item(f"{path}[{number}]", each)

    return found


def _map(item: Check, name: Callable[[str], object] = str) -> Check:
    """An object with names of the user's own, which ``name`` refuses by raising ``InvalidInputError``."""

    def found(path: str, value: Any) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path}: must be an object"
            return
        for key, each in value.items():
            yield from _rule(name)(_below(path, key), key)
            yield from item(_below(path, key), each)

    return found


def _object(fields: dict[str, Check], required: tuple[str, ...] = ()) -> Check:
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


def _variable(name: str) -> None:
    config_vars.merge({}, {name: ""})


_VARIABLE = _object({"description": _text, "generator": _generator, "required": _flag, "value": _text})
_ADDON = _object({"as": _text, "options": _map(_text), "plan": _text}, required=("plan",))
_PROCESSES = _object({"quantity": _count, "size": _rule(dyno_sizes.find)})
_SCRIPT = _object({"command": _text, "size": _rule(dyno_sizes.find)}, required=("command",))
_COMMON: dict[str, Check] = {
    "addons": _list(_either(_text, _ADDON)),
    "buildpacks": _list(_object({"url": _text}, required=("url",))),
    "env": _map(_either(_text, _VARIABLE), _variable),
    "formation": _map(_PROCESSES, process_types.check_name),
    "scripts": _map(_either(_text, _SCRIPT)),
    "stack": _rule(stacks.check),
}
_APP = _object(
    {
        **_COMMON,
        **dict.fromkeys(("description", "image", "logo", "repository", "success_url", "website"), _text),
        "environments": _map(_object(_COMMON)),
        "keywords": _list(_text),
        "name": _app_name,
    }
)
