"""How long to wait before the next try."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def pause(failures: int) -> float:
    """Seconds to wait after this many failures in a row (0 or more): doubling up to 5 s, half of it by chance."""
    ceiling: float = min(5.0, 0.2 * 2 ** min(failures, 10))
    return ceiling * half_by_chance()


def half_by_chance() -> float:
    """A factor of 0.5 to 1 for a wait: those who failed together do not try again together."""
    return 0.5 + random.random() / 2  # noqa: S311 - jitter, not a secret


def retry_after(said: str, now: datetime) -> float | None:
    """Seconds that a server asks to be let alone for (RFC 9110, 10.2.3), from either form of the header.

    ``now`` has a time zone; None when nothing, or nothing that can be understood, was said.
    """
    if said.isascii() and said.isdecimal():
        return float(said[:9])
    try:
        at = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
