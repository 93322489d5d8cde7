"""Measurements of the router with 10,000 apps, beside other proxies: those that are installed."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dynoform.cli.bench.measure import Bench, Taken

PEERS = ("nginx", "caddy", "kamal-proxy")
NEEDED_RATE = {"nginx": 0.7, "caddy": 2.2, "kamal-proxy": 2.2}
"""How many of a peer's requests the router has to answer: nginx runs without a log."""
_ROUTER = "tests/bench/test_router.py"
_CHANGES = "tests/bench/test_route_change.py"


def rate(bench: Bench) -> Taken:
    """The most that one of the peers asks for, in per cent of what the router does.

    Full log lines, request ids and 10,000 names; each proxy on one processor, asked by 64 clients at once.
    """
    found = _measured(bench, f"{_ROUTER}::test_rate")
    needed = [NEEDED_RATE[peer] * found[peer] for peer in PEERS if peer in found]
    return Taken(100 * max(needed, default=0.0) / found["router"], _beside(found, "requests/s"))


def p99(bench: Bench) -> Taken:
    """The router's 99th percentile, in per cent of the best peer's, at a rate that all of them can bear."""
    found = _measured(bench, f"{_ROUTER}::test_p99")
    best = min((found[peer] for peer in PEERS if peer in found), default=found["router"])
    return Taken(100 * found["router"] / best, _beside(found, "ms"))


def handshakes(bench: Bench) -> Taken:
    """nginx's TLS handshakes per second, in per cent of the router's: full ones, with the same kind of key."""
    found = _measured(bench, f"{_ROUTER}::test_handshakes")
    parts = {f"{name} [handshakes/s]": found.get(name, float("nan")) for name in ("router", "nginx")}
    return Taken(100 * found.get("nginx", 0.0) / found["router"], parts)


def memory(bench: Bench) -> Taken:
    """MiB for 1,000 apps more, of those that cost more: of one dyno each, or of two."""
    found = _measured(bench, f"{_ROUTER}::test_memory")
    parts = {"of one dyno": found["lone"], "of two": found["pairs"], "router without apps": found["without apps"]}
    return Taken(max(found["lone"], found["pairs"]), parts)


def change(bench: Bench) -> Taken:
    """Seconds until the slowest of a minute's changes shows, one a second; no request fails, or there is no number."""
    found = _measured(bench, _CHANGES)
    return Taken(found["slowest"], {"median": found["median"], "sent [requests]": found["sent"]})


def restart(bench: Bench) -> Taken:
    """Seconds from the start of a router that was killed to an app's answer, with 10,000 apps and no control plane."""
    found = _measured(bench, f"{_ROUTER}::test_restart")
    return Taken(found["seconds"], {"with 1,000 certificates": found["with certificates"]})


def certificates(bench: Bench) -> Taken:
    """Seconds from the start of a router that was killed to an app's answer, with 1,000 certificates besides."""
    found = _measured(bench, f"{_ROUTER}::test_restart")
    return Taken(found["with certificates"], {"without": found["seconds"]})


def _measured(bench: Bench, test: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result = Path(folder) / "result.json"
        bench.dynoform("test", "-q", "-m", "bench", test, environ={"BENCH_RESULT": str(result)})
        found: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return found


def _beside(found: Mapping[str, float], unit: str) -> dict[str, float]:
    """The figures of all proxies; one that is not installed is named, with nothing."""
    return {f"{name} [{unit}]": found.get(name, float("nan")) for name in ("router", *PEERS)}
