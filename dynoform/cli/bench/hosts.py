"""Measurements on hosts that are containers of this machine: what making them takes, what a lost one costs."""

import json
import tempfile
from pathlib import Path
from typing import Any

from dynoform.cli.bench.measure import Bench, Taken

FLEET = "tests/fleet/test_dynos.py"
PLAYBOOKS = "tests/fleet/test_playbooks.py"
_UP = "tests/bench/test_fleet_up.py"
_ANSIBLE = "tests/bench/test_ansible_hosts.py"
_HOSTS = {"few": 10, "many": 50}
_FOUND: dict[str, dict[str, float]] = {}
"""Those of one file come out of one run: making the fleet takes minutes."""


def host_lost(bench: Bench) -> Taken:
    """From the kill of a host until all its dynos serve elsewhere, under requests; with those that failed."""
    return _taken(bench, "host-lost", FLEET)


def leader_lost(bench: Bench) -> Taken:
    """The same for the host of the swarm's leader."""
    return _taken(bench, "leader-lost", FLEET)


def fleet_up(bench: Bench) -> Taken:
    """From three hosts that are nothing to an app that answers at each: images are built on the first, once."""
    return _taken(bench, "fleet-up", _UP, "bench")


def fleet_again(bench: Bench) -> Taken:
    """``site.yml`` on three hosts that it has made before: it changes nothing, or there is no number."""
    return _taken(bench, "fleet-again", PLAYBOOKS)


def fleet_add(bench: Bench) -> Taken:
    """``add_host.yml`` for a fourth host that has Docker, until it is a node that takes dynos."""
    return _taken(bench, "fleet-add", PLAYBOOKS)


def ansible_hosts(bench: Bench) -> Taken:
    """What a host of fifty takes in a playbook's run, in per cent of what it takes among ten."""
    found = _run(bench, "bench", _ANSIBLE)
    parts = {f"{number} hosts [s]": found[word] for word, number in _HOSTS.items()}
    return Taken(100 * (found["many"] / _HOSTS["many"]) / (found["few"] / _HOSTS["few"]), parts)


def _taken(bench: Bench, name: str, tests: str, mark: str = "fleet") -> Taken:
    if name not in _FOUND:
        _FOUND.update(_run(bench, mark, tests))
    parts = dict(_FOUND[name])
    return Taken(parts.pop("seconds"), parts)


def _run(bench: Bench, mark: str, tests: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result = Path(folder) / "result.json"
        bench.dynoform("test", "-q", "-m", mark, tests, environ={"BENCH_RESULT": str(result)})
        return dict(json.loads(result.read_text(encoding="utf-8")))
