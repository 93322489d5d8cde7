"""What the agent writes down in the store: dynos' ends, each once, and how its host is."""

import time
import uuid
from dataclasses import dataclass

from dynoform.domain.dyno_ends import End
from dynoform.run.connection import Connection

KEPT_DAYS = 7
_ENDED = """
    WITH added AS (
        INSERT INTO dyno_ends (container_id, app_id, dyno_id, name, host, exit_code, error, ended_at)
        SELECT %s, id, %s, %s, %s, %s, %s, %s FROM apps WHERE id = %s
        ON CONFLICT DO NOTHING RETURNING app_id
    )
    SELECT pg_notify('formation', app_id::text) FROM added
"""
_FORGET = "DELETE FROM dyno_ends WHERE host = %s AND ended_at < now() - make_interval(days => %s)"
_REPORT = """
    INSERT INTO host_reports (name, node_id, reported_at, engine, memory_bytes, free_memory_bytes, disk_bytes,
                              free_disk_bytes, load, dynos, events_until)
    VALUES (%s, %s, now(), %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE SET
        node_id = excluded.node_id, reported_at = excluded.reported_at, engine = excluded.engine,
        memory_bytes = excluded.memory_bytes, free_memory_bytes = excluded.free_memory_bytes,
        disk_bytes = excluded.disk_bytes, free_disk_bytes = excluded.free_disk_bytes,
        load = excluded.load, dynos = excluded.dynos,
        events_until = coalesce(%s::bigint, host_reports.events_until)
"""


@dataclass(frozen=True)
class Report:
    """How a host is: sizes in bytes, ``load`` as of the last minute."""

    node_id: str
    """Swarm's name for it; empty while the engine has not told."""
    engine: str
    """The engine's version; empty while it does not answer."""
    memory_bytes: int
    free_memory_bytes: int
    disk_bytes: int
    free_disk_bytes: int
    load: float
    dynos: int


class Ledger:
    """In the name of the connection's host. Calls raise what ``Connection``'s do."""

    def __init__(self, connection: Connection) -> None:
        """Knows nothing yet."""
        self._connection = connection

    async def ended(self, end: End) -> bool:
        """Write down an end, and wake the reconciler; whether it was not known, and its app is still there."""
        dyno = end.resident
        known = (dyno.container, dyno.id, dyno.name, self._connection.agent, end.code, end.error, end.at, dyno.app_id)
        return bool(await self._connection.execute(_ENDED, *known))

    async def measured(self, feature: str) -> frozenset[uuid.UUID]:
        """The apps that have turned this feature on."""
        query = "SELECT app_id FROM app_features WHERE name = %s AND enabled"
        return frozenset(row[0] for row in await self._connection.execute(query, feature))

    async def events_until(self) -> int | None:
        """Up to when this host's events were dealt with, in nanoseconds since 1970; None when none ever were."""
        query = "SELECT events_until FROM host_reports WHERE name = %s"
        rows = await self._connection.execute(query, self._connection.agent)
        return int(rows[0][0]) if rows else None

    async def report(self, report: Report, events_until: int | None) -> None:
        """Say how the host is, and that it is there; None leaves what was written of its events."""
        await self._connection.execute(
            _REPORT,
            self._connection.agent,
            report.node_id,
            report.engine,
            report.memory_bytes,
            report.free_memory_bytes,
            report.disk_bytes,
            report.free_disk_bytes,
            report.load,
            report.dynos,
            events_until or time.time_ns(),
            events_until,
        )
        await self._connection.execute(_FORGET, self._connection.agent, KEPT_DAYS)
