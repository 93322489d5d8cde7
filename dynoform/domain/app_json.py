"""What an app.json may say: each thing that is wrong with one, by its path and with the reason.

https://devcenter.heroku.com/articles/app-json-schema
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from dynoform.domain import app_names, buildpacks, config_vars, dyno_sizes, one_off, process_types, stacks
from dynoform.domain.shapes import Check, count, either, flag, items, mapping, record, rule, text

FILE = "app.json"
MOST_PROBLEMS = 20
_ADDRESS = re.compile(r"(?:https?://[^/\\\s]\S*|(?!//)[^:\\\s]*)")


def problems(content: str) -> list[str]:
    """``path: reason`` of the first ``MOST_PROBLEMS`` things that are wrong; none for a good file."""
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        return [f"is not JSON ({error})"]
    return list(islice(_APP("", found), MOST_PROBLEMS))


def _generator(path: str, value: Any) -> Iterator[str]:
    if value != "secret":
        yield f'{path}: must be "secret"'


def _app_name(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not 1 <= len(value) <= app_names.MAXIMUM_LENGTH:
        yield f"{path}: must be text of 1 to {app_names.MAXIMUM_LENGTH} characters"


def _address(path: str, value: Any) -> Iterator[str]:
    """Where browsers are sent: nothing that would run in one."""
    if not isinstance(value, str) or not value.isprintable() or not _ADDRESS.fullmatch(value):
        yield f"{path}: must be a path, or an http or https address"


def _variable(name: str) -> None:
    config_vars.merge({}, {name: ""})


_VARIABLE = record({"description": text, "generator": _generator, "required": flag, "value": text})
_ADDON = record({"as": text, "options": mapping(text), "plan": text}, required=("plan",))
_PROCESSES = record({"quantity": count, "size": rule(dyno_sizes.find)})
_COMMAND = rule(one_off.check_command)
_SCRIPT = record({"command": _COMMAND, "size": rule(dyno_sizes.find)}, required=("command",))
_COMMON: dict[str, Check] = {
    "addons": items(either(text, _ADDON)),
    "buildpacks": items(record({"url": rule(buildpacks.parse)}, required=("url",))),
    "env": mapping(either(text, _VARIABLE), _variable),
    "formation": mapping(_PROCESSES, process_types.check_name),
    "scripts": mapping(either(_COMMAND, _SCRIPT)),
    "stack": rule(stacks.check),
}
_APP = record(
    {
        **_COMMON,
        **dict.fromkeys(("description", "image", "logo", "repository", "website"), text),
        "environments": mapping(record(_COMMON)),
        "keywords": items(text),
        "name": _app_name,
        "success_url": _address,
    }
)
