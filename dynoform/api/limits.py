"""Heroku's rate limit: 4,500 calls an hour per account, refilled by 75 a minute.

Kept in the memory of the one API process: a restart forgives, which costs nothing.
"""

import threading
import time
import uuid
from collections.abc import Callable

from dynoform.api.errors import ApiError

CAPACITY = 4500
PER_SECOND = 75 / 60


class RateLimiter:
    """A token bucket per account."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that never go back."""
        self._clock = clock
        self._buckets: dict[uuid.UUID, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, account_id: uuid.UUID) -> int:
        """Count one call; returns how many are left. Raises ``ApiError`` 429 when there are none."""
        with self._lock:
            moment = self._clock()
            tokens, since = self._buckets.get(account_id, (float(CAPACITY), moment))
            tokens = min(CAPACITY, tokens + (moment - since) * PER_SECOND)
            allowed = tokens >= 1
            self._buckets[account_id] = (tokens - 1 if allowed else tokens, moment)
        if not allowed:
            message = "Your account reached the API rate limit. Please wait a few minutes before making new requests"
            raise ApiError(429, "rate_limit", message, {"RateLimit-Remaining": "0", "Retry-After": "60"})
        return int(tokens - 1)
