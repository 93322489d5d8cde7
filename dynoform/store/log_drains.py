"""Log drains in the store: their URLs are encrypted, so few enough of an app's are compared one by one."""

import uuid
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.domain import log_drains
from dynoform.errors import InvalidInputError
from dynoform.store.secrets import Vault
from dynoform.store.session import DRAINS, notify
from dynoform.store.tables import Addon, App, LogDrain

_URL = "url"


def of_app(session: Session, app_id: uuid.UUID) -> list[LogDrain]:
    """The app's drains, oldest first."""
    query = select(LogDrain).where(LogDrain.app_id == app_id).order_by(LogDrain.created_at, LogDrain.id)
    return list(session.scalars(query).unique())


def url_of(vault: Vault, drain: LogDrain) -> str:
    """The drain's URL, in the clear."""
    return vault.decrypt(drain.id, drain.url)[_URL]


def add(session: Session, vault: Vault, app: App, url: str) -> LogDrain:
    """A new drain of a locked app, for a URL that was checked. ``InvalidInputError`` for one it has or one too many."""
    present = of_app(session, app.id)
    if sum(drain.addon_id is None for drain in present) >= log_drains.MAXIMUM_PER_APP:
        raise InvalidInputError(f"You cannot add more than {log_drains.MAXIMUM_PER_APP} log drains to an app")
    _check_new(vault, present, url)
    return _insert(session, vault, LogDrain(app_id=app.id, token=log_drains.token()), url)


def change(session: Session, vault: Vault, drain: LogDrain, url: str) -> None:
    """Send the lines of a locked app's drain to another URL. Raises ``InvalidInputError`` for one that it has."""
    _check_new(vault, [other for other in of_app(session, drain.app_id) if other.id != drain.id], url)
    _set_url(vault, drain, url)
    session.flush()
    notify(session, DRAINS, DRAINS)


def remove(session: Session, drain: LogDrain) -> None:
    """Send nothing there any more."""
    session.delete(drain)
    notify(session, DRAINS, DRAINS)


def add_for_addon(session: Session, vault: Vault, addon: Addon, url: str) -> LogDrain:
    """The drain that a locked add-on's provider wants on the add-on's app; another URL replaces the first."""
    token = log_drains.addon_token(addon.id)
    drain = session.scalars(select(LogDrain).where(LogDrain.token == token)).unique().one_or_none()
    if drain is None:
        return _insert(session, vault, LogDrain(app_id=addon.app_id, addon_id=addon.id, token=token), url)
    _set_url(vault, drain, url)
    notify(session, DRAINS, DRAINS)
    return drain


def _set_url(vault: Vault, drain: LogDrain, url: str) -> None:
    drain.url = vault.encrypt(drain.id, {_URL: url})


def _check_new(vault: Vault, present: Iterable[LogDrain], url: str) -> None:
    if any(url_of(vault, drain) == url for drain in present):
        raise InvalidInputError("Url has already been taken")


def _insert(session: Session, vault: Vault, drain: LogDrain, url: str) -> LogDrain:
    drain.id = uuid.uuid4()
    _set_url(vault, drain, url)
    session.add(drain)
    session.flush()
    notify(session, DRAINS, DRAINS)
    session.refresh(drain)
    return drain
