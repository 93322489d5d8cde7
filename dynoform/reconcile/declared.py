"""What the store wants: apps' formations on their current releases, dynos, and how far the routers are."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dynoform.domain.reconciliation import AppState, DynoState, Wanted
from dynoform.domain.routes import PRESENCE
from dynoform.store import activity
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, Formation, Lease, Release, Slug


@dataclass(frozen=True)
class Declared:
    """One consistent look at the store."""

    now: datetime
    """The store's clock, by which dynos' times are stamped too."""
    apps: tuple[AppState, ...]
    dynos: tuple[DynoState, ...]
    routed_until: datetime | None
    routers_away: bool
    traffic_until: datetime | None = None
    """All requests before this moment are known."""


def read(store: Store) -> Declared:
    """Read everything in one transaction, a fixed number of queries. Raises ``UnavailableError``."""
    with store.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        now = session.execute(select(func.clock_timestamp())).scalar_one()
        routed_until, away = _routers(session, now)
        told_until = activity.told_until(session, now)
        return Declared(now, _apps(session), _dynos(session), routed_until, away, told_until)


def _apps(session: Session) -> tuple[AppState, ...]:
    scales: dict[UUID, list[Formation]] = defaultdict(list)
    for formation in session.scalars(select(Formation).where(Formation.quantity > 0)):
        scales[formation.app_id].append(formation)
    query = select(Release.app_id, Release.id, Slug.process_types).join(Slug, Slug.id == Release.slug_id)
    wanted: dict[UUID, dict[tuple[str, int], Wanted]] = defaultdict(dict)
    for app_id, release_id, commands in session.execute(query.where(Release.current)):
        for scale in scales[app_id]:
            if command := commands.get(scale.type):
                run = Wanted(release_id, scale.size, command)
                wanted[app_id] |= {(scale.type, number): run for number in range(1, scale.quantity + 1)}
    requests = activity.last_requests(session)
    apps = session.scalars(select(App.id))
    return tuple(AppState(app_id, wanted[app_id], requested=requests.get(app_id)) for app_id in apps)


def _dynos(session: Session) -> tuple[DynoState, ...]:
    columns = (
        Dyno.id,
        Dyno.app_id,
        Dyno.release_id,
        Dyno.type,
        Dyno.number,
        Dyno.size,
        Dyno.state,
        Dyno.state_changed_at,
        Dyno.address,
        Dyno.port,
        Dyno.crashes,
        Dyno.start_after,
    )
    return tuple(DynoState(*row) for row in session.execute(select(*columns)))


def _routers(session: Session, now: datetime) -> tuple[datetime | None, bool]:
    """The oldest moment whose routes are in force on some router, and whether routers are known but none reports."""
    query = select(Lease.holder, Lease.expires_at).where(Lease.name.startswith(PRESENCE))
    leases = session.execute(query).all()
    reporting = [datetime.fromisoformat(lease.holder) for lease in leases if lease.expires_at > now]
    return (min(reporting) if reporting else None), bool(leases) and not reporting
