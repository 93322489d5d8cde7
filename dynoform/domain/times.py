"""How moments are written for users."""

from datetime import datetime


def shown(moment: datetime) -> str:
    """A time as Heroku writes it: UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def shown_or_none(moment: datetime | None) -> str | None:
    """``shown``, or None for none."""
    return shown(moment) if moment else None
