"""Process types and the Procfile (https://devcenter.heroku.com/articles/procfile)."""

import re

from dynoform.errors import InvalidInputError

WEB = "web"
RELEASE = "release"
MAXIMUM_LENGTH = 30
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LINE = re.compile(r"([^:\s]*)\s*:\s*(.*)")


def parse_procfile(text: str) -> dict[str, str]:
    """Process type → command, in the file's order. Empty lines and those that start with ``#`` are skipped.

    Raises ``InvalidInputError`` naming the line, what is wrong with it and how a right one looks.
    """
    types: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, command = _parse_line(number, stripped)
        if name in types:
            raise _wrong(number, f"declares {name} a second time", "remove one of them")
        types[name] = command
    return types


def check_name(name: str) -> str:
    """The name itself, or ``InvalidInputError`` when it cannot be a process type."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"process type {name!r}", "may only have letters, digits, dashes and underscores", "rename it"
        )
    if len(name) > MAXIMUM_LENGTH:
        raise InvalidInputError(
            f"process type {name[:40]!r}", f"is longer than {MAXIMUM_LENGTH} characters", "shorten it"
        )
    return name


def _parse_line(number: int, line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _wrong(number, f"{line[:60]!r} is not 'type: command'", "write for instance 'web: python app.py'")
    name, command = match.groups()
    try:
        check_name(name)
    except InvalidInputError as error:
        raise _wrong(number, f"{error.what} {error.why}", error.next_step) from None
    if not command or "\0" in command:
        raise _wrong(number, f"{name} has no command", f"write for instance '{name}: python app.py'")
    return name, command


def _wrong(number: int, why: str, next_step: str) -> InvalidInputError:
    return InvalidInputError(f"Procfile line {number}", why, next_step)
