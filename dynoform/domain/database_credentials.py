"""Named credentials of PostgreSQL: a role each, whose permissions the database's owner grants. Pure.

https://devcenter.heroku.com/articles/heroku-postgresql-credentials
"""

import re
from collections.abc import Collection

from dynoform.domain.data_services import DEFAULT
from dynoform.errors import InvalidInputError

MAXIMUM = 50
"""Of one database, besides the default one."""
POOL_USER = "dynoform_pool"
"""The role by which a connection pool looks users up."""
POOLING = "connection-pooling:default"
"""Namespace of the attachments that lead to a database's connection pool."""

LINK = "link:"
"""Before the id of a data link: the credential that it has on the other database, which nobody else is told of."""

_PREFIX = "credential:"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_LINK = re.compile(r"[a-z][a-z0-9_]{0,49}")
_OWN = re.compile(r"[dou][0-9a-f]{14}|pg_.*")
_TAKEN = frozenset({DEFAULT, POOL_USER, "postgres", "public", "none", "user", "current_user", "session_user"})


def check_name(name: str) -> str:
    """The name itself, or ``InvalidInputError`` when no credential can have it: it is a role's, too."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "Name of a credential must start with a lowercase letter and can only contain lowercase letters, digits, "
            "dashes and underscores, at most 50"
        )
    if name in _TAKEN or _OWN.fullmatch(name):
        raise InvalidInputError(f"Name {name} is reserved: choose another one for the credential")
    return name


def is_named(name: str) -> bool:
    """Whether it is a role of its own that users know: neither the default one nor a data link's."""
    return name != DEFAULT and not name.startswith(LINK)


def check_link(name: str) -> str:
    """The name itself, or ``InvalidInputError`` when no data link can have it: it is a schema's, too."""
    if not _LINK.fullmatch(name) or name in _TAKEN or name == "information_schema" or _OWN.fullmatch(name):
        raise InvalidInputError(
            f"Name {name[:60]} cannot be a data link's: it must start with a lowercase letter, can only contain "
            "lowercase letters, digits and underscores, at most 50, and must not be PostgreSQL's own"
        )
    return name


def check_new(name: str, present: Collection[str]) -> str:
    """The name itself, or ``InvalidInputError`` when it is taken, or there are enough."""
    if check_name(name) in present:
        raise InvalidInputError(f"Credential {name} exists already")
    if len(present) > MAXIMUM:
        raise InvalidInputError(f"There are {MAXIMUM} named credentials, more are not possible: destroy one")
    return name


def check_plan(plan: str, what: str) -> None:
    """Raise ``InvalidInputError`` for plans that do not have it, as the CLI does before it asks."""
    if plan.startswith("essential"):
        raise InvalidInputError(f"You can't {what} on Essential-tier databases. Change to a Standard plan first")


def namespace(name: str) -> str:
    """Of a credential's attachments; the default one's have none."""
    return "" if name == DEFAULT else f"{_PREFIX}{name}"


def of_namespace(given: str | None) -> str:
    """The credential that an attachment gives away."""
    return given.removeprefix(_PREFIX) if given and given.startswith(_PREFIX) else DEFAULT
