"""Small objects that many resources show inside theirs, and how ids and times are written."""

import uuid
from datetime import datetime

from typing_extensions import TypedDict

from dynoform.domain import stacks
from dynoform.store.tables import Account, App

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


def shown(moment: datetime) -> str:
    """A time as Heroku writes it: UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def shown_or_none(moment: datetime | None) -> str | None:
    """``shown``, or None for none."""
    return shown(moment) if moment else None


def fixed(name: str) -> NamedObject:
    """Something that is data, not a row (a stack, a region): its id follows from its name."""
    return {"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.dynoform")), "name": name}


def user(account: Account) -> UserObject:
    """An account within another object."""
    return {"email": account.email, "id": str(account.id)}


def app_reference(app: App) -> NamedObject:
    """An app within another object."""
    return {"id": str(app.id), "name": app.name}


def reference(identifier: uuid.UUID | None) -> IdObject | None:
    """``{id}`` for an id that may be missing."""
    return {"id": str(identifier)} if identifier else None
