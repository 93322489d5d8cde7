"""How a host is, by what its runtime agent last told and how the swarm sees it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dynoform.domain import disk

LOST = "lost"
"""State of a host that does not answer the swarm."""
SILENT = timedelta(seconds=90)
"""Agents tell every 20 s."""
_MIB = 1 << 20


@dataclass(frozen=True)
class Health:
    """What an agent told of its host, and when."""

    reported_at: datetime
    engine: str
    """The engine's version; empty while it does not answer."""
    disk_bytes: int
    free_disk_bytes: int


def problem(state: str, health: Health | None, now: datetime) -> str | None:
    """What is wrong with a host in this state, and what to do; None when nothing is.

    A host whose agent has told nothing yet is new, or has none: the agent's own service says so.
    """
    if state == LOST:
        return "does not answer the swarm — bring it back, or take it out of the stack's settings"
    if health is None:
        return None
    if now - health.reported_at > SILENT:
        seconds = (now - health.reported_at).total_seconds()
        return f"its runtime agent has told nothing for {seconds:.0f} s — look at its log, docker service logs"
    if not health.engine:
        return "its Docker engine does not answer — look at the engine's log there, and start it"
    if disk.is_short(health.free_disk_bytes, health.disk_bytes):
        left = health.free_disk_bytes // _MIB
        return f"its disk is nearly full, {left} MiB left — free some, dynos that write much are stopped"
    return None
