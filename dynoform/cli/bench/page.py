"""docs/reference/benchmarks.md: rows are replaced by name, so measurements can be taken one at a time."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynoform.cli.bench.measure import Measure, Taken
from dynoform.cli.bench.measures import MEASURES

HEAD = """# Benchmarks

Written by `bin/dynoform bench`; a number is the median of its runs. Goals are for two cores and package registries.

| name | what | median | parts | runs | goal | date | machine |
|---|---|---|---|---|---|---|---|
"""
TAIL = """
Run one again with `bin/dynoform bench NAME`. Measurements work on a stack of their own, which they throw away.
"""
ROW = re.compile(r"^\| `(?P<name>[a-z-]+)` \|.*$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """One measurement's runs, when (ISO date) and where (one line) they were taken."""

    measure: Measure
    taken: Sequence[Taken]
    date: str
    machine: str

    @property
    def median(self) -> float:
        """What counts against the goal."""
        return statistics.median(run.number for run in self.taken)

    def row(self) -> str:
        """The result as a line of the table."""
        unit = self.measure.unit
        runs = ", ".join(_shown(run.number) for run in self.taken)
        cells = [f"`{self.measure.name}`", self.measure.title, f"{_shown(self.median)} {unit}", self._parts(), runs]
        return f"| {' | '.join([*cells, f'{self.measure.goal:g} {unit}', self.date, self.machine])} |"

    def _parts(self) -> str:
        medians = {name: statistics.median(run.parts[name] for run in self.taken) for name in self.taken[0].parts}
        return ", ".join(self._part(name, number) for name, number in medians.items())

    def _part(self, name: str, number: float) -> str:
        """One that has another unit than the whole says so in its name: ``CPU [%]``; a peer that is not there: NaN."""
        words, _, unit = name.removesuffix("]").partition(" [")
        if math.isnan(number):
            return f"{words} not installed"
        return f"{words} {_shown(number)} {unit or self.measure.unit}"


def _shown(number: float) -> str:
    """A figure to one decimal, and a small one to two digits that say something."""
    return f"{number:.1f}" if abs(number) >= 0.1 or not number else f"{number:.2g}"


def rewritten(old: str, results: Sequence[Result]) -> str:
    """The page with the rows of `results` replaced, other rows of the `old` page kept, in the order of `MEASURES`."""
    rows: Mapping[str, str] = {found["name"]: found[0] for found in ROW.finditer(old)} | {
        result.measure.name: result.row() for result in results
    }
    body = "\n".join(rows[measure.name] for measure in MEASURES if measure.name in rows)
    return f"{HEAD}{body}\n{TAIL}"


def write(file: Path, results: Sequence[Result]) -> None:
    """Rewrites `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(rewritten(old, results), encoding="utf-8")
