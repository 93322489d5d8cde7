"""When databases are maintained."""

from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import maintenance
from dynoform.errors import InvalidInputError

TUESDAY_22 = (24 + 22) * 60


@pytest.mark.parametrize(
    ("day", "time", "minute", "shown"),
    [
        ("sunday", "13:30", (6 * 24 + 13) * 60 + 30, "Sundays 13:30 to 17:30 UTC"),
        ("Sunday", "1:30PM", (6 * 24 + 13) * 60 + 30, "Sundays 13:30 to 17:30 UTC"),
        ("tuesday", "22:00", TUESDAY_22, "Tuesdays 22:00 to Wednesdays 02:00 UTC"),
        ("monday", "12:00 am", 0, "Mondays 00:00 to 04:00 UTC"),
        ("sunday", "23:59", 7 * 24 * 60 - 1, "Sundays 23:59 to Mondays 03:59 UTC"),
    ],
)  # fmt: skip
def test_windows_are_four_hours_of_a_week(day: str, time: str, minute: int, shown: str) -> None:
    assert maintenance.window(day, time) == minute
    assert maintenance.shown(minute) == shown


@pytest.mark.parametrize(
    ("day", "time", "message"),
    [
        ("someday", "13:30", "Day of the week must be one of: monday, tuesday, "),
        ("sunday", "24:00", "Time of day must look like 13:30 or 1:30PM, and is in UTC"),
        ("sunday", "13:30PM", "Time of day must look like"),
        ("sunday", "noon", "Time of day must look like"),
    ],
)
def test_what_is_no_window_is_refused(day: str, time: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        maintenance.window(day, time)


@pytest.mark.parametrize(
    ("due", "then"),
    [
        (datetime(2026, 11, 24, 22, 0, tzinfo=UTC), datetime(2026, 11, 24, 22, 0, tzinfo=UTC)),
        (datetime(2026, 11, 25, 1, 59, 30, tzinfo=UTC), datetime(2026, 11, 25, 1, 59, 30, tzinfo=UTC)),
        (datetime(2026, 11, 25, 2, 0, tzinfo=UTC), datetime(2026, 12, 1, 22, 0, tzinfo=UTC)),
        (datetime(2026, 11, 24, 21, 59, 59, tzinfo=UTC), datetime(2026, 11, 24, 22, 0, tzinfo=UTC)),
    ],
)
def test_what_is_due_waits_for_its_window(due: datetime, then: datetime) -> None:
    assert maintenance.scheduled(due, TUESDAY_22) == then
    assert maintenance.scheduled(due, None) == due
    assert maintenance.shown(None) == "any time"


def test_maintenance_is_put_off_for_some_weeks_and_not_for_ever() -> None:
    maintained = datetime(2026, 11, 1, tzinfo=UTC)
    scheduled = maintained + timedelta(days=30)
    assert maintenance.postponed(maintained, scheduled, "2") == scheduled + timedelta(weeks=2)
    assert maintenance.postponed(maintained, scheduled, "-2") == scheduled - timedelta(weeks=2)
    with pytest.raises(InvalidInputError, match="Maintenance is required by 2027-01-26 00:00 UTC: choose fewer weeks"):
        maintenance.postponed(maintained, scheduled, "9")
    with pytest.raises(InvalidInputError, match="delay_weeks must be a whole number"):
        maintenance.postponed(maintained, scheduled, "1.5")
