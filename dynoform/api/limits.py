"""Limits on how often: Heroku's on calls, ours on wrong passwords. Token buckets, filled again as time goes by.

Kept in the memory of the one API process: a restart forgives, which costs nothing, and for the seconds in which an
update runs two of them the limit is twice as high.
"""

import threading
import time
import uuid
from collections.abc import Callable, Hashable

from dynoform.api.errors import ApiError

CAPACITY = 4500
PER_SECOND = 75 / 60
"""https://devcenter.heroku.com/articles/platform-api-reference#rate-limits."""
WRONG_PASSWORDS = 10
WRONG_PASSWORDS_OF_ADDRESS = 30
"""An address may be that of a whole office."""
_FORGIVEN_PER_SECOND = 1 / 60
_MAXIMUM_KEYS = 20_000


class Buckets:
    """A bucket of tokens for each key, full when it is first seen."""

    def __init__(self, capacity: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Buckets hold ``capacity`` and get ``per_second`` tokens; ``clock`` gives seconds that never go back."""
        self._capacity = capacity
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> int | None:
        """Take one token; returns how many are left, None when there was none."""
        with self._lock:
            tokens = self._tokens(key)
            allowed = tokens >= 1
            self._put(key, tokens - 1 if allowed else tokens)
        return int(tokens - 1) if allowed else None

    def give_back(self, key: Hashable) -> None:
        """Undo one ``take``."""
        with self._lock:
            self._put(key, min(self._capacity, self._tokens(key) + 1))

    def remaining(self, key: Hashable) -> int:
        """How many tokens there are."""
        with self._lock:
            return int(self._tokens(key))

    def clear(self) -> None:
        """Fill all buckets."""
        with self._lock:
            self._buckets.clear()

    def _tokens(self, key: Hashable) -> float:
        moment = self._clock()
        tokens, since = self._buckets.get(key, (float(self._capacity), moment))
        return min(self._capacity, tokens + (moment - since) * self._per_second)

    def _put(self, key: Hashable, tokens: float) -> None:
        self._buckets.pop(key, None)  # so that the first one is always the one unused for longest
        self._buckets[key] = (tokens, self._clock())
        if len(self._buckets) > _MAXIMUM_KEYS:
            del self._buckets[next(iter(self._buckets))]


class RateLimiter:
    """Heroku's limit on calls: a pool of 4,500 per account, 75 more each minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that never go back."""
        self._calls = Buckets(CAPACITY, PER_SECOND, clock)

    def take(self, account_id: uuid.UUID) -> int:
        """Count one call; returns how many are left. Raises ``ApiError`` 429 when there are none."""
        left = self._calls.take(account_id)
        if left is None:
            message = "Your account reached the API rate limit. Please wait a few minutes before making new requests"
            raise ApiError(429, "rate_limit", message, {"RateLimit-Remaining": "0", "Retry-After": "60"})
        return left

    def remaining(self, account_id: uuid.UUID) -> int:
        """How many calls are left; asking counts as none."""
        return self._calls.remaining(account_id)

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()


class SignInLimiter:
    """How many wrong passwords are heard: for an account, wherever they come from, and from an address, for all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that never go back."""
        self._accounts = Buckets(WRONG_PASSWORDS, _FORGIVEN_PER_SECOND, clock)
        self._addresses = Buckets(WRONG_PASSWORDS_OF_ADDRESS, _FORGIVEN_PER_SECOND, clock)

    def begin(self, email: str, address: str) -> None:
        """Count a password as wrong before it is looked at, so that many at once are counted too.

        Raises ``ApiError`` 429 when there were too many.
        """
        if self._addresses.take(address) is None or self._accounts.take(email) is None:
            message = (
                "Too many wrong passwords for this account or from this address. Wait some minutes, then try again"
            )
            raise ApiError(429, "rate_limit", message, {"Retry-After": "60"})

    def was_right(self, email: str, address: str) -> None:
        """Take the count back."""
        self._addresses.give_back(address)
        self._accounts.give_back(email)

    def clear(self) -> None:
        """Forget all."""
        self._addresses.clear()
        self._accounts.clear()
