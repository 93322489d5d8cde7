"""Telling the reconciler which moment's routes this router has, so that no dyno is stopped while requests go to it."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.domain.eco import TRAFFIC
from dynoform.domain.routes import PRESENCE
from dynoform.store.tables import Lease

LIFETIME = timedelta(seconds=60)
"""A router that says nothing for this long holds nobody up."""
FORGOTTEN = timedelta(days=1)


def announce(session: Session, router: str, routed: datetime) -> None:
    """Say that ``router`` serves the routes as they were at ``routed`` (the database's clock)."""
    values = {"holder": routed.isoformat(), "expires_at": routed + LIFETIME}
    statement = insert(Lease).values(name=f"{PRESENCE}{router}", **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Lease.name], set_=values))


def forget_old(session: Session) -> None:
    """Remove routers that have been gone for a day."""
    ours = or_(Lease.name.startswith(PRESENCE), Lease.name.startswith(TRAFFIC))
    session.execute(delete(Lease).where(ours, Lease.expires_at < func.now() - FORGOTTEN))
