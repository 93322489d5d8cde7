"""``test``: linters, then pytest. The launcher has brought what requirements/test.lock names."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from types import MappingProxyType

from dynoform.cli.commands import shared
from dynoform.cli.context import Context
from dynoform.cli.verdict import FAILED, failures, second_verdict, verdict

FULL = "not chaos and not bench and not fleet and not machine"
REST = f"not engine and {FULL}"
ENGINE = f"engine and {FULL}"
FAST = f"not slow and {REST}"
ON_ALL_CORES = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--max-worker-restart", "0")
"""What needs no engine keeps out of its neighbours' way, file by file; there is one engine. A test that ends its
process is told as such: with another process in its place, pytest-xdist would wait for ever.
"""
OF_PLATFORM, OF_PARTS = "tests/e2e", "tests/integration"
OF_DYNOS = ("tests/integration/dynos", "tests/integration/router")
"""The engine's tests in three runs: a platform with all that belongs to it; dynos and routers, which wait for most of
their time; and one other part each."""
OF_ENGINE = (OF_PLATFORM, OF_PARTS, "tests/fleet", "tests/bench")
"""Where the engine's tests are, and nothing else: ``tests/conftest.py`` sees to it. Runs read only what is theirs."""
HELD, AWAITED = "DYNOFORM_TEST_TURN", "DYNOFORM_TEST_AFTER"
"""The ends of a pipe: the platform's run has the engine alone until it closes one, and the others wait for that."""
PATIENTLY = ("nice", "-n", "15")
"""The engine's tests have deadlines to keep: what runs beside them takes the time that they leave."""
MOST_AGAIN = 30
"""More failures than these are no neighbour's fault: what is broken is told at once."""


@dataclass(frozen=True)
class Run:
    """One of pytest's runs: its title, its words for pytest, and the folder of what pytest writes about all runs."""

    title: str
    words: tuple[str, ...]
    folder: Path

    @property
    def report(self) -> Path:
        """The JUnit file of the first try."""
        return self.folder / f"{self.title}.xml"

    @property
    def second_report(self) -> Path:
        """That of the second."""
        return self.folder / f"{self.title}-alone.xml"

    def first(self) -> list[str]:
        """All words for pytest, which keeps what failed in a folder of this run's own."""
        kept = f"cache_dir={self.folder / self.title}"
        return [f"--junitxml={self.report}", "--override-ini", kept, *self.words]

    def second(self) -> list[str]:
        """The same for what failed, in one process."""
        words = [word for word in self.first() if word not in ON_ALL_CORES]
        return [*words, f"--junitxml={self.second_report}", "--last-failed", "--last-failed-no-failures=none"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `test` can be told; anything else goes to pytest."""
    parser.add_argument("--fast", action="store_true", help="only what needs no root and no Docker: under two minutes")
    parser.usage = "bin/dynoform test [--fast] [pytest arguments]"


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command; the exit code is pytest's. The Pulumi CLI is brought first: tests use the real one."""
    shared.bring_tools(context)
    environ = {**context.environ, "PATH": f"{context.places.venv / 'bin'}{os.pathsep}{context.environ.get('PATH', '')}"}
    # Hundreds of processes of ours: none has to compile again what another one has.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    pytest = (str(context.places.venv / "bin" / "python"), "-m", "pytest")
    chosen = runs(options.rest, options.fast)
    if len(chosen) == 1:
        [words] = chosen.values()
        return alone([*pytest, *words], context.places.root, environ)
    with TemporaryDirectory(prefix="dynoform-test-") as folder:
        planned = [Run(title, tuple(words), Path(folder)) for title, words in chosen.items()]
        codes = side_by_side([[*pytest, *run.first()] for run in planned], context.places.root, environ)
        said = [verdict(run.title, code, run.report) for run, code in zip(planned, codes, strict=True)]
        for number in worth_another_try(planned, codes):
            again = planned[number]
            context.console.line(f"{again.title}: what failed, once more, alone", "bad")
            codes[number] = alone([*pytest, *again.second()], context.places.root, environ)
            said[number] = second_verdict(again.title, codes[number], again.report, again.second_report)
        for lines, code in zip(said, codes, strict=True):
            for line in lines:
                context.console.line(line, "bad" if code else "good")
    return next((code for code in codes if code), 0)


def worth_another_try(planned: Sequence[Run], codes: Sequence[int]) -> list[int]:
    """Which runs, by number, have failures that can be those of a busy machine: some, but few in all."""
    failed = [number for number, code in enumerate(codes) if code == FAILED]
    count = sum(1 for number in failed for _ in failures(planned[number].report))
    return failed if count <= MOST_AGAIN else []


def alone(argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> int:
    """One run with nothing of ours beside it; returns its exit code."""
    with beside(argv, folder, environ, shown=True) as finish:
        return finish()


def side_by_side(commands: Sequence[Sequence[str]], folder: Path, environ: Mapping[str, str]) -> list[int]:
    """All runs at once, the last one's output as it comes; returns their exit codes."""
    awaited, held = os.pipe()
    ends = {OF_PLATFORM: (HELD, held), OF_DYNOS[0]: (AWAITED, awaited), OF_PARTS: (AWAITED, awaited)}
    *others, foremost = commands
    with ExitStack() as stack:
        finishes = [stack.enter_context(beside(argv, folder, environ, ends)) for argv in others]
        finish = stack.enter_context(beside(foremost, folder, environ, ends, shown=True))
        os.close(awaited)
        os.close(held)
        last = finish()
        return [*(each() for each in finishes), last]


@contextmanager
def beside(
    argv: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    ends: Mapping[str, tuple[str, int]] = MappingProxyType({}),
    *,
    shown: bool = False,
) -> Iterator[Callable[[], int]]:
    """A program in the background, interrupted at the end of the block if it still runs.

    Gives what waits for its end, shows its output in one piece unless it was ``shown`` all the time, and returns its
    exit code. ``ends`` are descriptors that it gets, and in which variable it is told of them, by a word of ``argv``.
    """
    patience = PATIENTLY if "--numprocesses" in argv else ()
    told = [ends[word] for word in argv if word in ends]
    with (
        TemporaryFile() as output,
        subprocess.Popen(  # noqa: S603 argv is ours
            [*patience, *argv],
            cwd=folder,
            env={**environ, **{name: str(end) for name, end in told}},
            stdout=None if shown else output,
            stderr=None if shown else subprocess.STDOUT,
            pass_fds=[end for _, end in told],
        ) as run,
    ):

        def finish() -> int:
            # No time limit of ours: pytest-timeout has one per test.
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


def runs(rest: Sequence[str], fast: bool) -> dict[str, list[str]]:
    """Words for pytest, for each of its runs by a title: what the caller chose, in one, or else everything.

    The last run is the one to wait for: the engine's tests of parts. Those of the platform and those of dynos and
    routers go on beside them, and the others fill the time.
    """
    if any(not word.startswith("-") or word.startswith("-m") for word in rest):
        chosen = any(word.startswith("-m") for word in rest)
        return {"tests": [*([] if chosen else ["-m", FAST if fast else FULL]), *rest]}
    elsewhere = [f"--ignore={folder}" for folder in OF_ENGINE]
    others = {"others": [*ON_ALL_CORES, "-m", FAST if fast else REST, *elsewhere, *rest]}
    parts = (OF_PARTS, *(f"--ignore={folder}" for folder in OF_DYNOS))
    folders = {"platform": (OF_PLATFORM,), "dynos": OF_DYNOS, "parts": parts}
    engine = {title: ["-m", ENGINE, *words, *rest] for title, words in folders.items()}
    return others if fast else others | engine
