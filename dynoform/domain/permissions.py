"""What a person may do with an app.

Heroku's four permissions of a team app (https://devcenter.heroku.com/articles/app-permissions): ``view`` reads,
``deploy`` releases code and changes config vars, ``operate`` scales, runs and changes domains, ``manage`` does all, up
to deleting it. Each stands for itself: somebody may hold ``operate`` without ``deploy``.
"""

from collections.abc import Iterable
from enum import StrEnum

from dynoform.domain.teams import Role
from dynoform.errors import InvalidInputError


class Permission(StrEnum):
    """What a call needs, from least to most."""

    VIEW = "view"
    DEPLOY = "deploy"
    OPERATE = "operate"
    MANAGE = "manage"


ALL = frozenset(Permission)
SHARED = frozenset({Permission.VIEW, Permission.DEPLOY, Permission.OPERATE})
"""What a collaborator gets when nothing else is said, and a team's member who joins an app."""
DESCRIPTIONS = {
    Permission.VIEW: "Can see the app: its releases, builds, dynos, logs and who has access",
    Permission.DEPLOY: "Can release code, roll back, and see and change config vars",
    Permission.OPERATE: "Can scale, restart, run one-off dynos, and change domains, drains and add-ons",
    Permission.MANAGE: "Can share, rename, lock, transfer and delete the app",
}


def effective(*, owner: bool, role: str | None, granted: Iterable[str], locked: bool) -> frozenset[Permission]:
    """The permissions of a person on an app; empty means that for them there is no such app.

    ``owner``: they own it and no team does. ``role``: theirs in the app's team. ``granted``: theirs as a collaborator.
    """
    if owner or role == Role.ADMIN:
        return ALL
    held = {Permission(name) for name in granted}
    if role is not None and Role(role).sees_team and not locked:
        held.add(Permission.VIEW)
    return frozenset(held)


def grant(names: Iterable[str]) -> frozenset[Permission]:
    """What naming these permissions gives: those, and ``view``. Raises ``InvalidInputError`` for an unknown name."""
    held = {Permission.VIEW}
    for name in names:
        try:
            held.add(Permission(name))
        except ValueError:
            known = ", ".join(Permission)
            raise InvalidInputError(f"Permission {name[:40]!r} is not one of: {known}") from None
    return frozenset(held)
