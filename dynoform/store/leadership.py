"""Leadership: of several processes one decides, by a lease in the store; another takes over when it runs out."""

import os
import socket
import time
import uuid
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from dynoform.errors import DynoformError
from dynoform.store.session import Store
from dynoform.store.tables import Lease

NAME = "reconcile"
SECONDS = 10
RENEW_SECONDS = 3
"""Renewed no more often than this: two tries fail before the lease is lost."""


class Leadership:
    """This process's hold on the lease."""

    def __init__(self, store: Store, name: str = NAME, seconds: float = SECONDS) -> None:
        """``seconds`` is how long the lease lasts without renewal."""
        self.store = store
        self.name = name
        self.seconds = seconds
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._until = 0.0
        self._renew_at = 0.0
        self._other: tuple[str, datetime] | None = None
        self._other_since = 0.0

    def held(self) -> bool:
        """Whether the lease is ours at this moment, by our own clock, which started before the store's did."""
        return time.monotonic() < self._until

    def acquire(self) -> bool:
        """Take or renew the lease when that is due; True while it is ours. Raises ``UnavailableError``."""
        if self.held() and time.monotonic() < self._renew_at:
            return True
        asked = time.monotonic()
        try:
            taken = self._take()
        except DynoformError:
            if self.held():
                return True
            raise
        if taken:
            self._until, self._renew_at = asked + self.seconds, asked + RENEW_SECONDS
        else:
            self._until = 0.0
        return taken

    def release(self) -> None:
        """Give the lease up, so that a successor need not wait for its end."""
        if self.held():
            self._until = 0.0
            with self.store.transaction() as session:
                lease = session.get(Lease, self.name)
                if lease is not None and lease.holder == self.holder:
                    session.delete(lease)

    def _take(self) -> bool:
        expires = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, self.seconds)
        values = {"holder": self.holder, "expires_at": expires}
        free = [Lease.holder == self.holder, Lease.expires_at < func.now()]
        if self._other is not None and time.monotonic() - self._other_since > self.seconds:
            holder, until = self._other
            free.append(and_(Lease.holder == holder, Lease.expires_at == until))
        statement = insert(Lease).values(name=self.name, **values)
        statement = statement.on_conflict_do_update(index_elements=[Lease.name], set_=values, where=or_(*free))
        with self.store.transaction() as session:
            session.execute(statement)
            holder, until = session.execute(select(Lease.holder, Lease.expires_at).where(Lease.name == self.name)).one()
        self._watch(holder, until)
        return bool(holder == self.holder)

    def _watch(self, holder: str, until: datetime) -> None:
        """Remember since when nobody has renewed the lease: the store's clock, by which it ends, may be set back."""
        if (holder, until) != self._other:
            self._other, self._other_since = (holder, until), time.monotonic()
