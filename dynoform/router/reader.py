"""What changed in the store since it was last read: apps that it says changed, and a part of all to be sure of."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dynoform.domain.routes import AppRoute
from dynoform.router import rows
from dynoform.store.certificate_keys import API
from dynoform.store.driver import SmallStore

PARTS = 32
"""What has come in nobody's way is read anyhow: of all apps, one in so many each time that there is nothing to do."""
_ALL_BITS = 128
_PART_BITS = _ALL_BITS - (PARTS - 1).bit_length()


@dataclass(frozen=True)
class News:
    """What a reading found."""

    moment: datetime
    """The database's time just before: what was there then is in it, or was before."""
    apps: Mapping[UUID, AppRoute | None]
    """Routes that may have changed; None for an app that is no more."""
    everything: bool
    """Whether ``apps`` are all there are."""
    certificate: str | None
    """The PEM of the API's names, with its key."""
    next: int


class Reader:
    """Reads on from where it last got to."""

    def __init__(self, store: SmallStore, domain: str) -> None:
        """``domain`` is the platform's."""
        self._store, self._domain = store, domain
        self._next: int | None = None
        self._done_at = 0.0
        self._part = 0

    def read(self, known: Collection[UUID], *, spot_check: bool) -> News:
        """What changed since the reading that was last ``done``; ``known`` are the apps that there were then.

        ``spot_check`` is whether to look at some of the apps that nobody says changed too.
        """
        with self._store.transaction() as connection:
            moment = rows.moment(connection)
            everything = self._next is None or moment.next < self._next or self._is_late()
            apps: set[UUID] | None = None
            if not everything:
                apps = rows.changed(connection, self._next or 0)
                apps |= self._some(rows.between(connection, *self._bounds()), known) if spot_check else set()
            found = rows.read(connection, self._domain, apps)
            certificate = rows.platform_pem(connection, self._store.configuration, API)
            if spot_check:
                self._part = (self._part + 1) % PARTS
                if not self._part:
                    rows.forget_changes(connection)
        gone = {*known} - found.keys() if apps is None else apps - found.keys()
        news: dict[UUID, AppRoute | None] = {**dict.fromkeys(gone), **found}
        return News(moment.at, news, everything, certificate, moment.next)

    def done(self, news: News) -> None:
        """All of it is in force: go on after it."""
        self._next, self._done_at = news.next, time.monotonic()

    def _is_late(self) -> bool:
        """Whether changes since then may be forgotten."""
        return time.monotonic() - self._done_at > rows.KEPT.total_seconds() / 2

    def _bounds(self) -> tuple[UUID, UUID]:
        return UUID(int=self._part << _PART_BITS), UUID(int=((self._part + 1) << _PART_BITS) - 1)

    def _some(self, there: set[UUID], known: Collection[UUID]) -> set[UUID]:
        first, last = self._bounds()
        return there | {app for app in known if first.int <= app.int <= last.int}
