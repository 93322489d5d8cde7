"""When scheduled jobs run, as with the add-on Heroku Scheduler (https://devcenter.heroku.com/articles/scheduler).

Frequencies are Heroku's, for any minute. All is in UTC, so that no daylight saving repeats or leaves out an hour, and a
job goes from one due moment to a later one alone: a clock that is set back makes it wait, and run nothing twice.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dynoform.domain import times
from dynoform.errors import InvalidInputError

TYPE = "scheduler"
"""Of the one-off dynos: ``scheduler.1234``."""
EMAIL = "scheduler@addons.heroku.com"
"""Who runs the commands, as Heroku's log has it."""
MOST = 100
"""Jobs of one app."""
LATE = timedelta(minutes=1)
"""A run that begins so long after its moment is told to be late."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOURLY = re.compile(r"every_hour_at_([0-5]?\d)")
_DAILY = re.compile(r"every_day_at_([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class Frequency:
    """Every ``period``, ``offset`` after it begins, counted from midnight UTC."""

    period: timedelta
    offset: timedelta = timedelta(0)

    def latest(self, moment: datetime) -> datetime:
        """The newest due moment that is not after ``moment``."""
        return _EPOCH + self.offset + (moment - _EPOCH - self.offset) // self.period * self.period

    def next(self, moment: datetime) -> datetime:
        """The first due moment after ``moment``."""
        return self.latest(moment) + self.period


@dataclass(frozen=True)
class Due:
    """What is to be done about a job whose moment has come."""

    moment: datetime
    """The run that is to be begun is the one of this moment."""
    missed: int
    """How many earlier ones nobody began, and nobody will."""
    missed_from: datetime
    next: datetime
    """When the job is due again."""


def parse(text: str) -> Frequency:
    """The frequency in Heroku's words: ``every_ten_minutes``, ``every_hour_at_30``, ``every_day_at_5:30``.

    Raises ``InvalidInputError`` for anything else.
    """
    if text == "every_ten_minutes":
        return Frequency(timedelta(minutes=10))
    if match := _HOURLY.fullmatch(text):
        return Frequency(timedelta(hours=1), timedelta(minutes=int(match[1])))
    if match := _DAILY.fullmatch(text):
        return Frequency(timedelta(days=1), timedelta(hours=int(match[1]), minutes=int(match[2])))
    raise InvalidInputError(
        f"Frequency {text[:40]!r} is none of every_ten_minutes, every_hour_at_MM and every_day_at_HH:MM (in UTC)"
    )


def due(frequency: Frequency, awaited: datetime, now: datetime) -> Due | None:
    """What a job whose next run is ``awaited`` has to do ``now``; None while its moment has not come.

    Of runs that nobody began in time, the platform having been away, the newest begins late and the others are missed.
    """
    if now < awaited:
        return None
    moment = max(awaited, frequency.latest(now))
    return Due(moment, (moment - awaited) // frequency.period, awaited, moment + frequency.period)


def lines(command: str, found: Due, frequency: Frequency, now: datetime) -> list[str]:
    """What the app's log is told of runs that were missed, and of one that is late; nothing when all is well."""
    said = []
    if found.missed:
        last = found.moment - frequency.period
        span = times.shown(found.missed_from) + (f" to {times.shown(last)}" if found.missed > 1 else "")
        said.append(f"Missed {_runs(found.missed)} of `{command}`, due {span}: the platform was away")
    if now - found.moment >= LATE:
        minutes = (now - found.moment) // timedelta(minutes=1)
        said.append(f"Starting the run of `{command}` due {times.shown(found.moment)} {minutes} min late")
    return said


def skipped(command: str, moment: datetime, reason: str) -> str:
    """What the app's log is told of a run that cannot be."""
    return f"Skipped the run of `{command}` due {times.shown(moment)}: {reason}"


def scheduled(command: str, frequency: str, email: str) -> str:
    """The app's log line for a new or changed job."""
    return f"Schedule `{command}` {frequency} by user {email}"


def unscheduled(command: str, email: str) -> str:
    """The app's log line for a job that is no more."""
    return f"Unschedule `{command}` by user {email}"


def no_scheduler(app: str) -> InvalidInputError:
    """The error for an app without the add-on."""
    return InvalidInputError(
        f"App {app} has no scheduler. Add it first: heroku addons:create scheduler:standard -a {app}"
    )


def check_room(present: int) -> None:
    """Raises ``InvalidInputError`` when an app has its most jobs."""
    if present >= MOST:
        raise InvalidInputError(f"An app can have up to {MOST} scheduled jobs. Delete one first.")


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
