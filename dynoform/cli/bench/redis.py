"""Measurements of Redis: the primary of a group is killed while clients write."""

import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dynoform.cli import trust
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.errors import DynoformError

LOAD = "tests/bench/test_redis.py"
SECONDS = 300


def failover(bench: Bench) -> Taken:
    """The longest time in which no write was acknowledged; with what was lost of those that were."""
    with _redis(bench) as told, tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result, told_in = Path(folder) / "result.json", Path(folder) / "told.json"
        # It has a password.
        with os.fdopen(os.open(told_in, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            json.dump(told, file)
        environ = {"BENCH_RESULT": str(result), "BENCH_REDIS": str(told_in)}
        bench.dynoform("test", "-q", "-m", "bench", LOAD, environ=environ)
        found = json.loads(result.read_text(encoding="utf-8"))
    counts = {
        "acknowledged [writes]": found["acknowledged"],
        "lost [writes]": found["lost"],
        "lost of those that waited [writes]": found["lost_waiting"],
    }
    return Taken(found["outage"], counts)


@contextmanager
def _redis(bench: Bench) -> Iterator[dict[str, Any]]:
    """A new app's Redis with HA, for the length of the block."""
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        with suppress(OSError):  # it answers once there is something to say, which may be later than we listen
            api.post(f"/apps/{name}/addons", {"plan": "heroku-redis:premium-0", "name": f"{name}-redis"})
        deadline = time.monotonic() + SECONDS
        while "REDIS_URL" not in (config := api.get(f"/apps/{name}/config-vars")):
            if time.monotonic() > deadline:
                raise DynoformError(f"{name}-redis", f"is not there after {SECONDS} s", "look at bin/dynoform status")
            time.sleep(1)
        addon = api.get(f"/apps/{name}/addons/{name}-redis")["id"]
        needed = trust.needed(bench.stack, bench.stack.outputs())
        yield {
            "url": config["REDIS_URL"],
            "certificate": str(needed) if needed else None,
            "service": f"{bench.stack.name}_addon-{addon}",
        }
    finally:
        api.delete(f"/apps/{name}")
