"""Custom domains in the store: adding one that nobody else has, and whether routers know them yet."""

import uuid
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import hostnames
from dynoform.domain.routes import PRESENCE
from dynoform.errors import InvalidInputError
from dynoform.store.session import ROUTES, notify
from dynoform.store.tables import App, Domain, Lease

_WILDCARD = "*"
_LOCK = 0x646F6D61696E  # "domain"


def of_app(session: Session, app_id: uuid.UUID) -> list[Domain]:
    """The app's custom domains, by name."""
    return list(session.scalars(select(Domain).where(Domain.app_id == app_id).order_by(Domain.hostname)))


def add(session: Session, app: App, hostname: str, domain: str) -> Domain:
    """Give a locked app a host name; ``domain`` is the platform's.

    Raises ``InvalidInputError`` for one that cannot be, that some app has, or one more than an app may have.
    """
    name = hostnames.check(hostname, domain)
    # A wildcard and a name below it are two different rows: only one at a time can look for the other.
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    _check_free(session, app, name)
    count = session.scalar(select(func.count()).select_from(Domain).where(Domain.app_id == app.id)) or 0
    if count >= hostnames.MAXIMUM_PER_APP:
        raise InvalidInputError(f"{app.name} has {count} domains, more are not possible")
    made = Domain(id=uuid.uuid4(), app_id=app.id, hostname=name, cname=hostnames.dns_target(domain))
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise hostnames.in_use(name) from None
    notify(session, ROUTES, app.id)
    return made


def routed_until(session: Session) -> datetime | None:
    """The oldest moment whose routes are in force on some router; None when no router reports."""
    query = select(Lease.holder).where(Lease.name.startswith(PRESENCE), Lease.expires_at > func.now())
    reporting = [datetime.fromisoformat(holder) for holder in session.scalars(query)]
    return min(reporting, default=None)


def _check_free(session: Session, app: App, name: str) -> None:
    """Nobody has it; and only apps of the same owner share the names that a wildcard covers."""
    query = select(Domain.hostname, Domain.app_id, App.owner_id).join(App, App.id == Domain.app_id)
    for hostname, app_id, owner_id in session.execute(query.where(_related(name))):
        if hostname == name:
            raise hostnames.already_added(name) if app_id == app.id else hostnames.in_use(name)
        if owner_id != app.owner_id:
            raise hostnames.in_use(name)


def _related(name: str) -> ColumnElement[bool]:
    same_or_over = Domain.hostname.in_([name, *hostnames.wildcards_over(name)])
    if not hostnames.is_wildcard(name):
        return same_or_over
    return or_(same_or_over, Domain.hostname.endswith(hostnames.suffix(name), autoescape=True))
