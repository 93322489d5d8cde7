"""Measurements of the dyno manager: crashes, rolling releases, passes over many dynos, what an idle dyno costs."""

import json
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from dynoform.cli import running
from dynoform.cli.bench.deploys import application, slowest_boot, until_up
from dynoform.cli.bench.load import load
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.cli.bench.platform import answers
from dynoform.cli.engine import connect
from dynoform.errors import DynoformError

SIMULATION = "tests/bench/test_reconcile_pass.py"
ROLLING, RATE = 20, 200
IDLE, IDLE_SECONDS = 100, 30
SECONDS = 600
KILL = ["sh", "-c", "kill -9 -1"]
"""All processes of a dyno but its init."""


def crash(bench: Bench) -> Taken:
    """From the end of a dyno's only process until the next dyno answers through the router, less that one's boot."""
    with application(bench) as (api, name):
        until_up(api, name, 1)
        outputs = bench.stack.outputs()
        host, port = f"{name}.{outputs['domain']}", int(outputs["httpPort"])
        began = time.monotonic()
        _kill(bench, _app_id(api, name))
        _until(lambda: not answers(host, port), f"app {name} is down")
        _until(lambda: answers(host, port), f"app {name} answers")
        took = time.monotonic() - began
        boot = slowest_boot(api, name)
        return Taken(took - boot, {"in all": took, "boot": boot, "the rest": took - boot})


def rolling(bench: Bench) -> Taken:
    """Requests that fail while twenty dynos are replaced by those of a new release, until the last old one is gone."""
    with application(bench) as (api, name):
        api.patch(f"/apps/{name}/formation", {"updates": [{"type": "web", "quantity": ROLLING}]})
        until_up(api, name, ROLLING)
        before = {dyno["id"] for dyno in api.get(f"/apps/{name}/dynos")}
        app_id, outputs = _app_id(api, name), bench.stack.outputs()
        with load(f"{name}.{outputs['domain']}", int(outputs["httpPort"]), RATE) as found:
            api.patch(f"/apps/{name}/config-vars", {"BENCH": uuid.uuid4().hex})
            until_up(api, name, ROLLING, before)
            _until(lambda: _containers(bench, app_id) == ROLLING, f"app {name} has new dynos only")
        return Taken(found.failed, {"sent": found.sent})


def pass_seconds(bench: Bench) -> Taken:
    """Seconds of a pass over a thousand dynos on a simulated Swarm of fifty hosts, when nothing has changed."""
    found = _simulation(bench)
    return Taken(found.pop("unchanged"), {name: found[name] for name in ("ten dynos started", "all started")})


def pass_memory(bench: Bench) -> float:
    """The most MiB that the reconciler of that simulation had resident."""
    return _simulation(bench)["memory"]


def idle_dynos(bench: Bench) -> Taken:
    """MiB of this machine's memory per idle dyno, its processes and the engine's for it; with its share of a processor.

    With all of them there a dyno is killed, and has to be back: without that there is no number.
    """
    with application(bench) as (api, name):
        until_up(api, name, 1)
        app_id = _app_id(api, name)
        free, busy = _available(), _busy(IDLE_SECONDS)
        api.patch(f"/apps/{name}/formation", {"updates": [{"type": "web", "quantity": IDLE}]})
        began = time.monotonic()
        until_up(api, name, IDLE)
        started = time.monotonic() - began
        time.sleep(IDLE_SECONDS)
        more, busier = free - _available(), _busy(IDLE_SECONDS)
        began = time.monotonic()
        _kill(bench, app_id)
        _until(lambda: _up(api, name) < IDLE, f"one of {IDLE} dynos of {name} is down")
        until_up(api, name, IDLE)
        again = time.monotonic() - began
        made = IDLE - 1
        processor = 100 * (busier - busy) / made
        parts = {
            "CPU [% of a processor]": processor,
            "until all were up [s]": started,
            "one killed until up [s]": again,
        }
        return Taken(more / made, parts)


def _simulation(bench: Bench) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result = Path(folder) / "result.json"
        bench.dynoform("test", "-q", "-m", "bench", SIMULATION, environ={"BENCH_RESULT": str(result)})
        found: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return found


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DynoformError(what, f"is not so after {SECONDS} s", "look at its log with heroku logs")
        time.sleep(0.02)


def _app_id(api: running.Api, name: str) -> str:
    return str(api.get(f"/apps/{name}")["id"])


def _up(api: running.Api, name: str) -> int:
    return sum(dyno["state"] == "up" for dyno in api.get(f"/apps/{name}/dynos"))


def _containers(bench: Bench, app_id: str) -> int:
    with connect(bench.stack) as engine:
        filters = {"label": [f"dynoform.app={app_id}", "dynoform.dyno-id"]}
        return len(engine.client.containers.list(filters=filters, ignore_removed=True)) if engine else -1


def _kill(bench: Bench, app_id: str) -> None:
    """Kill the processes of one of the app's dynos; not waited for, as the next may be there before the answer."""
    with connect(bench.stack) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", "start it")
        filters = {"label": [f"dynoform.app={app_id}", "dynoform.dyno-id"]}
        engine.client.containers.list(filters=filters)[0].exec_run(KILL, detach=True)


def _available() -> float:
    """MiB that this machine has left."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))


def _busy(seconds: float) -> float:
    """How many processors are busy, on average over so long."""
    before, began = _jiffies(), time.monotonic()
    time.sleep(seconds)
    return (_jiffies() - before) / 100 / (time.monotonic() - began)


def _jiffies() -> int:
    """Hundredths of a second that the processors have worked."""
    user, nice, system, _, _, irq, softirq = Path("/proc/stat").read_text(encoding="utf-8").split()[1:8]
    return sum(map(int, (user, nice, system, irq, softirq)))
