"""How much a database may have: warned, a week, then INSERT is revoked until there is less."""

from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import data_limits
from dynoform.domain.data_limits import ABOVE, CLOSE, COMPLIES, REVOKED, Usage
from dynoform.domain.data_services import GIB, MIB

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("plan", "used", "over_for", "standing"),
    [
        ("essential-0", 0.5, None, COMPLIES),
        ("essential-0", 0.91, None, CLOSE),
        ("essential-0", 1.0, timedelta(days=9), CLOSE),
        ("essential-0", 1.1, None, ABOVE),
        ("essential-0", 1.1, timedelta(days=6, hours=23), ABOVE),
        ("essential-0", 1.1, timedelta(days=7), REVOKED),
        ("essential-0", 2.1, None, REVOKED),
        ("standard-0", 3.0, timedelta(days=9), CLOSE),
    ],
)
def test_writing_ends_after_a_week_or_at_twice_the_limit(
    plan: str, used: float, over_for: timedelta | None, standing: str
) -> None:
    before = {"standing": ABOVE, "over_since": (NOW - over_for).isoformat()} if over_for else None
    found = data_limits.usage(plan, GIB, int(used * GIB), before, NOW)
    assert (found.standing, found.revoked) == (standing, standing == REVOKED)
    kept = data_limits.kept(found)
    assert data_limits.usage(plan, GIB, int(used * GIB), kept, NOW) == found, "again: the same"


@pytest.mark.parametrize(
    ("was", "found", "used", "line"),
    [
        (None, Usage(COMPLIES), 1, None),
        (CLOSE, Usage(CLOSE), 950, None),
        (None, Usage(CLOSE), 950, "950.0 MB of 1.0 GB, close to its limit"),
        (CLOSE, Usage(ABOVE, NOW), 1536, "1.5 GB of 1.0 GB, INSERT will be revoked at 2026-12-03 12:00 UTC"),
        (
            ABOVE,
            Usage(REVOKED, NOW),
            1536,
            "1.5 GB of 1.0 GB, INSERT is revoked until it has less: delete rows and vacuum, or change to a larger plan",
        ),
        (REVOKED, Usage(COMPLIES), 512, "512.0 MB of 1.0 GB, within its limit again; INSERT is granted again"),
        (REVOKED, Usage(CLOSE), 950, "950.0 MB of 1.0 GB, close to its limit; INSERT is granted again"),
    ],
)
def test_each_standing_is_told_when_it_begins(was: str | None, found: Usage, used: int, line: str | None) -> None:
    told = data_limits.lines("pg-1", {"standing": was} if was else None, found, used * MIB, GIB)
    assert told == (() if line is None else (f"source=pg-1 Data size: {line}",))


def test_as_much_wal_may_wait_as_there_may_be_data_within_reason() -> None:
    assert data_limits.queue_bytes(64 * MIB) == GIB
    assert data_limits.queue_bytes(10 * GIB) == 10 * GIB
    assert data_limits.queue_bytes(1024 * GIB) == 32 * GIB
