"""How long to wait before the next try."""

import random


def pause(failures: int) -> float:
    """Seconds to wait after this many failures in a row (0 or more): doubling up to 5 s, half of it by chance."""
    ceiling: float = min(5.0, 0.2 * 2 ** min(failures, 10))
    return ceiling * half_by_chance()


def half_by_chance() -> float:
    """A factor of 0.5 to 1 for a wait: those who failed together do not try again together."""
    return 0.5 + random.random() / 2  # noqa: S311 - jitter, not a secret
