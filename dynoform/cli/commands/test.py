"""``test``: linters, then pytest. The launcher has brought what requirements/test.lock names."""

import argparse
import os
import subprocess
from collections.abc import Sequence

from dynoform.cli.commands import shared
from dynoform.cli.context import Context

FAST = "not engine and not slow and not chaos and not bench"
FULL = "not chaos and not bench"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `test` can be told; anything else goes to pytest."""
    parser.add_argument("--fast", action="store_true", help="only what needs no root and no Docker: under two minutes")
    parser.usage = "bin/dynoform test [--fast] [pytest arguments]"


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command; the exit code is pytest's. The Pulumi CLI is brought first: tests use the real one."""
    shared.bring_tools(context)
    environ = {**context.environ, "PATH": f"{context.places.venv / 'bin'}{os.pathsep}{context.environ.get('PATH', '')}"}
    argv = [str(context.places.venv / "bin" / "python"), *words(options.rest, options.fast)]
    # No time limit of ours: pytest-timeout has one per test, and its output belongs on this terminal.
    return subprocess.run(argv, cwd=context.places.root, env=environ, check=False).returncode  # noqa: S603 ours


def words(rest: Sequence[str], fast: bool) -> list[str]:
    """Words for Python: pytest with our markers, unless the caller chose some; linters come first."""
    chosen = any(word.startswith("-m") for word in rest)
    markers = [] if chosen else ["-m", FAST if fast else FULL]
    return ["-m", "pytest", *markers, *rest]
