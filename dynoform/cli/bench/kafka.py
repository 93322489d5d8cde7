"""Measurements of Kafka: a broker of three is killed while 5,000 messages a second arrive that all have to have."""

import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dynoform.cli import running, trust
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.errors import DynoformError

LOAD = "tests/bench/test_kafka.py"
SECONDS = 300


def pause(bench: Bench) -> Taken:
    """The longest time in which a partition acknowledged nothing; with what was lost or is there twice."""
    found = _run(bench)
    counts = {f"{name} [messages]": found[name] for name in ("sent", "lost", "twice")}
    return Taken(found["pause"], counts)


def loss(bench: Bench) -> Taken:
    """Acknowledged messages that are not there, or are there twice, of an idempotent producer."""
    found = _run(bench)
    return Taken(found["lost"] + found["twice"], {name: found[name] for name in ("sent", "lost", "twice")})


def _run(bench: Bench) -> dict[str, float]:
    with _cluster(bench) as told, tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        result, told_in = Path(folder) / "result.json", Path(folder) / "told.json"
        # It has keys.
        with os.fdopen(os.open(told_in, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            json.dump(told, file)
        environ = {"BENCH_RESULT": str(result), "BENCH_KAFKA": str(told_in)}
        bench.dynoform("test", "-q", "-m", "bench", LOAD, environ=environ)
        return dict(json.loads(result.read_text(encoding="utf-8")))


@contextmanager
def _cluster(bench: Bench) -> Iterator[dict[str, Any]]:
    """A new app's cluster of three brokers with a topic, for the length of the block."""
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        wanted = {"plan": "heroku-kafka:standard-0", "name": f"{name}-kafka", "config": {"brokers": "3"}}
        with suppress(OSError):  # it answers once there is something to say, which may be later than we listen
            api.post(f"/apps/{name}/addons", wanted)
        cluster = f"/data/kafka/v0/clusters/{name}-kafka"
        topic = {"name": "load", "partition_count": "6", "retention_time_ms": 86_400_000}
        deadline = time.monotonic() + SECONDS
        while not _made(api, cluster, topic):
            if time.monotonic() > deadline:
                raise DynoformError(f"{name}-kafka", f"is not there after {SECONDS} s", "look at bin/dynoform status")
            time.sleep(1)
        outputs = bench.stack.outputs()
        needed = trust.needed(bench.stack, outputs)
        yield {
            "url": outputs["apiUrl"],
            "key": str(outputs["apiKey"]),
            "certificate": str(needed) if needed else None,
            "cluster": cluster,
            "topic": "load",
            "config": api.get(f"/apps/{name}/config-vars"),
        }
    finally:
        api.delete(f"/apps/{name}")


def _made(api: running.Api, cluster: str, topic: Mapping[str, Any]) -> bool:
    """Whether the cluster is there, and has the topic; which it gets."""
    try:
        names = [each["name"] for each in api.get(f"{cluster}/topics")["topics"]]
        if topic["name"] not in names:
            api.post(f"{cluster}/topics", {"topic": topic})
    except OSError:
        return False
    return True
