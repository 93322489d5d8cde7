"""What is wrong with a host, and what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dynoform.domain.host_health import SILENT, Health, problem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1 << 30
WELL = Health(NOW - timedelta(seconds=19), "26.1.5", 100 * GIB, 40 * GIB)


def test_nothing_is_wrong_with_a_host_that_is_well_or_new() -> None:
    assert problem("open", WELL, NOW) is None
    assert problem("draining", WELL, NOW) is None
    assert problem("open", None, NOW) is None


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    silent = replace(WELL, reported_at=NOW - SILENT - timedelta(seconds=1))
    said = "its runtime agent has told nothing for 91 s — look at its log, docker service logs"
    assert problem("open", silent, NOW) == said
    said = "its Docker engine does not answer — look at the engine's log there, and start it"
    assert problem("open", replace(WELL, engine=""), NOW) == said
    full = replace(WELL, free_disk_bytes=GIB)
    said = "its disk is nearly full, 1024 MiB left — free some, dynos that write much are stopped"
    assert problem("open", full, NOW) == said
    said = "does not answer the swarm — bring it back, or take it out of the stack's settings"
    assert problem("lost", silent, NOW) == said
