"""When an app on Eco dynos sleeps: https://devcenter.heroku.com/articles/eco-dyno-hours#dyno-sleeping.

An app whose web dynos are Eco sleeps after half an hour without a request, and its other Eco dynos with it. A request
wakes it. An app without a web dyno has nothing that could wake it, and does not sleep.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

ECO = "Eco"
SLEEPS_AFTER = timedelta(minutes=30)
TRAFFIC = "traffic/"
"""Router agents hold leases of this prefix; the holder is the moment (ISO 8601) up to which they have told of requests.
"""
_LOOKS = 60


def can_sleep(web_sizes: Collection[str]) -> bool:
    """Whether an app with web dynos of these sizes is one that sleeps."""
    return bool(web_sizes) and all(size == ECO for size in web_sizes)


def is_quiet(active: datetime | None, known_until: datetime | None, after: timedelta = SLEEPS_AFTER) -> bool:
    """Whether nothing has happened for so long that the app sleeps.

    ``active`` is its last request, or the last change of a web dyno that does not sleep; None when there was neither.
    ``known_until`` is the moment up to which every router has told of its requests, None when one of them has not: what
    nobody knows is not quiet.
    """
    return active is None or (known_until is not None and known_until - active >= after)


def is_woken(active: datetime | None, asleep_since: datetime) -> bool:
    """Whether something has happened to the app since a dyno of it went to sleep."""
    return active is not None and active > asleep_since


def look_every(after: timedelta) -> timedelta:
    """How often a router looks for requests: by so much an app may sleep later than it could."""
    return after / _LOOKS
