"""What routers have told of apps' requests, and how far they have told it."""

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.domain.eco import TRAFFIC
from dynoform.domain.routes import PRESENCE
from dynoform.store.tables import AppActivity, Lease


def last_requests(session: Session) -> dict[uuid.UUID, datetime]:
    """The last known request of each app that had one."""
    return {row.app_id: row.requested_at for row in session.scalars(select(AppActivity))}


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
