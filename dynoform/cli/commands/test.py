"""``test``: linters, then pytest. The launcher has brought what requirements/test.lock names."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from dynoform.cli.commands import shared
from dynoform.cli.context import Context

FULL = "not chaos and not bench and not fleet"
REST = f"not engine and {FULL}"
ENGINE = f"engine and {FULL}"
FAST = f"not slow and {REST}"
ON_ALL_CORES = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")
"""What needs no engine keeps out of its neighbours' way, file by file; there is one engine."""
PATIENTLY = ("nice", "-n", "15")
"""The engine's tests have deadlines to keep: what runs beside them takes the time that they leave."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `test` can be told; anything else goes to pytest."""
    parser.add_argument("--fast", action="store_true", help="only what needs no root and no Docker: under two minutes")
    parser.usage = "bin/dynoform test [--fast] [pytest arguments]"


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command; the exit code is pytest's. The Pulumi CLI is brought first: tests use the real one."""
    shared.bring_tools(context)
    environ = {**context.environ, "PATH": f"{context.places.venv / 'bin'}{os.pathsep}{context.environ.get('PATH', '')}"}
    pytest = (str(context.places.venv / "bin" / "python"), "-m", "pytest")
    *patient, foremost = [[*pytest, *words] for words in runs(options.rest, options.fast)]
    with ExitStack() as stack:
        finishes = [stack.enter_context(beside([*PATIENTLY, *argv], context.places.root, environ)) for argv in patient]
        # No time limit of ours: pytest-timeout has one per test, and its output belongs on this terminal.
        done = subprocess.run(foremost, cwd=context.places.root, env=environ, check=False)  # noqa: S603 argv is ours
        codes = [done.returncode, *(finish() for finish in finishes)]
    return next((code for code in codes if code), 0)


@contextmanager
def beside(argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Callable[[], int]]:
    """A program in the background, interrupted at the end of the block if it still runs.

    Gives what waits for its end, shows its output in one piece, and returns its exit code.
    """
    with (
        TemporaryFile() as output,
        subprocess.Popen(argv, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT) as run,  # noqa: S603 argv is ours
    ):

        def finish() -> int:
            code = run.wait()
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()
            return code

        try:
            yield finish
        finally:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)


def runs(rest: Sequence[str], fast: bool) -> list[list[str]]:
    """Words for pytest, for each of its runs: what the caller chose, in one, or else everything.

    The last run is the one to wait for: the engine's tests, which wait more than they work. The others fill the time.
    """
    if any(not word.startswith("-") or word.startswith("-m") for word in rest):
        chosen = any(word.startswith("-m") for word in rest)
        return [[*([] if chosen else ["-m", FAST if fast else FULL]), *rest]]
    parallel = [*ON_ALL_CORES, "-m", FAST if fast else REST, *rest]
    return [parallel] if fast else [parallel, ["-m", ENGINE, *rest]]
