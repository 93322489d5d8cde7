"""``test``: linters, then pytest. The launcher has brought what requirements/test.lock names."""

import argparse
import os
import subprocess
from collections.abc import Sequence

from dynoform.cli.commands import shared
from dynoform.cli.context import Context

FULL = "not chaos and not bench and not fleet"
REST = f"not engine and {FULL}"
ENGINE = f"engine and {FULL}"
FAST = f"not slow and {REST}"
ON_ALL_CORES = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")
"""What needs no engine keeps out of its neighbours' way, file by file; there is one engine."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `test` can be told; anything else goes to pytest."""
    parser.add_argument("--fast", action="store_true", help="only what needs no root and no Docker: under two minutes")
    parser.usage = "bin/dynoform test [--fast] [pytest arguments]"


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command; the exit code is pytest's. The Pulumi CLI is brought first: tests use the real one."""
    shared.bring_tools(context)
    environ = {**context.environ, "PATH": f"{context.places.venv / 'bin'}{os.pathsep}{context.environ.get('PATH', '')}"}
    python = str(context.places.venv / "bin" / "python")
    codes = []
    for words in runs(options.rest, options.fast):
        # No time limit of ours: pytest-timeout has one per test, and its output belongs on this terminal.
        argv = [python, "-m", "pytest", *words]
        codes.append(subprocess.run(argv, cwd=context.places.root, env=environ, check=False).returncode)  # noqa: S603 ours
    return next((code for code in codes if code), 0)


def runs(rest: Sequence[str], fast: bool) -> list[list[str]]:
    """Words for pytest, for each of its runs: what the caller chose, in one, or else everything, engine tests last."""
    if any(not word.startswith("-") or word.startswith("-m") for word in rest):
        chosen = any(word.startswith("-m") for word in rest)
        return [[*([] if chosen else ["-m", FAST if fast else FULL]), *rest]]
    parallel = [*ON_ALL_CORES, "-m", FAST if fast else REST, *rest]
    return [parallel] if fast else [parallel, ["-m", ENGINE, *rest]]
