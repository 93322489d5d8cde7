"""When a crashed dyno is started again: at once the first time, then after a growing cool-off.

Heroku documents the first restart as immediate, later ones at 10, 20, 40 minutes and so on up to a day; a new release
or a manual restart starts the count again.
"""

from datetime import timedelta

DELAYS = tuple(timedelta(minutes=minutes) for minutes in (0, 10, 20, 40, 80, 160, 320, 640, 1280, 1440))
"""Cool-off after the 1st, 2nd, … crash; the last one repeats."""
RELAUNCH = timedelta(seconds=30)
"""When a dyno is tried again that the platform could not start: the app is not to blame, its cool-off does not grow."""
GOOD_RUN = timedelta(hours=1)
"""A dyno that was up for this long has recovered: its next crash is a first one."""


def delay(crashes: int) -> timedelta:
    """How long to wait before the start that follows the ``crashes``-th crash in a row (1 or more)."""
    if crashes < 1:
        return timedelta(0)
    return DELAYS[min(crashes, len(DELAYS)) - 1]


def count(crashes: int, ran_for: timedelta) -> int:
    """The number of crashes in a row after one more, by a dyno that was up for ``ran_for``."""
    return 1 if ran_for >= GOOD_RUN else crashes + 1
