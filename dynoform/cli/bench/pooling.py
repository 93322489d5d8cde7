"""The measurement of PostgreSQL's connection pool: what many clients on few connections get done."""

import re
import time
from contextlib import suppress
from urllib.parse import urlsplit

from dynoform.cli.bench import postgres
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.errors import DynoformError

PLAN = "heroku-postgresql:standard-0"
CLIENTS, CONNECTIONS = 1000, 20
SCALE = 20
"""Of pgbench's tables: 300 MB."""
SECONDS, WAIT_SECONDS = 30, 300
_CONFIG = "DATABASE_CONNECTION_POOL_URL"
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_TOLD = "/tmp/pool/pgbouncer.ini"  # noqa: S108 - of the pool's own container
_NARROW = f"sed -i 's/^max_db_connections = .*/max_db_connections = {CONNECTIONS}/' {_TOLD} && kill -HUP 1"


def rate(bench: Bench) -> Taken:
    """Transactions/s of as many clients as there are connections, straight to the server, of a pool's with many more.

    pgbench's usual transactions; in the parts also those that only read, where the pool and pgbench, and not the disk,
    are what there is to wait for. The client is in the server's container: all of them share this machine. So the parts
    have as few clients by the pool, too: what is between them and the many is what the many cost the client.
    """
    with postgres.database(bench, PLAN) as told:
        server, pool = told["url"], _pooled(bench, told["app"])
        _pgbench(bench, told["service"], server, ["--quiet", "--initialize", f"--scale={SCALE}"])
        postgres.inside(bench, f"{told['service']}-pool", ["sh", "-c", _NARROW])
        rates = {
            f"{kind}, {where} [1/s]": _rate(bench, told["service"], url, [f"--client={clients}", *more])
            for kind, more in {"writing": [], "reading": ["--select-only"]}.items()
            for where, clients, url in (
                ("direct", CONNECTIONS, server),
                ("by the pool", CLIENTS, pool),
                (f"{CONNECTIONS} by the pool", CONNECTIONS, pool),
            )
        }
    return Taken(100 * rates["writing, direct [1/s]"] / rates["writing, by the pool [1/s]"], rates)


def _pooled(bench: Bench, app: str) -> str:
    """The address of the connection pool of an app's database, which gets one."""
    api = bench.api()
    addon = next(iter(api.get(f"/apps/{app}/addons")))["id"]
    with suppress(OSError):  # it answers once there is something to say, which may be later than we listen
        api.post(f"/client/v11/databases/{addon}/connection-pooling", {"app": app})
    deadline = time.monotonic() + WAIT_SECONDS
    while not (url := api.get(f"/apps/{app}/config-vars").get(_CONFIG)):
        if time.monotonic() > deadline:
            raise DynoformError(app, f"has no pool after {WAIT_SECONDS} s", "see bin/dynoform status")
        time.sleep(0.5)
    return str(url)


def _rate(bench: Bench, service: str, url: str, more: list[str]) -> float:
    said = _pgbench(bench, service, url, ["--jobs=2", f"--time={SECONDS}", *more])
    found = _RATE.search(said)
    if found is None:
        raise DynoformError("pgbench", said[-300:], "look at the server's log")
    return float(found[1])


def _pgbench(bench: Bench, service: str, url: str, words: list[str]) -> str:
    to = urlsplit(url)
    target = [f"--host={to.hostname}", f"--port={to.port}", f"--username={to.username}", to.path[1:]]
    known = {"PGPASSWORD": str(to.password), "PGSSLMODE": "require"}
    return postgres.inside(bench, service, ["pgbench", *words, *target], known)
