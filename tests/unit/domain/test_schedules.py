"""When scheduled jobs run."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynoform.domain import schedules
from dynoform.domain.schedules import Due, Frequency
from dynoform.errors import InvalidInputError

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
TEXTS = st.one_of(
    st.just("every_ten_minutes"),
    st.integers(0, 59).map("every_hour_at_{}".format),
    st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda time: f"every_day_at_{time[0]}:{time[1]:02}"),
)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}:00+00:00")


@pytest.mark.parametrize(
    ("text", "now", "upcoming"),
    [
        ("every_ten_minutes", "26T12:00", "26T12:10"),
        ("every_ten_minutes", "26T12:09", "26T12:10"),
        ("every_ten_minutes", "26T23:55", "27T00:00"),
        ("every_hour_at_0", "26T12:00", "26T13:00"),
        ("every_hour_at_05", "26T12:04", "26T12:05"),
        ("every_hour_at_59", "26T12:59", "26T13:59"),
        ("every_day_at_0:00", "26T00:00", "27T00:00"),
        ("every_day_at_5:30", "26T05:29", "26T05:30"),
        ("every_day_at_05:30", "26T05:30", "27T05:30"),
        ("every_day_at_23:59", "26T12:00", "26T23:59"),
    ],
)
def test_a_job_is_next_due_at(text: str, now: str, upcoming: str) -> None:
    assert schedules.parse(text).next(moment(now)) == moment(upcoming)


@pytest.mark.parametrize(
    "text",
    ["", "every_minute", "every_hour", "every_hour_at_60", "every_day_at_24:00", "every_day_at_5:3", "every_hour_at_-1",
     "every_ten_minutes ", "Every_ten_minutes", "every_day_at_5:300"],
)  # fmt: skip
def test_other_frequencies_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        schedules.parse(text)
    assert str(caught.value) == (
        f"Frequency {text!r} is none of every_ten_minutes, every_hour_at_MM and every_day_at_HH:MM (in UTC)"
    )


@given(TEXTS, MOMENTS)
def test_the_next_moment_is_the_first_one_after(text: str, now: datetime) -> None:
    frequency = schedules.parse(text)
    upcoming = frequency.next(now)
    assert now < upcoming <= now + frequency.period
    assert frequency.latest(upcoming) == upcoming
    assert frequency.latest(upcoming - timedelta(microseconds=1)) == upcoming - frequency.period


@given(TEXTS, MOMENTS, st.lists(st.integers(-200_000, 200_000), min_size=1, max_size=30))
def test_however_the_clock_goes_no_moment_is_run_twice_and_each_is_run_or_told(
    text: str, start: datetime, steps: list[int]
) -> None:
    frequency = schedules.parse(text)
    first = awaited = frequency.next(start)
    run: list[datetime] = []
    missed = 0
    clock = start
    for step in steps:
        clock += timedelta(seconds=step)
        found = schedules.due(frequency, awaited, clock)
        if found is None:
            assert clock < awaited
            continue
        run.append(found.moment)
        missed += found.missed
        awaited = found.next
        assert found.moment <= clock < awaited
    assert run == sorted(set(run))
    assert len(run) + missed == (awaited - first) // frequency.period


TEN = Frequency(timedelta(minutes=10))


def test_a_run_in_time_is_not_remarked() -> None:
    found = schedules.due(TEN, moment("26T12:10"), moment("26T12:10"))
    assert found == Due(moment("26T12:10"), 0, moment("26T12:10"), moment("26T12:20"))
    assert schedules.lines("rake x", found, TEN, moment("26T12:10")) == []
    assert schedules.due(TEN, moment("26T12:10"), moment("26T12:09")) is None


@pytest.mark.parametrize(
    ("now", "missed"),
    [
        ("26T12:15", None),
        ("26T12:25", "Missed 1 run of `rake x`, due 2026-11-26T12:10:00Z: the platform was away"),
        (
            "26T13:05",
            "Missed 5 runs of `rake x`, due 2026-11-26T12:10:00Z to 2026-11-26T12:50:00Z: the platform was away",
        ),
    ],
)
def test_what_was_missed_is_told_and_the_newest_runs_late(now: str, missed: str | None) -> None:
    found = schedules.due(TEN, moment("26T12:10"), moment(now))
    assert found is not None
    assert found.next == TEN.next(moment(now))
    late = f"Starting the run of `rake x` due 2026-11-{now[:-1]}0:00Z 5 min late"
    assert schedules.lines("rake x", found, TEN, moment(now)) == [*([missed] if missed else []), late]


def test_an_app_has_room_for_a_hundred_jobs() -> None:
    schedules.check_room(99)
    with pytest.raises(InvalidInputError, match=r"An app can have up to 100 scheduled jobs\. Delete"):
        schedules.check_room(100)
