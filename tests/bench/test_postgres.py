"""A database's primary goes while rows are written: how long none is acknowledged, and how many of those are lost.

``bin/dynoform bench pg-outage``, ``pg-loss`` and ``pg-switchover`` make the database, and say in ``BENCH_POSTGRES``
where it is, how its primaries go, and how many of them.
"""

import json
import os
import time
from pathlib import Path

import docker
import pytest

from tests.acknowledged import Writer
from tests.standby import Servers

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1500)]
AFTER_SECONDS = 2.0


def test_primaries_that_go_under_load() -> None:
    told = json.loads(Path(os.environ["BENCH_POSTGRES"]).read_text())
    engine = docker.from_env(timeout=60)
    servers = Servers(engine, told["service"])
    with Writer(told["url"]) as writer:
        servers.wait(lambda: len(writer.acknowledged) > 500, 60, "rows are acknowledged")
        outages = [_goes(servers, writer, told["how"]) for _ in range(told["times"])]
        servers.wait_ready(120)
    found = writer.compare()
    engine.close()
    lost = len(found.lost) + len(found.stale)
    result = {"outages": outages, "lost": lost, "acknowledged": found.acknowledged}
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


def _goes(servers: Servers, writer: Writer, how: str) -> float:
    """The longest time in which nothing was acknowledged, of one that goes once the other one could take over."""
    servers.wait_ready(120)
    old, began = servers.primary(), time.monotonic()
    if how == "killed":
        with servers.killed(old):
            _taken_over(servers, writer, old)
    else:
        assert servers.ask(old, "switchover") is not None
        _taken_over(servers, writer, old)
    return writer.outage(began)


def _taken_over(servers: Servers, writer: Writer, old: int) -> None:
    servers.wait(lambda: servers.ask(3 - old, "primary") is not None, 60, "the other one is primary")
    at = time.monotonic()
    servers.wait(lambda: writer.goes_on(at), 60, "rows are acknowledged again")
    time.sleep(AFTER_SECONDS)
