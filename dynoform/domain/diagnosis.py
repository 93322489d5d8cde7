"""What ``pg:diagnose`` makes of what a PostgreSQL says of itself: checks that are green, yellow or red. Pure.

https://devcenter.heroku.com/articles/heroku-postgres-performance-analytics#pg-diagnose
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

GREEN, YELLOW, RED = "green", "yellow", "red"
Rows = Sequence[Mapping[str, Any]]


class Checked(TypedDict):
    """A check as reports have it."""

    name: str
    results: list[dict[str, Any]]
    status: str


@dataclass(frozen=True)
class Check:
    """A check: its query answers with what is worth a look, ``red`` says of a row whether it is bad.

    Parameters:
        key: name of its rows among what the server says.
        red: the row's value from which on it is bad, by the value's name; none where nothing is worse than yellow.
    """

    key: str
    name: str
    red: tuple[str, float] | None = None


CHECKS = (
    Check("connections", "Connection Count", ("percent", 90)),
    Check("long_queries", "Long Queries", ("seconds", 300)),
    Check("long_transactions", "Long Transactions", ("seconds", 300)),
    Check("idle", "Idle in Transaction", ("seconds", 300)),
    Check("indexes", "Indexes"),
    Check("bloat", "Bloat", ("percent", 90)),
    Check("hit_rate", "Hit Rate", ("misses_percent", 10)),
    Check("blocking", "Blocking Queries", ("seconds", 60)),
    Check("sequences", "Sequences", ("percent", 90)),
    Check("unlogged", "Unlogged Tables"),
    Check("table_ids", "Table Transaction ID Wraparound", ("percent", 75)),
    Check("database_ids", "Database Transaction ID Wraparound", ("percent", 75)),
    Check("schemas", "Schema Count", ("schemas", 1000)),
)
"""In the order of Heroku's; Load and CPU Burst are of hosts, which metrics tell of."""


def checks(said: Mapping[str, Rows]) -> list[Checked]:
    """The checks of a report, from the rows of each: without any it is well."""
    return [
        {"name": each.name, "status": _status(each, rows), "results": [dict(row) for row in rows]}
        for each in CHECKS
        for rows in [said.get(each.key) or ()]
    ]


def _status(check: Check, rows: Rows) -> str:
    if not rows:
        return GREEN
    if check.red and any(float(row.get(check.red[0]) or 0) >= check.red[1] for row in rows):
        return RED
    return YELLOW
