"""How long is waited before something is tried again."""

from datetime import UTC, datetime

import pytest

from dynoform.domain import log_drains, retries

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (1000, 60), (10**9, 60)]
)
def test_a_drain_is_waited_for_longer_each_time_half_of_it_by_chance(failures: int, longest: float) -> None:
    found = [log_drains.pause(failures) for _ in range(300)]
    assert longest / 2 <= min(found) < longest * 0.6
    assert longest * 0.9 < max(found) <= longest


@pytest.mark.parametrize(("failures", "longest"), [(0, 0.2), (1, 0.4), (4, 3.2), (5, 5), (10**9, 5)])
def test_what_failed_here_is_tried_again_within_five_seconds(failures: int, longest: float) -> None:
    found = [retries.pause(failures) for _ in range(300)]
    assert longest / 2 <= min(found) < longest * 0.6
    assert longest * 0.9 < max(found) <= longest


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("9" * 5000, 999_999_999),
        ("Thu, 26 Nov 2026 06:00:30 GMT", 30),
        ("Thu, 26 Nov 2026 05:00:00 GMT", 0),
        ("Thu, 26 Nov 2026 06:00:30 -0000", 30),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0665", None),
    ],
)
def test_a_server_says_how_long_it_wants_to_be_let_alone(said: str, seconds: float | None) -> None:
    assert retries.retry_after(said, NOW) == seconds


@pytest.mark.parametrize(("asked", "given"), [(None, 0), (0.0, 0), (7.0, 7), (300.0, 300), (86400.0, 300)])
def test_a_receiver_is_let_alone_for_five_minutes_at_most(asked: float | None, given: float) -> None:
    assert log_drains.patience(asked) == given
