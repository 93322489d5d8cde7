"""Pushes that deploy, written down so that what is released and what the branch names agree in the end.

The store decides: a push is accepted with the transaction that makes its release succeed. The branch follows, by git
itself when it hears the verdict, or later, when whoever was to tell it has died.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dynoform.domain import pushes
from dynoform.store.tables import Build, Push, Release


@dataclass(frozen=True)
class Unsettled:
    """A push whose branch is not known to say what became of it. ``accepted`` is None while that is open."""

    build_id: uuid.UUID
    update: pushes.Update
    accepted: bool | None


def add(session: Session, build: Build, update: pushes.Update) -> None:
    """Write a push down, in the transaction that queues its build."""
    session.add(Push(build_id=build.id, ref=update.ref, old=update.old, new=update.new))


def unsettled(session: Session, app_id: uuid.UUID) -> list[Unsettled]:
    """The app's pushes, in their order."""
    query = (
        select(Push, Build.status, Release.status)
        .join(Build, Build.id == Push.build_id)
        .outerjoin(Release, Release.id == Build.release_id)
        .where(Build.app_id == app_id)
        .order_by(Build.created_at)
    )
    return [
        Unsettled(push.build_id, pushes.Update(push.old, push.new, push.ref), pushes.accepted(build, release))
        for push, build, release in session.execute(query)
    ]


def settle(session: Session, build_id: uuid.UUID) -> None:
    """The branch says what became of this push."""
    session.execute(delete(Push).where(Push.build_id == build_id))
