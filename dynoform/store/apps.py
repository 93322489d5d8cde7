"""Making, finding and naming apps."""

import uuid
from typing import NamedTuple

from sqlalchemy import Select, and_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import app_names, releases
from dynoform.errors import ConflictError
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.tables import Account, App, Release, Slug

_TRIES = 5


class AppRow(NamedTuple):
    """An app with what its current release adds: size in bytes and language of the slug."""

    app: App
    slug_size: int | None
    description: str | None


def visible_to(account: Account) -> Select[App, int, str | None]:
    """Query for the apps that this account may see, as ``AppRow`` values."""
    return (
        select(App, Slug.size, Slug.buildpack_provided_description)
        .outerjoin(Release, and_(Release.app_id == App.id, Release.current))
        .outerjoin(Slug, Slug.id == Release.slug_id)
        .where(App.owner_id == account.id)
    )


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
    """Remove the app and everything that belongs to it from the store."""
    session.delete(app)


def by_reference(session: Session, account: Account, reference: str) -> AppRow | None:
    """The app with this id or name, if the account may see it."""
    identifier = parse_id(reference)
    if identifier is None and (len(reference) > app_names.MAXIMUM_LENGTH or "\0" in reference):
        return None
    condition = App.id == identifier if identifier else App.name == reference
    row = session.execute(visible_to(account).where(condition)).one_or_none()
    return AppRow(*row) if row else None


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
