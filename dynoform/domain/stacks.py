"""Stacks: what apps run on (https://devcenter.heroku.com/articles/stack)."""

from dynoform.errors import InvalidInputError

DEFAULT = "dynoform-13"
"""Debian 13, with the slug that the buildpacks made as a layer on it."""
CONTAINER = "container"
"""Images of the user's own: pushed to the platform's container registry, or built by it of Dockerfiles."""
MANIFEST = "heroku.yml"
"""The file in which an app on that stack says how its images are built, if the platform builds them."""
ALL = (CONTAINER, DEFAULT)
_SHOWN = 40


def check(name: str) -> str:
    """The name itself, or ``InvalidInputError`` in Heroku's words when there is no such stack."""
    if name not in ALL:
        available = ", ".join(ALL)
        raise InvalidInputError(f"Couldn't find that stack ({name[:_SHOWN]}). Available stacks are: {available}.")
    return name
