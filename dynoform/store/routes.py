"""What routes are made of, as the store has it: of all apps, or of those that changed."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Text, cast, delete, exists, func, select
from sqlalchemy.orm import Session

from dynoform.domain import routes
from dynoform.domain.features import AFFINITY
from dynoform.domain.routes import AppRoute, CustomDomain, RoutedApp, WebDyno
from dynoform.store import features
from dynoform.store.tables import App, Domain, Dyno, Formation, RouteChange

KEPT = timedelta(hours=1)
"""Changes are told for so long."""

_IS_BLANK = (~exists().where(Formation.app_id == App.id)).label("blank")
"""Process types come with the first code that is deployed."""


@dataclass(frozen=True)
class Moment:
    """What a reading is of: every change before ``at`` (the database's clock) is in it."""

    at: datetime
    next: int
    """The next reading of changes has to begin with this transaction: all before it have ended."""


def moment(session: Session) -> Moment:
    """Now; what is read after it, in transactions of its own, has all that was there."""
    floor = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
    return Moment(*session.execute(select(func.clock_timestamp(), floor)).one())


def changed(session: Session, since: int) -> set[uuid.UUID]:
    """Apps whose routes transactions from ``since`` on changed, apps that are no more too."""
    return {*session.scalars(select(RouteChange.app_id).where(RouteChange.changed >= since).distinct())}


def between(session: Session, first: uuid.UUID, last: uuid.UUID) -> set[uuid.UUID]:
    """The apps with ids from ``first`` to ``last``, both included."""
    return {*session.scalars(select(App.id).where(App.id.between(first, last)))}


def read(session: Session, domain: str, apps: Collection[uuid.UUID] | None = None) -> dict[uuid.UUID, AppRoute]:
    """The routes of these apps that are there, None for all; ``domain`` is the platform's."""
    if apps is not None and not apps:
        return {}
    named = select(App.id, App.name, App.maintenance, App.page_urls, _IS_BLANK)
    dynos = select(Dyno.id, Dyno.app_id, Dyno.number, Dyno.state, Dyno.address, Dyno.port)
    dynos = dynos.where(Dyno.type == routes.WEB)
    domains = select(Domain.hostname, Domain.app_id)
    if apps is not None:
        named, dynos = named.where(App.id.in_(apps)), dynos.where(Dyno.app_id.in_(apps))
        domains = domains.where(Domain.app_id.in_(apps))
    sticky = features.enabled_for(session, AFFINITY)
    found = routes.compute(
        [
            RoutedApp(row.id, row.name, row.maintenance, row.id in sticky, tuple(row.page_urls.items()), row.blank)
            for row in session.execute(named)
        ],
        [WebDyno(*row) for row in session.execute(dynos)],
        domain,
        [CustomDomain(*row) for row in session.execute(domains)],
    )
    return {**found.apps}


def forget_old(session: Session) -> None:
    """Remove changes that have been told."""
    session.execute(delete(RouteChange).where(RouteChange.noted_at < func.now() - KEPT))
