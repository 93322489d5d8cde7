"""What routers tell of apps' requests, and how far they have told it."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.domain.eco import TRAFFIC
from dynoform.domain.routes import PRESENCE
from dynoform.store.session import FORMATION, notify, now
from dynoform.store.tables import AppActivity, Lease

LIFETIME = timedelta(seconds=60)
"""What a router has told counts for so long after it is due to tell more."""


def requested(session: Session, moments: Mapping[uuid.UUID, datetime]) -> None:
    """Remember when these apps had a request; what is later already stays. Raises ``ConflictError`` for an app gone."""
    if not moments:
        return
    rows = [{"app_id": app_id, "requested_at": moment} for app_id, moment in sorted(moments.items())]
    statement = insert(AppActivity).values(rows)
    # A moment to come is from before the clock was set back: it must not hide what happens now.
    known = func.least(AppActivity.requested_at, func.clock_timestamp())
    values = {"requested_at": func.greatest(known, statement.excluded.requested_at)}
    session.execute(statement.on_conflict_do_update(index_elements=[AppActivity.app_id], set_=values))


def wake(session: Session, app_id: uuid.UUID) -> None:
    """A request waits for this app: have its dynos started. Raises as ``requested`` does."""
    requested(session, {app_id: now(session)})
    notify(session, FORMATION, app_id)


def last_requests(session: Session) -> dict[uuid.UUID, datetime]:
    """The last known request of each app that had one."""
    return {row.app_id: row.requested_at for row in session.scalars(select(AppActivity))}


def told(session: Session, router: str, until: datetime, every: timedelta) -> None:
    """Say that ``router`` has told of all requests before ``until``, and does so once in ``every``."""
    values = {"holder": until.isoformat(), "expires_at": until + every + LIFETIME}
    statement = insert(Lease).values(name=f"{TRAFFIC}{router}", **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Lease.name], set_=values))


def told_until(session: Session, now: datetime) -> datetime | None:
    """The moment up to which every router that is there has told of its requests.

    None when there is no router, when one has told nothing lately, or when it did so before the clock was set back.
    """
    query = select(Lease.name, Lease.holder).where(Lease.expires_at > now)
    present = {name for name, _ in session.execute(query.where(Lease.name.startswith(PRESENCE)))}
    said = {name: datetime.fromisoformat(holder) for name, holder in session.execute(query.where(_TRAFFIC))}
    moments = [said.get(name.replace(PRESENCE, TRAFFIC, 1)) for name in present]
    known = [moment for moment in moments if moment is not None and moment <= now]
    return min(known) if known and len(known) == len(moments) else None


_TRAFFIC = Lease.name.startswith(TRAFFIC)
