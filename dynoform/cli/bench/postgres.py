"""Measurements of PostgreSQL with a standby: its primary is killed, or hands over, while rows are written."""

import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dynoform.cli.bench.measure import Bench, Taken
from dynoform.errors import DynoformError

LOAD = "tests/bench/test_postgres.py"
PLAN = "heroku-postgresql:premium-0"
SECONDS = 300


def provisioned(bench: Bench) -> Taken:
    """From asking for a premium database to its address in the app's configuration."""
    with _database(bench) as told:
        return Taken(float(told["seconds"]))


def outage(bench: Bench) -> Taken:
    """The longest time in which nothing was acknowledged, of a primary that is killed and stays away."""
    found = _run(bench, "killed")
    return Taken(found["outage"], {f"{name} [rows]": found[name] for name in ("acknowledged", "lost")})


def loss(bench: Bench) -> Taken:
    """Acknowledged rows that are not there then, and reads that were older than an answer."""
    found = _run(bench, "killed")
    return Taken(found["lost"], {"acknowledged": found["acknowledged"]})


def switchover(bench: Bench) -> Taken:
    """The longest time in which nothing was acknowledged, of a primary that hands over."""
    found = _run(bench, "handed over")
    return Taken(found["outage"], {f"{name} [rows]": found[name] for name in ("acknowledged", "lost")})


def _run(bench: Bench, how: str) -> dict[str, float]:
    with _database(bench) as told, tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result, told_in = Path(folder) / "result.json", Path(folder) / "told.json"
        # It has a password.
        with os.fdopen(os.open(told_in, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            json.dump({**told, "how": how}, file)
        environ = {"BENCH_RESULT": str(result), "BENCH_POSTGRES": str(told_in)}
        bench.dynoform("test", "-q", "-m", "bench", LOAD, environ=environ)
        return dict(json.loads(result.read_text(encoding="utf-8")))


@contextmanager
def _database(bench: Bench) -> Iterator[dict[str, Any]]:
    """A new app's database, for the length of the block."""
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        began = time.monotonic()
        with suppress(OSError):  # it answers once there is something to say, which may be later than we listen
            api.post(f"/apps/{name}/addons", {"plan": PLAN, "name": f"{name}-postgres"})
        while not (url := api.get(f"/apps/{name}/config-vars").get("DATABASE_URL")):
            if time.monotonic() - began > SECONDS:
                raise DynoformError(f"{name}-postgres", f"is not there after {SECONDS} s", "see bin/dynoform status")
            time.sleep(0.5)
        seconds = time.monotonic() - began
        addon = api.get(f"/addons/{name}-postgres")
        yield {"url": url, "seconds": seconds, "service": f"{bench.stack.name}_addon-{addon['id']}"}
    finally:
        api.delete(f"/apps/{name}")
