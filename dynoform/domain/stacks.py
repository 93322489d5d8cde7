"""Stacks: what apps run on (https://devcenter.heroku.com/articles/stack)."""

from collections.abc import Collection

from dynoform.errors import InvalidInputError

DEFAULT = "dynoform-13"
"""Debian 13, with the slug that the buildpacks made as a layer on it."""
CONTAINER = "container"
"""Images of the user's own: pushed to the platform's container registry, or built by it of Dockerfiles."""
MANIFEST = "heroku.yml"
"""The file in which an app on that stack says how its images are built, if the platform builds them."""
PROJECT = "project.toml"
"""What an app for Cloud Native Buildpacks has (https://buildpacks.io/docs/reference/config/project-descriptor/)."""
ALL = (CONTAINER, DEFAULT)
_SHOWN = 40


def read(names: str) -> tuple[str, ...]:
    """The stacks of a list with commas between. Raises ``InvalidInputError`` for one that there is not."""
    return tuple(check(name.strip()) for name in names.split(",") if name.strip())


def notice(name: str, old: Collection[str]) -> str:
    """What whoever builds an app on this stack is told, as lines of output; empty unless it is one of the old."""
    if name not in old:
        return ""
    others = " or ".join(f"heroku stack:set {other}" for other in ALL if other not in old)
    return (
        f" !     This app is on the stack {name}, which is old: it will be without security updates one day.\n"
        f" !     Change it with {others or 'heroku stack:set, when there is a newer one'}, then push again.\n"
    )


def check(name: str) -> str:
    """The name itself, or ``InvalidInputError`` in Heroku's words when there is no such stack."""
    if name not in ALL:
        available = ", ".join(ALL)
        raise InvalidInputError(f"Couldn't find that stack ({name[:_SHOWN]}). Available stacks are: {available}.")
    return name
