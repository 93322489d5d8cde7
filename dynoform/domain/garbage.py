"""Which images of apps may leave the registry: those that nothing runs, and that no release can go back to."""

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta

GRACE = timedelta(hours=1)
"""How long an image stays that nothing has: longer than any build, release or push needs from its image to its slug."""
INVENTORY = timedelta(days=1)
"""How often the registry's own list is read: it may have images that the store does not know of, after a restore."""
_ID = r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_OWNED = re.compile(rf"(?:apps/{_ID}|containers/{_ID.replace('<id>', '<owner>')}/[a-z0-9_-]+)")


@dataclass(frozen=True)
class Image:
    """An image in the registry, and what the store says about it.

    ``age`` is since it was last pushed or released. ``has_slug``: a slug of any app, or a dyno, is made of it.
    ``has_app``: the app that it was made for exists. ``has_job``: a build or a release of that app is not finished.
    """

    repository: str
    age: timedelta
    has_slug: bool
    has_app: bool
    has_job: bool


def owner(repository: str) -> uuid.UUID | None:
    """Id of the app that a repository belongs to; None for one that is no app's: the stacks' stay for ever."""
    match = _OWNED.fullmatch(repository)
    return uuid.UUID(match["id"] or match["owner"]) if match else None


def may_go(image: Image) -> bool:
    """Whether nobody needs an image, as far as the store knows; ``may_be_released`` is to be asked too."""
    if owner(image.repository) is None or image.has_slug or image.has_job:
        return False
    return image.age > GRACE


def may_be_released(image: Image) -> bool:
    """Whether ``heroku container:release`` can still take it, as long as it has a tag: users push first."""
    return image.has_app and image.repository.startswith("containers/")
