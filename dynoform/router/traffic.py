"""Telling the store when apps that may sleep last had a request: from HAProxy's own counters, when there is news."""

import time
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from dynoform.domain import routes
from dynoform.router import rows
from dynoform.router.haproxy import Master, NotRunningError
from dynoform.store.driver import SmallStore

NEWS = timedelta(seconds=1)
"""HAProxy counts in seconds: less than this is the same request."""


class Traffic:
    """One router's view."""

    def __init__(self, store: SmallStore, master: Master, router: str, every: timedelta) -> None:
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
        with self._store.transaction() as connection:
            known = rows.awake(connection)
        seen = self._seen(known, moment) if known else {}
        news = {app: at for app, at in seen.items() if (last := known[app]) is None or at - last >= NEWS}
        with self._store.transaction() as connection:
            rows.requested(connection, news)
            rows.told(connection, self._router, moment, self._every)
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
