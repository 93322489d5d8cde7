"""Rules of one-off dynos (https://devcenter.heroku.com/articles/one-off-dynos)."""

import re
from collections.abc import Collection, Mapping

from dynoform.domain import config_vars
from dynoform.errors import InvalidInputError

RUN = "run"
LONGEST_SECONDS = 24 * 3600
"""Dynos are cycled once a day; a one-off dyno then ends."""
MOST = 50
"""One-off dynos of one app at a time (https://devcenter.heroku.com/articles/limits)."""
MAXIMUM_COMMAND = 16 * 1024
MAXIMUM_VARIABLES = 100
NUMBERS = range(1000, 10_000)
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_FIRST_WORD = re.compile(r"([A-Za-z0-9_-]+)(?=$|\s)")


def check_command(command: str) -> str:
    """The command itself. Raises ``InvalidInputError`` for none, and for one that no process can be given."""
    if not command.strip():
        raise InvalidInputError("Command can't be blank.")
    if len(command) > MAXIMUM_COMMAND or _UNUSABLE.search(command):
        raise InvalidInputError(f"Command must be text of up to {MAXIMUM_COMMAND} characters, without NUL.")
    return command


def check_environment(variables: Mapping[str, str | int]) -> dict[str, str]:
    """The variables of one run, as text (clients send a terminal's size as numbers).

    Raises ``InvalidInputError`` by the rules of config vars.
    """
    if len(variables) > MAXIMUM_VARIABLES:
        raise InvalidInputError(f"A dyno can be given up to {MAXIMUM_VARIABLES} variables in env.")
    return config_vars.merge({}, {name: str(value) for name, value in variables.items()}).config


def check_concurrency(present: int, size: str) -> None:
    """Raises ``InvalidInputError`` when an app has its most one-off dynos."""
    if present >= MOST:
        raise InvalidInputError(f"Cannot run more than {MOST} {size} size dynos.")


def expand(command: str, types: Mapping[str, str]) -> str:
    """The command to run: a first word that is a process type stands for that type's command, as on Heroku."""
    match = _FIRST_WORD.match(command)
    declared = types.get(match[1]) if match else None
    return command if match is None or declared is None else declared + command[match.end() :]


def terminal(variables: Mapping[str, str]) -> tuple[int, int] | None:
    """(rows, columns) of the client's terminal; None when it has none or they make no sense."""
    try:
        rows, columns = int(variables["LINES"]), int(variables["COLUMNS"])
    except (KeyError, ValueError):
        return None
    return (rows, columns) if 0 < rows < 10_000 and 0 < columns < 10_000 else None


def free_number(taken: Collection[int], choice: int) -> int:
    """A number that no dyno of that type has; ``choice`` (any integer) decides which of the free ones."""
    free = [number for number in NUMBERS if number not in taken]
    return free[choice % len(free)]


def no_code(app: str) -> InvalidInputError:
    """The error for an app that has nothing to run."""
    return InvalidInputError(f"App {app} has no code to run yet. Deploy it first: git push heroku main")
