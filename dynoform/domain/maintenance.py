"""When databases are maintained: in their window, once it is due. Pure.

https://devcenter.heroku.com/articles/data-maintenance: a window is four hours of a week, in UTC.
"""

import re
from datetime import UTC, datetime, timedelta

from dynoform.domain.data_services import MAINTAINED_EVERY
from dynoform.errors import InvalidInputError

WINDOW = timedelta(hours=4)
WEEK_MINUTES = 7 * 24 * 60
POSTPONED_AT_MOST = timedelta(weeks=8)
"""After it is due: then it is required."""
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_TIME = re.compile(r"(\d{1,2}):(\d{2})\s*(am|pm)?")


def window(day: str, time: str) -> int:
    """The minute of a week, from Monday 00:00 UTC, at which a window opens: ``sunday``, ``13:30`` or ``1:30PM``.

    Raises ``InvalidInputError`` for what is no such day or time.
    """
    if day.lower() not in DAYS:
        raise InvalidInputError(f"Day of the week must be one of: {', '.join(DAYS)}")
    found = _TIME.fullmatch(time.strip().lower())
    hour, minute = (int(found[1]), int(found[2])) if found else (-1, -1)
    if found and found[3]:
        hour = -1 if not 1 <= hour <= 12 else hour % 12 + (12 if found[3] == "pm" else 0)
    if not 0 <= hour <= 23 or not 0 <= minute <= 59:
        raise InvalidInputError("Time of day must look like 13:30 or 1:30PM, and is in UTC")
    return DAYS.index(day.lower()) * 24 * 60 + hour * 60 + minute


def shown(opens: int | None) -> str:
    """A window as Heroku writes it: ``Tuesdays 22:00 to Wednesdays 02:00 UTC``."""
    if opens is None:
        return "any time"
    begins, ends = (_MONDAY + timedelta(minutes=each) for each in (opens, opens + WINDOW.seconds // 60))
    day = f"{ends:%A}s " if ends.weekday() != begins.weekday() else ""
    return f"{begins:%A}s {begins:%H:%M} to {day}{ends:%H:%M} UTC"


def minute_of_week(moment: datetime) -> int:
    """Minutes since Monday 00:00 UTC."""
    return int((moment - _MONDAY).total_seconds()) // 60 % WEEK_MINUTES


def scheduled(due: datetime, opens: int | None) -> datetime:
    """When what is ``due`` is done: at once within a window, else when it opens next."""
    if opens is None:
        return due
    since = (minute_of_week(due) - opens) % WEEK_MINUTES
    if since < WINDOW.seconds // 60:
        return due
    return due.replace(second=0, microsecond=0) + timedelta(minutes=WEEK_MINUTES - since)


def postponed(maintained: datetime, scheduled_for: datetime, weeks: str) -> datetime:
    """When it is due, if that is so many weeks after it was to be done; a minus brings it forward.

    Raises ``InvalidInputError`` for no number, and for a time after the last at which it may be.
    """
    if not re.fullmatch(r"-?\d{1,3}", weeks):
        raise InvalidInputError("delay_weeks must be a whole number")
    due, last = scheduled_for + timedelta(weeks=int(weeks)), required_by(maintained)
    if due > last:
        raise InvalidInputError(f"Maintenance is required by {last:%Y-%m-%d %H:%M} UTC: choose fewer weeks")
    return due


def required_by(maintained: datetime) -> datetime:
    """The last moment to which maintenance can be postponed."""
    return maintained + MAINTAINED_EVERY + POSTPONED_AT_MOST
