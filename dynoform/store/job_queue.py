"""The queue of durable work by the database driver alone, for processes that have no object mapper (yet).

Which job is whose turn is said here once; ``dynoform.store.jobs`` asks the same.
"""

import os
import socket
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dynoform.domain import jobs
from dynoform.domain.jobs import Kind


@dataclass(frozen=True)
class Claim:
    """A job that this process works on, as it was when taken. ``attempt`` counts from 1."""

    id: uuid.UUID
    """Id of what the job is about: a build, a release."""
    kind: Kind
    app_id: uuid.UUID
    number: int
    """Place in the app's queue."""
    attempt: int
    started_at: datetime | None
    """When an earlier attempt began what must not be done twice."""
    holder: str


_FREE = "(j.lease_expires_at IS NULL OR j.lease_expires_at < now())"
_FIRST = "NOT EXISTS (SELECT FROM jobs o WHERE o.app_id = j.app_id AND o.number < j.number)"
# What has begun on a host goes on there, as long as builders there can be expected.
_HERE = f"""
    (j.started_at IS NULL OR j.host IS NULL OR j.host = %(host)s
     OR j.lease_expires_at < now() - interval '{jobs.LOST_SECONDS} seconds')
"""
_LAST = """
    LEFT JOIN LATERAL (
        SELECT b.updated_at, b.host FROM builds b
        WHERE b.app_id = j.app_id AND b.status <> 'pending' ORDER BY b.created_at DESC LIMIT 1
    ) last ON true
"""
_TURN = "GREATEST(j.created_at, last.updated_at)"  # of what is not there, PostgreSQL takes no notice
# An app's cache is where it was built last: that host comes first, for a moment.
_NEAR = f"""
    (j.kind <> 'build' OR j.attempts > 0 OR last.host IS NULL OR last.host = %(host)s
     OR {_TURN} < now() - interval '{jobs.NEAR_SECONDS} seconds')
"""
WAITS = f"SELECT EXISTS (SELECT FROM jobs j {_LAST} WHERE {_FREE} AND {_FIRST} AND {_HERE} AND {_NEAR})"  # noqa: S608
"""Is there a job that a builder on ``host`` may take?"""
TAKE = f"""
    WITH taken AS (
        UPDATE jobs SET attempts = attempts + 1, lease_holder = %(holder)s, host = %(host)s,
            lease_expires_at = now() + interval '{jobs.LEASE_SECONDS} seconds'
        WHERE id = (
            SELECT j.id FROM jobs j {_LAST}
            WHERE j.kind = ANY(%(kinds)s) AND {_FREE} AND {_FIRST} AND {_HERE} AND {_NEAR}
            ORDER BY {_TURN}, j.number LIMIT 1 FOR UPDATE OF j SKIP LOCKED
        )
        RETURNING id, kind, app_id, number, attempts, started_at, lease_holder
    ), noted AS (
        UPDATE builds SET host = %(host)s FROM taken WHERE builds.id = taken.id AND taken.kind = 'build'
    )
    SELECT * FROM taken
"""  # noqa: S608
"""Takes one for ``holder``: of those of some ``kinds``, the one whose turn came first."""


def name() -> str:
    """What this process is called as a holder of jobs."""
    return f"{socket.gethostname()}:{os.getpid()}"


def parameters(holder: str, host: str, kinds: Collection[Kind]) -> dict[str, Any]:
    """Those of ``TAKE``: each time under a name of its own, as a job that queues itself again may be taken by a second
    thread of a process while the first one still leaves.
    """
    return {"holder": f"{holder}:{uuid.uuid4().hex[:8]}", "host": host, "kinds": [str(kind) for kind in kinds]}


def claim(row: tuple[Any, ...]) -> Claim:
    """What ``TAKE`` answers."""
    identifier, kind, app_id, number, attempts, started_at, holder = row
    return Claim(identifier, Kind(kind), app_id, number, attempts, started_at, holder)
