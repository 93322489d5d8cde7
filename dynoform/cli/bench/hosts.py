"""Measurements on a fleet of hosts, which are containers of this machine: what a lost one costs."""

import json
import tempfile
from pathlib import Path

from dynoform.cli.bench.measure import Bench, Taken

FLEET = "tests/fleet/test_dynos.py"
_FOUND: dict[str, dict[str, float]] = {}
"""Both come out of one run: making the fleet takes minutes."""


def host_lost(bench: Bench) -> Taken:
    """From the kill of a host until all its dynos serve elsewhere, under requests; with those that failed."""
    return _taken(bench, "host-lost")


def leader_lost(bench: Bench) -> Taken:
    """The same for the host of the swarm's leader."""
    return _taken(bench, "leader-lost")


def _taken(bench: Bench, name: str) -> Taken:
    if not _FOUND:
        _FOUND.update(_fleet(bench))
    parts = dict(_FOUND[name])
    return Taken(parts.pop("seconds"), parts)


def _fleet(bench: Bench) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result = Path(folder) / "result.json"
        bench.dynoform("test", "-q", "-m", "fleet", FLEET, environ={"BENCH_RESULT": str(result)})
        return dict(json.loads(result.read_text(encoding="utf-8")))
