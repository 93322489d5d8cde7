"""Telling the store when apps that may sleep last had a request: from HAProxy's own counters, when there is news."""

import time
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.domain import eco, routes
from dynoform.router.haproxy import Master, NotRunningError
from dynoform.store import activity
from dynoform.store.session import Store
from dynoform.store.tables import AppActivity, Dyno

NEWS = timedelta(seconds=1)
"""HAProxy counts in seconds: less than this is the same request."""


class Traffic:
    """One router's view."""

    def __init__(self, store: Store, master: Master, router: str, every: timedelta) -> None:
        """``router`` is its name, ``every`` how often it looks."""
        self._store, self._master, self._router, self._every = store, master, router, every
        self._look_at = 0.0

    def look(self, moment: datetime, *, now: bool = False) -> None:
        """Tell of requests before ``moment`` (the database's clock) if that is due, or at once.

        At once is for what a reload is about to hide: a new worker's counters start from nothing. Raises what
        ``Master`` does but for a HAProxy that does not run, which has no requests, and ``DynoformError``.
        """
        if not now and time.monotonic() < self._look_at:
            return
        with self._store.transaction() as session:
            known = _awake(session)
        seen = self._seen(known, moment) if known else {}
        news = {app: at for app, at in seen.items() if (last := known[app]) is None or at - last >= NEWS}
        with self._store.transaction() as session:
            activity.requested(session, news)
            activity.told(session, self._router, moment, self._every)
        self._look_at = time.monotonic() + self._every.total_seconds()

    def _seen(self, apps: Collection[uuid.UUID], moment: datetime) -> dict[uuid.UUID, datetime]:
        """The last request of each app that HAProxy remembers one of; ``moment`` for one in progress."""
        owners = {routes.sticky(app): app for app in apps}
        shared = {str(app): app for app in apps}
        seen: dict[uuid.UUID, datetime] = {}
        try:
            for worker in self._master.workers():
                counts = [(owners.get(count.backend), count) for count in self._master.traffic(worker)]
                table = self._master.last_requests(worker, routes.LONE)
                counts += [(shared.get(app), count) for app, count in table.items()]
                for app, count in counts:
                    if app is not None and (count.sessions or count.quiet_seconds is not None):
                        quiet = timedelta(0) if count.sessions else timedelta(seconds=count.quiet_seconds or 0)
                        seen[app] = max(seen.get(app, moment - quiet), moment - quiet)
        except NotRunningError:
            return {}
        return seen


def _awake(session: Session) -> dict[uuid.UUID, datetime | None]:
    """Apps with a dyno that takes traffic and may sleep, with their last known request."""
    query = (
        select(Dyno.app_id, AppActivity.requested_at)
        .outerjoin(AppActivity, AppActivity.app_id == Dyno.app_id)
        .where(Dyno.type == routes.WEB, Dyno.size == eco.ECO, Dyno.address.is_not(None))
        .distinct()
    )
    return {row.app_id: row.requested_at for row in session.execute(query)}
