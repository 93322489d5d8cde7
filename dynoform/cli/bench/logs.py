"""Measurements of logs: from a dyno's file to who tails it."""

import json
import tempfile
from pathlib import Path

from dynoform.cli.bench.measure import Bench, Taken

SIMULATION = "tests/bench/test_logs.py"


def tail(bench: Bench) -> Taken:
    """Seconds from a line's writing to its reading, 99th percentile, at 10,000 lines a second, none lost."""
    found = _simulation(bench, "ten_thousand")
    return Taken(found["p99"], {"median": found["median"], "lost": found["written"] - found["received"]})


def uncounted(bench: Bench) -> Taken:
    """Lines that were lost and not counted (L11, L12) when a dyno writes as fast as it can."""
    found = _simulation(bench, "overload")
    parts = {"written": found["written"], "counted": found["counted"]}
    return Taken(abs(found["written"] - found["received"] - found["counted"]), parts)


def _simulation(bench: Bench, name: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result = Path(folder) / "result.json"
        bench.dynoform("test", "-q", "-m", "bench", SIMULATION, "-k", name, environ={"BENCH_RESULT": str(result)})
        found: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return found
