"""Measurements of PostgreSQL: until it is there; its primary is killed, or hands over, while rows are written."""

import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from dynoform.cli.bench.measure import Bench, Taken
from dynoform.cli.engine import connect
from dynoform.domain.dyno_container import SERVICE_LABEL
from dynoform.errors import DynoformError

LOAD = "tests/bench/test_postgres.py"
ESSENTIAL, PREMIUM = "heroku-postgresql:essential-0", "heroku-postgresql:premium-0"
SECONDS = 1800
KILLS, HANDOVERS = 20, 5
_taken: dict[tuple[str, str], Mapping[str, Any]] = {}
"""What a stack's primaries came to, by how they went: outage and loss are two figures of the same kills."""


def essential(bench: Bench) -> Taken:
    """From asking for an essential database to its address in the app's configuration."""
    with database(bench, ESSENTIAL) as told:
        return Taken(float(told["seconds"]))


def premium(bench: Bench) -> Taken:
    """The same for a premium one."""
    with database(bench, PREMIUM) as told:
        return Taken(float(told["seconds"]))


def outage(bench: Bench) -> Taken:
    """How long nothing is acknowledged when a primary is killed and stays away: the median of some kills."""
    found = _run(bench, "killed", KILLS)
    return Taken(median(found["outages"]), _parts(found))


def loss(bench: Bench) -> Taken:
    """Acknowledged rows that are not there then, and reads that were older than an answer."""
    found = _run(bench, "killed", KILLS)
    return Taken(found["lost"], {"kills [times]": len(found["outages"]), "acknowledged [rows]": found["acknowledged"]})


def switchover(bench: Bench) -> Taken:
    """How long nothing is acknowledged when a primary hands over: the median of some times."""
    found = _run(bench, "handed over", HANDOVERS)
    return Taken(median(found["outages"]), _parts(found))


def _parts(found: Mapping[str, Any]) -> Mapping[str, float]:
    outages = found["outages"]
    rows = {f"{name} [rows]": found[name] for name in ("acknowledged", "lost")}
    return {"tries [times]": len(outages), "shortest": min(outages), "longest": max(outages), **rows}


def _run(bench: Bench, how: str, times: int) -> Mapping[str, Any]:
    """What the load says; see there."""
    if found := _taken.get((bench.stack.name, how)):
        return found
    with database(bench, PREMIUM) as told, tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result, told_in = Path(folder) / "result.json", Path(folder) / "told.json"
        # It has a password.
        with os.fdopen(os.open(told_in, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            json.dump({**told, "how": how, "times": times}, file)
        environ = {"BENCH_RESULT": str(result), "BENCH_POSTGRES": str(told_in)}
        bench.dynoform("test", "-q", "-m", "bench", LOAD, environ=environ)
        _taken[bench.stack.name, how] = dict(json.loads(result.read_text(encoding="utf-8")))
    return _taken[bench.stack.name, how]


def inside(bench: Bench, service: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What a program says in a service's container, as its user. Raises ``DynoformError`` when it fails."""
    with connect(bench.stack) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", "start it")
        filters = {"label": f"{SERVICE_LABEL}={service}", "status": "running"}
        (container,) = engine.client.containers.list(filters=filters)
        done = container.exec_run(list(words), environment=environment)
    said = done.output.decode(errors="replace")
    if done.exit_code:
        raise DynoformError(words[0], said[-300:], "look at the server's log")
    return str(said)


@contextmanager
def database(bench: Bench, plan: str) -> Iterator[dict[str, Any]]:
    """A new app's database, as ``add`` tells it, for the length of the block."""
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        yield add(bench, name, plan)
    finally:
        api.delete(f"/apps/{name}")


def add(
    bench: Bench, app: str, plan: str, attachment: str = "DATABASE", options: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Have an app have a database: its ``url``, its ``service``, and the ``seconds`` until the app had its address.

    ``options`` are those of ``addons:create``. Raises ``DynoformError`` where it takes longer than half an hour.
    """
    api, name, began = bench.api(), f"{app}-{attachment.lower()}", time.monotonic()
    wanted = {"plan": plan, "name": name, "attachment": {"name": attachment}, "config": options or {}}
    with suppress(OSError):  # it answers once there is something to say, which may be later than we listen
        api.post(f"/apps/{app}/addons", wanted)
    while not (url := api.get(f"/apps/{app}/config-vars").get(f"{attachment}_URL")):
        if time.monotonic() - began > SECONDS:
            raise DynoformError(name, f"is not there after {SECONDS} s", "see bin/dynoform status")
        time.sleep(0.2)
    seconds, addon = time.monotonic() - began, api.get(f"/addons/{name}")
    return {"app": app, "url": url, "seconds": seconds, "service": f"{bench.stack.name}_addon-{addon['id']}"}
