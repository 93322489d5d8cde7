"""Measurements of the Platform API with many apps in the store."""

import statistics
import time

from dynoform.cli import running
from dynoform.cli.bench.measure import Bench

APPS = 1000
CALLS = 300
LISTS = 10
EVERY_APP = {"Range": f"id ..; max={APPS}"}


def app_info(bench: Bench) -> float:
    """The 99th percentile of ``GET /apps/{app}``, one call after the other on one connection, in milliseconds."""
    client = bench.api()
    names = _thousand(client)
    times = [_milliseconds(client, f"/apps/{names[number % APPS]}") for number in range(CALLS)]
    return statistics.quantiles(times, n=100)[98]


def app_list(bench: Bench) -> float:
    """The median of ``GET /apps`` with all of them on one page, in milliseconds."""
    client = bench.api()
    _thousand(client)
    return statistics.median(_milliseconds(client, "/apps", EVERY_APP) for _ in range(LISTS))


def _thousand(client: running.Api) -> list[str]:
    """Names of as many apps as are wanted; makes those that are missing, which go with the stack."""
    names = [str(app["name"]) for app in client.get("/apps", EVERY_APP)]
    while len(names) < APPS:
        names.append(str(client.post("/apps", {})["name"]))
    return names


def _milliseconds(client: running.Api, path: str, headers: dict[str, str] | None = None) -> float:
    began = time.perf_counter()
    client.get(path, headers)
    return (time.perf_counter() - began) * 1000
