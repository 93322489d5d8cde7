"""Small objects that many resources show inside theirs, and how ids and times are written."""

import uuid

from typing_extensions import TypedDict

from dynoform.domain import stacks
from dynoform.domain.fixed_ids import fixed_id
from dynoform.domain.times import shown as shown
from dynoform.domain.times import shown_or_none as shown_or_none
from dynoform.store.tables import Account, App, Team

STACK = stacks.DEFAULT
"""The stack of an app that asks for none."""


class NamedObject(TypedDict):
    """Something with an id and a name."""

    id: str
    name: str


class IdObject(TypedDict):
    """Something with an id."""

    id: str


class UserObject(TypedDict):
    """An account as others see it."""

    email: str
    id: str


def fixed(name: str) -> NamedObject:
    """Something that is data, not a row (a stack, a region): its id follows from its name."""
    return {"id": fixed_id(name), "name": name}


def user(account: Account) -> UserObject:
    """An account within another object."""
    return {"email": account.email, "id": str(account.id)}


def team(found: Team) -> NamedObject:
    """A team within another object."""
    return {"id": str(found.id), "name": found.name}


def app_reference(app: App) -> NamedObject:
    """An app within another object."""
    return {"id": str(app.id), "name": app.name}


def reference(identifier: uuid.UUID | None) -> IdObject | None:
    """``{id}`` for an id that may be missing."""
    return {"id": str(identifier)} if identifier else None
