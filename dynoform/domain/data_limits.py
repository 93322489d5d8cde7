"""What a database may have on its disk: when its users are warned, and when they may write no more. Pure.

As Heroku does for essential plans (https://devcenter.heroku.com/articles/heroku-postgres-plans): a warning, then a
week, then ``INSERT`` is revoked until there is less again; what is there can be read, changed and deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dynoform.domain.data_services import MIB, size

WARNED_AT = 0.9
"""Part of a plan's disk at which its users are warned."""
GRACE = timedelta(days=7)
"""How long a database may have more than its plan says."""
AT_ONCE = 2.0
"""How much more than a plan's disk it may have for that time; above, writing ends at once."""
_ENFORCED = "essential"
_LEAST_QUEUE, _MOST_QUEUE = 1024 * MIB, 32 * 1024 * MIB

COMPLIES = "In compliance"
CLOSE = "In compliance, close to the limit"
ABOVE = "Above limits, access disruption imminent"
REVOKED = "Above limits, write access revoked"


@dataclass(frozen=True)
class Usage:
    """How a database stands: what it is called in ``pg:info``, and since when it has had too much."""

    standing: str
    over_since: datetime | None = None

    @property
    def revoked(self) -> bool:
        """Whether nobody may insert."""
        return self.standing == REVOKED


def queue_bytes(disk_bytes: int) -> int:
    """How much WAL may wait for a repository that takes none, before it is dropped: as much as there may be data."""
    return min(max(disk_bytes, _LEAST_QUEUE), _MOST_QUEUE)


def usage(plan: str, disk_bytes: int, used: int, before: Mapping[str, Any] | None, now: datetime) -> Usage:
    """How a database of ``used`` bytes stands; ``before`` is what was kept of the last look, by ``kept``."""
    if used <= disk_bytes or not plan.startswith(_ENFORCED):
        return Usage(CLOSE if used > WARNED_AT * disk_bytes else COMPLIES)
    since = (before or {}).get("over_since")
    first = datetime.fromisoformat(since) if since else now
    revoked = used > AT_ONCE * disk_bytes or now - first >= GRACE
    return Usage(REVOKED if revoked else ABOVE, first)


def kept(found: Usage) -> dict[str, Any]:
    """What is kept of a look."""
    return {
        "standing": found.standing,
        "over_since": found.over_since.isoformat() if found.over_since else None,
    }


def lines(addon: str, before: Mapping[str, Any] | None, found: Usage, used: int, disk_bytes: int) -> Sequence[str]:
    """What the app's log is told: each standing when it begins."""
    was = (before or {}).get("standing") or COMPLIES
    if found.standing == was:
        return ()
    share = f"{size(used)} of {size(disk_bytes)}"
    if found.standing == REVOKED:
        more = "INSERT is revoked until it has less: delete rows and vacuum, or change to a larger plan"
    elif found.standing == ABOVE and found.over_since:
        more = f"INSERT will be revoked at {(found.over_since + GRACE).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    elif found.standing == CLOSE:
        more = "close to its limit"
    else:
        more = "within its limit again"
    if was == REVOKED:
        more += "; INSERT is granted again"
    return (f"source={addon} Data size: {share}, {more}",)
