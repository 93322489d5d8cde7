"""What the store wants: apps' formations on their current releases, dynos, and how far the routers are."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.domain.dyno_snapshot import AppState, DynoState, Wanted
from dynoform.domain.features import PREBOOT
from dynoform.domain.routes import PRESENCE
from dynoform.reconcile.clocks import SKEW
from dynoform.store import activity, features
from dynoform.store.session import Store, now
from dynoform.store.tables import App, Dyno, Formation, Lease, Release, Slug


@dataclass(frozen=True)
class Router:
    """What a router agent has told: the moment whose routes it serves, and until when that holds."""

    host: str
    routed: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Declared:
    """One consistent look at the store."""

    now: datetime
    """The store's clock, by which dynos' times are stamped too."""
    apps: tuple[AppState, ...]
    dynos: tuple[DynoState, ...]
    routers: tuple[Router, ...]
    traffic_until: datetime | None = None
    """All requests before this moment are known."""

    def routed(self, gone: frozenset[str]) -> tuple[datetime | None, bool]:
        """The oldest moment whose routes are in force on some router, and whether routers are known but none reports.

        Those on hosts of the names in ``gone`` route nothing any more, and hold nobody up.
        """
        there = [router for router in self.routers if router.host not in gone]
        moments = [router.routed for router in there if router.expires_at > self.now]
        reporting = [moment for moment in moments if moment <= self.now + SKEW]  # or said before the clock was set back
        return (min(reporting) if reporting else None), bool(there) and not reporting


def read(store: Store) -> Declared:
    """Read everything in one transaction, a fixed number of queries. Raises ``UnavailableError``."""
    with store.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        moment = now(session)
        told = activity.told_until(session, moment)
        return Declared(moment, _apps(session), _dynos(session), _routers(session), told)


def _apps(session: Session) -> tuple[AppState, ...]:
    scales: dict[UUID, list[Formation]] = defaultdict(list)
    for formation in session.scalars(select(Formation).where(Formation.quantity > 0)):
        scales[formation.app_id].append(formation)
    columns = (Release.app_id, Release.id, Slug.process_types, Slug.image, Slug.images)
    query = select(*columns).join(Slug, Slug.id == Release.slug_id)
    wanted: dict[UUID, dict[tuple[str, int], Wanted]] = defaultdict(dict)
    for app_id, release_id, commands, image, images in session.execute(query.where(Release.current)):
        for scale in scales[app_id]:
            if command := commands.get(scale.type):
                run = Wanted(release_id, scale.size, command, images.get(scale.type, image))
                wanted[app_id] |= {(scale.type, number): run for number in range(1, scale.quantity + 1)}
    preboot, requests = features.enabled_for(session, PREBOOT), activity.last_requests(session)
    apps = session.execute(select(App.id, App.runtime))
    return tuple(AppState(id, wanted[id], id in preboot, runtime, requests.get(id)) for id, runtime in apps)


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
        Dyno.created_at,
        Dyno.moving,
        Dyno.image,
    )
    return tuple(DynoState(*row) for row in session.execute(select(*columns)))


def _routers(session: Session) -> tuple[Router, ...]:
    query = select(Lease.name, Lease.holder, Lease.expires_at).where(Lease.name.startswith(PRESENCE))
    return tuple(
        Router(lease.name.removeprefix(PRESENCE), datetime.fromisoformat(lease.holder), lease.expires_at)
        for lease in session.execute(query)
    )
