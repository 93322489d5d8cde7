"""Sharing apps: collaborators, locks, and changes of owner."""

import uuid
from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain.permissions import ALL, Permission
from dynoform.errors import InvalidInputError
from dynoform.store.tables import Account, App, AppTransfer, Collaborator, Team

MAXIMUM = 500
"""Collaborators of one app."""


def add(session: Session, app: App, account: Account, permissions: Iterable[Permission]) -> Collaborator:
    """Share the app. Raises ``InvalidInputError`` when it is shared with this account already, or with too many."""
    if app.team_id is None and app.owner_id == account.id:
        raise InvalidInputError(f"{account.email} is the owner of {app.name}")
    count = select(func.count()).select_from(Collaborator).where(Collaborator.app_id == app.id)
    if (session.scalar(count) or 0) >= MAXIMUM:
        raise InvalidInputError(f"An app can have {MAXIMUM} collaborators")
    made = Collaborator(id=uuid.uuid4(), app_id=app.id, account_id=account.id, permissions=sorted(permissions))
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise InvalidInputError(f"{account.email} is already a collaborator on {app.name}") from None
    session.refresh(made)
    return made


def find(session: Session, app: App, account: Account) -> Collaborator | None:
    """The account's share of the app."""
    query = select(Collaborator).where(Collaborator.app_id == app.id, Collaborator.account_id == account.id)
    return session.scalars(query).one_or_none()


def give_to_account(session: Session, app: App, owner: Account, *, keep_former: bool) -> None:
    """Make the app personal to ``owner``. The former owner of a personal app may stay as a collaborator.

    Coming from a team all its shares end, as Heroku does it.
    """
    former = app.owner
    if app.team_id is not None:
        session.execute(delete(Collaborator).where(Collaborator.app_id == app.id))
    mine = (Collaborator.app_id == app.id, Collaborator.account_id == owner.id)
    session.execute(delete(Collaborator).where(*mine))
    app.owner, app.team, app.locked = owner, None, False
    session.flush()
    if keep_former and former.id != owner.id:
        add(session, app, former, ALL - {Permission.MANAGE})


def give_to_team(session: Session, app: App, team: Team) -> None:
    """Make the app the team's. Its collaborators stay; who owned it keeps every permission."""
    if app.team_id is None:
        _share_all(session, app, app.owner)
    app.team = team
    session.execute(delete(AppTransfer).where(AppTransfer.app_id == app.id, AppTransfer.state == "pending"))
    session.flush()


def _share_all(session: Session, app: App, account: Account) -> None:
    session.add(Collaborator(app_id=app.id, account_id=account.id, permissions=sorted(ALL)))


def founded(session: Session, app: App, team: Team) -> None:
    """A new app of a team: who made it gets every permission."""
    app.team = team
    _share_all(session, app, app.owner)
    session.flush()
