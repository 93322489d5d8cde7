"""Rules of app setups: an app made of what its source says of itself (``dynoform.domain.app_manifest``).

https://devcenter.heroku.com/articles/setting-up-apps-using-the-heroku-platform-api.
"""

import uuid
from collections.abc import Sequence
from urllib.parse import urljoin

from dynoform.domain import one_off
from dynoform.errors import InvalidInputError

PENDING = "pending"
SUCCEEDED = "succeeded"
FAILED = "failed"
SECONDS = 3600
"""Longest time for each part of it: until the add-ons are there, and for the postdeploy script."""
NOT_FOUND = "app.json not found"
INVALID = "app.json is invalid"
DESTROYED = "the app was destroyed"
UNAVAILABLE = "the platform could not set the app up: try again"


class ManifestError(InvalidInputError):
    """What the source says of itself cannot be done; ``problems`` are each ``path: reason``."""

    def __init__(self, problems: Sequence[str]) -> None:
        """``problems`` are those that were found, one at least."""
        super().__init__(INVALID, "; ".join(problems))
        self.problems = list(problems)


def resolved(success_url: str, web_url: str) -> str:
    """Where to send whoever has set the app up: an address, or a path of the app's own."""
    return urljoin(web_url, success_url)


def dyno_number(setup_id: uuid.UUID) -> int:
    """The number of the one-off dyno that runs the postdeploy script, the 1234 in ``run.1234``: always the same."""
    return one_off.free_number((), setup_id.int)
