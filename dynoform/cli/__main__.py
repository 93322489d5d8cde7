"""``python -m dynoform.cli COMMAND``: finds the command's module, runs it, turns errors into one line each."""

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence

from dynoform.cli.context import Context
from dynoform.errors import DynoformError

COMMANDS = {
    "up": "make the declared platform real; again: change what differs",
    "down": "remove the platform; data stays unless --purge",
    "status": "what runs, where, with how much memory",
    "backup": "all that a stack is made of again, in one encrypted file",
    "restore": "a stack again from such a file, on an empty host",
    "doctor": "what is wrong, and the command that mends it",
    "patch": "Debian's security updates for all apps, without a rebuild",
    "env": "shell variables that point heroku, pulumi and curl at a stack",
    "test": "bring what the tests need and run them",
    "bench": "measure, and write docs/reference/benchmarks.md",
    "completion": "completion for the shell: bash, zsh or fish",
}
VARIABLES = """variables:
  DYNOFORM_HOME      where state, passphrase and logs are kept (~/.local/share/dynoform)
  DYNOFORM_CACHE     where fetched tools are kept; may go at any time (~/.cache/dynoform)
  DYNOFORM_OFFICIAL  never: leave Pulumi's own downloads out, use what registries have
  DYNOFORM_PYTHON    the Python, 3.11 or newer, that the virtualenv is made with"""
FAILED, USAGE, INTERRUPTED = 1, 2, 130


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line's grammar; `only` leaves the other commands' options out, which saves importing them."""
    top = argparse.ArgumentParser(
        prog="bin/dynoform",
        description="Your own Heroku on your own hosts.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--verbose", action="store_true", help="show tracebacks of unexpected errors")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        if only is None or only == name:
            importlib.import_module(f"dynoform.cli.commands.{name}").add_options(one)
    return top


def main(words: Sequence[str]) -> int:
    """Runs one command. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; `test` has pytest's."""
    named = next((word for word in words if word in COMMANDS), None)
    options, rest = parser(named).parse_known_args(words)
    if rest and options.command != "test":
        parser(named).error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    context = Context.of_process()
    command = importlib.import_module(f"dynoform.cli.commands.{options.command}")
    try:
        code: int = command.run(options, context)
    except DynoformError as error:
        for line in getattr(error, "lines", []):
            context.console.line(f"✗ {line}", "bad")
        context.console.line(f"error: {error}", "bad")
        return FAILED
    except KeyboardInterrupt:
        stack = f" --stack {options.stack}" if getattr(options, "stack", None) else ""
        context.console.line(f"interrupted — run bin/dynoform {options.command}{stack} again to go on", "bad")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 the last stop: a bug is shown in one line too
        if options.verbose:
            traceback.print_exc()
        kind = type(error).__name__
        context.console.line(f"error: {options.command}: {kind}: {error} — see more with --verbose", "bad")
        return FAILED
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
