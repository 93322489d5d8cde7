"""The measurement of a rollback: a database is had again as it was at a second, against copying its files."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dynoform.cli.bench import postgres
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.errors import DynoformError

PLAN = "heroku-postgresql:standard-0"
SECONDS = 1800
_FILL = """CREATE TABLE filled AS SELECT number, (SELECT string_agg(encode(sha512((random()::text || part)::bytea),
    'hex'), '') FROM generate_series(number, number + 6) AS part) AS text
    FROM generate_series(1, 5240000) AS number"""
"""5 GB in rows of somewhat less than a kilobyte, which does not compress to much less than half of that."""
_SETTLE = "VACUUM (FREEZE) filled"
"""As the server would by itself, meanwhile."""
_WRITE = """DO $$ BEGIN FOR number IN 1..60 LOOP INSERT INTO written VALUES (clock_timestamp()); COMMIT;
    PERFORM pg_sleep(0.1); END LOOP; END $$"""
_WRITTEN = "CREATE TABLE written (at timestamptz)"
_SECOND = "CREATE VIEW second AS SELECT date_trunc('second', min(at)) + interval '3 s' AS at FROM written"
_EXPECTED = "SELECT count(*), 0 FROM written, second WHERE written.at <= second.at"
_FOUND = "SELECT count(*), count(*) FILTER (WHERE written.at > second.at) FROM written, second"
"""The same where all rows are there that were at that second, and no later one."""
_HOME = "/var/lib/postgresql"
_COPY = f"cp -r {_HOME}/17 {_HOME}/copied && sync --file-system {_HOME}/copied"


def of_copy(bench: Bench) -> Taken:
    """Seconds of a rollback of 5 GB, from asking for it until the new database is in use, of those of a copy.

    The copy is of the server's files, on the same disk, until they are on it. Raises ``DynoformError`` where the new
    database has another row than was there at that second, or one less.
    """
    with postgres.database(bench, PLAN) as told:
        service = told["service"]
        for each in (_FILL, _SETTLE):
            _sql(bench, told, each)
        _protect(bench, service, "archive")
        _protect(bench, service, "backup", "full")
        for each in (_WRITTEN, _SECOND, _WRITE):
            _sql(bench, told, each)
        second = _sql(bench, told, "SELECT at FROM second")
        expected = _sql(bench, told, _EXPECTED)
        _protect(bench, service, "archive")
        size = int(_sql(bench, told, "SELECT pg_database_size(current_database())")) / 2**30
        copied = _copy(bench, service)
        options = {"rollback": "DATABASE_URL", "to": second}
        back = postgres.add(bench, told["app"], PLAN, "BACK", options)
        found = _sql(bench, back, _FOUND)
    if found != expected:
        why = f"has {found} rows and later ones, not {expected}, as of {second}"
        raise DynoformError("the database that was had again", why, "look at its server's log")
    return Taken(
        100 * back["seconds"] / copied, {"rollback [s]": back["seconds"], "copy [s]": copied, "data [GiB]": size}
    )


def _sql(bench: Bench, told: Mapping[str, Any], text: str) -> str:
    name = told["url"].rpartition("/")[2]
    words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", "SET timezone = 'UTC'", "-c", text]
    return postgres.inside(bench, told["service"], words).strip()


def _copy(bench: Bench, service: str) -> float:
    """Seconds."""
    began = time.monotonic()
    postgres.inside(bench, service, ["sh", "-c", _COPY])
    copied = time.monotonic() - began
    postgres.inside(bench, service, ["rm", "-r", f"{_HOME}/copied"])
    return copied


def _protect(bench: Bench, service: str, *words: str) -> None:
    """Have the repository take what there is, however often that has to be asked for."""
    ends = time.monotonic() + SECONDS
    while True:
        with suppress(DynoformError):
            postgres.inside(bench, service, ["/opt/dynoform/protect", *words])
            return
        if time.monotonic() > ends:
            raise DynoformError(f"protect {words[0]}", f"has not worked for {SECONDS} s", "look at the server's log")
        time.sleep(1)
