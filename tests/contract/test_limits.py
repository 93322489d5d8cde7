"""Token buckets by a clock that the test turns."""

import uuid

import pytest

from dynoform.api import limits
from dynoform.api.errors import ApiError
from dynoform.api.limits import Buckets, RateLimiter, SignInLimiter

ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_account_has_4500_calls_and_75_more_each_minute() -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    assert [limiter.take(ANN) for _ in range(4500)] == list(range(4499, -1, -1))
    with pytest.raises(ApiError, match="Your account reached the API rate limit") as refused:
        limiter.take(ANN)
    assert (refused.value.status, refused.value.identifier) == (429, "rate_limit")
    assert limiter.take(BOB) == 4499
    clock.now += 60
    assert limiter.remaining(ANN) == 75
    clock.now += 24 * 3600
    assert limiter.remaining(ANN) == 4500


def test_wrong_passwords_are_forgiven_one_a_minute() -> None:
    clock = Clock()
    limiter = SignInLimiter(clock)
    for _ in range(limits.WRONG_PASSWORDS):
        limiter.begin("ann@example.com", "192.0.2.1")
    with pytest.raises(ApiError, match="Too many wrong passwords for this account or from this address"):
        limiter.begin("ann@example.com", "192.0.2.2")
    limiter.begin("bob@example.com", "192.0.2.1")
    clock.now += 60
    limiter.begin("ann@example.com", "192.0.2.2")
    limiter.was_right("ann@example.com", "192.0.2.2")
    limiter.begin("ann@example.com", "192.0.2.2")


def test_invented_keys_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAXIMUM_KEYS", 3)
    buckets = Buckets(2, 1, Clock())
    buckets.take("used")
    for number in range(3):
        buckets.take(number)
        buckets.take("used")
    assert buckets.remaining("used") == 0
    assert len(buckets._buckets) == 3
