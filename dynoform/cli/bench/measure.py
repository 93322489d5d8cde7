"""What a measurement is, and what it works with."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynoform.cli import running, trust
from dynoform.cli.context import Context
from dynoform.cli.process import Command, Finished, run
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError

UP_SECONDS = 1800


@dataclass(frozen=True)
class Bench:
    """What measurements work with: a stack of their own, which may be thrown away."""

    context: Context
    stack: Stack

    def dynoform(self, *words: str, environ: dict[str, str] | None = None, seconds: float = UP_SECONDS) -> Finished:
        """Runs ``bin/dynoform <words>`` as an operator does.

        Raises `DynoformError` when it fails; what it printed is kept in a file, which the error names.
        """
        program = str(self.context.places.root / "bin" / "dynoform")
        done = run(Command([program, *words], timeout=seconds, env=environ or {}))
        if done.code:
            with tempfile.NamedTemporaryFile("w", prefix="dynoform-bench-", suffix=".log", delete=False) as output:
                output.write(done.stdout + done.stderr)
            raise DynoformError(f"bin/dynoform {' '.join(words)}", done.last_words, f"see {output.name}")
        return done

    def up(self, *words: str, environ: dict[str, str] | None = None) -> float:
        """Seconds of one ``up`` with these words more, with `environ` on top of ours."""
        began = time.monotonic()
        self.dynoform("up", "--yes", "--stack", self.stack.name, *words, environ=environ)
        return time.monotonic() - began

    def down(self, *words: str) -> None:
        """Removes the stack."""
        self.dynoform("down", "--yes", "--stack", self.stack.name, *words)

    def api(self) -> running.Api:
        """The stack's Platform API; the stack is brought up where it is not."""
        outputs: dict[str, Any] = self.stack.outputs() if self.stack.exists() else {}
        if "apiUrl" not in outputs:
            self.up()
            outputs = self.stack.outputs()
        trust.write(self.stack, outputs)
        return running.Api(outputs["apiUrl"], str(outputs["apiKey"]), trust.needed(self.stack, outputs))


@dataclass(frozen=True)
class Taken:
    """One run of a measurement: the number that counts, and the longer time that it is a part of, with all parts."""

    number: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A measurement: what it is called, its unit, the goal (at most), and how it is taken.

    `once` marks those that throw caches away or take very long: they run once, whatever the number of runs.
    """

    name: str
    title: str
    unit: str
    goal: float
    take: Callable[[Bench], float | Taken]
    once: bool = False

    def run(self, bench: Bench) -> Taken:
        """Takes it once."""
        taken = self.take(bench)
        return taken if isinstance(taken, Taken) else Taken(taken)
