"""Clocks that are set back: what is stamped with a moment that has not come yet counts from when it was first seen.

Otherwise a dyno would boot, leave or cool off for as long as the clock was set back by.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, update

from dynoform.domain.dyno_snapshot import DynoState, Service, Task
from dynoform.store.session import Store
from dynoform.store.tables import Dyno

SKEW = timedelta(seconds=5)
"""Clocks of hosts that keep time differ by less."""


def is_ahead(dynos: Iterable[DynoState], now: datetime) -> bool:
    """Whether a dyno got into its state at a moment that is still to come; ``now`` is the store's."""
    return any(dyno.since > now + SKEW for dyno in dynos)


def restamp(store: Store) -> None:
    """Let such dynos have got into their state now, with the cool-off that they have. Raises ``UnavailableError``."""
    now = func.clock_timestamp()
    values = {
        "state_changed_at": now,
        "start_after": Dyno.start_after - (Dyno.state_changed_at - now),
        "created_at": func.least(Dyno.created_at, now),
    }
    with store.transaction() as session:
        session.execute(update(Dyno).where(Dyno.state_changed_at > now + SKEW).values(values))


class TaskTimes:
    """When tasks got into their states, by the store's clock."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._seen: dict[tuple[str, str], float] = {}

    def corrected(self, services: tuple[Service, ...], now: datetime) -> tuple[Service, ...]:
        """The services, with the times of tasks that are ahead of ``now`` replaced."""
        ahead = {_key(task) for service in services for task in service.tasks if task.at > now + SKEW}
        moment = time.monotonic()
        self._seen = {key: self._seen.get(key, moment) for key in ahead}
        if not ahead:
            return services
        return tuple(
            replace(service, tasks=tuple(self._corrected(task, now, moment) for task in service.tasks))
            for service in services
        )

    def _corrected(self, task: Task, now: datetime, moment: float) -> Task:
        seen = self._seen.get(_key(task))
        return task if seen is None else replace(task, at=now - timedelta(seconds=moment - seen))


def _key(task: Task) -> tuple[str, str]:
    return task.id, task.state
