"""Making, finding and naming apps."""

import uuid
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import app_names, app_setups, permissions, releases
from dynoform.domain.permissions import ALL, Permission
from dynoform.domain.teams import Role
from dynoform.errors import ConflictError
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.tables import Account, App, AppSetup, Collaborator, Release, Slug, TeamMember

_TRIES = 5


class AppRow(NamedTuple):
    """An app with what its current release adds (size in bytes and language of the slug), as one account sees it."""

    app: App
    slug_size: int | None
    description: str | None
    permissions: frozenset[Permission] = ALL
    """What the account may do; a new app's owner may do all."""
    joined: bool = True
    """Whether it was given more than its team gives to every member."""


def visible_to(account: Account) -> Select[App, int, str | None]:
    """Query for the apps that this account may see: its own, those that were shared with it, its teams' unlocked ones.

    Says in SQL what ``dynoform.domain.permissions.effective`` says of one app.
    """
    team = TeamMember.role.in_([role for role in Role if role.sees_team])
    return (
        select(App, Slug.size, Slug.buildpack_provided_description)
        .outerjoin(Release, and_(Release.app_id == App.id, Release.current))
        .outerjoin(Slug, Slug.id == Release.slug_id)
        .outerjoin(Collaborator, and_(Collaborator.app_id == App.id, Collaborator.account_id == account.id))
        .outerjoin(TeamMember, and_(TeamMember.team_id == App.team_id, TeamMember.account_id == account.id))
        .where(
            or_(
                and_(App.owner_id == account.id, App.team_id.is_(None)),
                Collaborator.id.is_not(None),
                TeamMember.role == Role.ADMIN,
                and_(team, App.locked.is_(False)),
            )
        )
    )


def with_permissions(account: Account) -> Select[*tuple[Any, ...]]:
    """``visible_to`` with what ``as_row`` needs to say what the account may do."""
    return visible_to(account).add_columns(Collaborator.permissions, TeamMember.role)


def as_row(
    account: Account,
    app: App,
    slug_size: int | None,
    description: str | None,
    granted: list[str] | None,
    role: str | None,
) -> AppRow:
    """One row of ``with_permissions``."""
    owner = app.team_id is None and app.owner_id == account.id
    held = permissions.effective(owner=owner, role=role, granted=granted or (), locked=app.locked)
    return AppRow(app, slug_size, description, held, owner or granted is not None)


def create_app(
    session: Session, vault: Vault, owner: Account, name: str | None, stack: str
) -> tuple[App, list[Release]]:
    """A new app with Heroku's first two releases (``Initial release``, ``Enable Logplex``).

    Without a name it gets a random one. Raises ``InvalidInputError`` for a name that breaks the rule or is taken.
    """
    app = _insert(session, owner, name, stack)
    config = add_config(session, vault, app.id, {})
    first = create_release(session, app, description=releases.INITIAL, account_id=owner.id, config=config)
    second = create_release(session, app, description=releases.ENABLE_LOGPLEX, account_id=owner.id)
    return app, [first, second]


def rename(session: Session, app: App, name: str) -> None:
    """Give the app another name. Raises ``InvalidInputError`` as ``create_app`` does."""
    app_names.check(name)
    try:
        with session.begin_nested():
            app.name = name
    except IntegrityError:
        raise app_names.taken(name) from None


def delete(session: Session, app: App) -> None:
    """Remove the app and everything that belongs to it from the store; what was setting it up has failed."""
    pending = (AppSetup.app_id == app.id, AppSetup.status == app_setups.PENDING)
    gone = {"status": app_setups.FAILED, "failure_message": app_setups.DESTROYED}
    session.execute(update(AppSetup).where(*pending).values(gone))
    session.delete(app)


def by_reference(session: Session, account: Account, reference: str) -> AppRow | None:
    """The app with this id or name, if the account may see it."""
    identifier = parse_id(reference)
    if identifier is None and (len(reference) > app_names.MAXIMUM_LENGTH or "\0" in reference):
        return None
    condition: ColumnElement[bool] = App.id == identifier if identifier else App.name == reference
    row = session.execute(with_permissions(account).where(condition)).one_or_none()
    return as_row(account, *row) if row else None


def parse_id(text: str) -> uuid.UUID | None:
    """The UUID that ``text`` is in its usual form, or None."""
    try:
        return uuid.UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def _insert(session: Session, owner: Account, name: str | None, stack: str) -> App:
    for _ in range(_TRIES):
        chosen = app_names.check(name) if name is not None else app_names.generate()
        app = App(id=uuid.uuid4(), name=chosen, owner=owner, owner_id=owner.id, stack=stack)
        try:
            with session.begin_nested():
                session.add(app)
        except IntegrityError:
            if name is not None:
                raise app_names.taken(name) from None
        else:
            return app
    raise ConflictError("a random app name", f"was taken {_TRIES} times in a row", "try again, or choose a name")
