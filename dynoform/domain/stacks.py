"""Stacks: what apps run on (https://devcenter.heroku.com/articles/stack)."""

from dynoform.errors import InvalidInputError

DEFAULT = "dynoform-13"
"""Debian 13, with the slug that the buildpacks made as a layer on it."""
CONTAINER = "container"
"""The user's own images, pushed to the platform's container registry."""
ALL = (CONTAINER, DEFAULT)
_SHOWN = 40


def check(name: str) -> str:
    """The name itself, or ``InvalidInputError`` in Heroku's words when there is no such stack."""
    if name not in ALL:
        available = ", ".join(ALL)
        raise InvalidInputError(f"Couldn't find that stack ({name[:_SHOWN]}). Available stacks are: {available}.")
    return name
