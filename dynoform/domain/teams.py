"""Teams: which names they can have, what their members' roles are.

https://devcenter.heroku.com/articles/team-permissions: an admin manages the team and has every permission on its apps,
a member sees the team and makes apps in it, a viewer sees the team, a collaborator has the apps that were shared.
"""

import re
from enum import StrEnum

from dynoform.errors import InvalidInputError

MINIMUM_LENGTH = 2
MAXIMUM_LENGTH = 30
_RESERVED = frozenset({"apps", "invitations", "permissions"})
"""Names that stand after ``/teams/`` in paths of the API."""
_NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
MANAGER_DOMAIN = "herokumanager.com"
"""Owner of team apps, as Heroku shows it: ``<team>@herokumanager.com``. The CLI tells team apps by it."""


class Role(StrEnum):
    """What a member of a team is."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"
    COLLABORATOR = "collaborator"

    @property
    def sees_team(self) -> bool:
        """Whether the role shows all people and all unlocked apps of the team."""
        return self is not Role.COLLABORATOR

    @property
    def makes_apps(self) -> bool:
        """Whether somebody with this role may make apps in the team, and join its unlocked ones."""
        return self in (Role.ADMIN, Role.MEMBER)


def check_name(name: str) -> str:
    """The name itself, or ``InvalidInputError`` when no team can have it."""
    if not MINIMUM_LENGTH <= len(name) <= MAXIMUM_LENGTH:
        raise InvalidInputError(f"Name must have {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters")
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "Name must start with a letter, end with a letter or digit and can only contain "
            "lowercase letters, digits, and dashes"
        )
    if name in _RESERVED:
        raise name_taken(name)
    return name


def name_taken(name: str) -> InvalidInputError:
    """The error for a name that another team has."""
    return InvalidInputError(f"Name {name} is already taken")


def role(text: str) -> Role:
    """The role with this name. Raises ``InvalidInputError``; ``owner`` is one of Heroku's enterprise teams only."""
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(Role)
        raise InvalidInputError(f"Role {text[:40]!r} is not one of: {known}") from None
