"""The primary of a Redis with HA is killed while clients write: how long nothing is acknowledged, what is lost.

``bin/dynoform bench redis-failover`` makes the Redis, and says in the file ``BENCH_REDIS`` where it is.
"""

import json
import os
import ssl
import time
from pathlib import Path

import docker
import pytest

from tests.redis_client import writing
from tests.redis_group import Group

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]
BEFORE, AFTER = 5.0, 10.0


def test_a_primary_killed_under_writers() -> None:
    told = json.loads(Path(os.environ["BENCH_REDIS"]).read_text())
    url, trust = told["url"], ssl.create_default_context(cafile=told["certificate"])
    engine = docker.from_env(timeout=30)
    group = Group(engine, told["service"])
    group.wait()
    with writing(url, trust, "plain") as plain, writing(url, trust, "safe", waits=True) as safe:
        time.sleep(BEFORE)
        primary, moment = group.primary(), time.monotonic()
        primary.container.kill()
        time.sleep(AFTER)
    group.wait()
    (lost, twice), (safe_lost, safe_twice) = (each.compare(url, trust) for each in (plain, safe))
    engine.close()
    result = {
        "outage": plain.outage(moment),
        "outage_waiting": safe.outage(moment),
        "acknowledged": len(plain.acknowledged),
        "lost": lost,
        "lost_waiting": safe_lost,
    }
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))
    assert twice == safe_twice == 0
