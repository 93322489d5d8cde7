"""Follows what happens to dynos' containers on this host: no end of one is missed, and none is told twice.

The engine's events come first, since they say who asked; then the containers that have ended, for what happened while
nobody listened or the engine itself was away; then events as they come. The store remembers what was told.
"""

import json
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dynoform.agent.ledger import Ledger
from dynoform.domain import disk, dyno_container, dyno_ends, dyno_lines, runtime_metrics
from dynoform.domain.dyno_container import DYNO_LABEL, STACK_LABEL
from dynoform.domain.dyno_ends import KILLED, End, Event, Resident
from dynoform.errors import ConflictError, NotFoundError
from dynoform.journal import Journal
from dynoform.run.engine import SECONDS, Engine
from dynoform.run.session import Logs

SILENT_SECONDS = 60.0
"""How long the stream of events may say nothing before it is opened anew: an engine that hangs ends no connection."""
SIZE_SECONDS = 180.0
REOPEN_SECONDS = 1.0
"""Between two streams of events: what happens meanwhile is remembered by the engine."""
_ACTIONS = ("start", "kill", "oom", "die")
_EARLIER = timedelta(seconds=60)
"""How long before the last event that was dealt with a container may have ended and still be unknown."""


class Watcher:
    """The dynos of one stack on this host."""

    def __init__(
        self, stack: str, engine: Engine, ledger: Ledger, logs: Logs, journal: Journal, started: datetime
    ) -> None:
        """``started`` is this process's start: what happened before is only made up for."""
        self.engine = engine
        self._stack, self._ledger, self._logs, self._journal, self._started = stack, ledger, logs, journal, started
        self._until: int | None = None
        self._asked: dict[str, datetime] = {}
        """Containers that somebody has asked to end, and when."""
        self._over: set[str] = set()
        """Containers that have come to the end of their memory."""
        self._limited: set[str] = set()
        self._told: set[str] = set()
        """Containers that need not be looked at again when the connection to the engine was lost."""

    @property
    def events_until(self) -> int | None:
        """Up to when events were dealt with, in nanoseconds since 1970; None before the first look at them."""
        return self._until

    async def follow(self) -> None:
        """Deal with all that has happened and happens, until the engine or the store goes away or falls silent.

        Raises ``DynoformError`` when they do: call it again.
        """
        if self._until is None:
            self._until = await self._ledger.events_until() or time.time_ns()
        since, now = self._until, time.time_ns()
        await self._take_all(self._query(since, until=now))
        await self._catch_up(datetime.fromtimestamp(since / 1e9, UTC) - _EARLIER)
        await self._take_all(self._query(now))

    async def residents(self, *statuses: str, sizes: bool = False) -> list[tuple[Resident, Mapping[str, Any]]]:
        """The dynos on this host in one of these states (``running``), as the engine lists their containers.

        ``sizes`` adds what each has written, for which the engine reads the whole disk.
        """
        filters = {"label": [f"{STACK_LABEL}={self._stack}", DYNO_LABEL], "status": list(statuses)}
        query = {"all": "1", "filters": json.dumps(filters)} | ({"size": "1"} if sizes else {})
        seconds = SIZE_SECONDS if sizes else SECONDS
        listed = await self.engine.call("GET", "/containers/json", query=query, seconds=seconds)
        found = [(dyno_ends.resident(each["Id"], each["Labels"]), each) for each in listed]
        return [(resident, each) for resident, each in found if resident is not None]

    async def limit(self, resident: Resident) -> None:
        """Hold a formation dyno to what Swarm's services have no words for; once."""
        if resident.container in self._limited or not resident.formation or resident.size is None:
            return
        limits = dyno_container.limits(resident.size.name).adjustable
        try:
            await self.engine.call("POST", f"/containers/{resident.container}/update", limits)
        except (NotFoundError, ConflictError) as error:
            self._journal.info("not limited", container=resident.container[:12], error=error)  # it has ended
        self._limited.add(resident.container)

    async def stop_over(self, resident: Resident) -> None:
        """R15: end a dyno that has come to the end of what its size may have."""
        if resident.container in self._over:
            return
        self._over.add(resident.container)
        self._journal.info("memory", dyno=resident.id, name=resident.name, container=resident.container[:12])
        if not resident.formation and resident.size is not None:
            self.say(resident, *runtime_metrics.killed_lines(resident.size))
        await self._kill(resident)

    async def stop_largest(self) -> None:
        """End the dyno that has written most to this host's disk, if that is much."""
        found = {
            each["Id"]: (dyno, int(each.get("SizeRw", 0))) for dyno, each in await self.residents("running", sizes=True)
        }
        largest = disk.to_stop({container: written for container, (_, written) in found.items()})
        if largest is not None:
            resident, written = found[largest]
            self._journal.warning("disk", dyno=resident.id, name=resident.name, written=written)
            self.say(resident, *dyno_lines.disk_full(written))
            await self._kill(resident)

    def say(self, resident: Resident, *lines: str) -> None:
        """Write to the log of the dyno's app, in the platform's name; never waits."""
        for line in lines:
            self._logs.line(resident.app_id, "heroku", resident.name, line)

    async def _kill(self, resident: Resident) -> None:
        with suppress(NotFoundError, ConflictError):  # its first process has ended already
            await self.engine.call("POST", f"/containers/{resident.container}/kill")

    def _query(self, since: int, until: int | None = None) -> dict[str, str]:
        filters = {"type": ["container"], "event": list(_ACTIONS), "label": [f"{STACK_LABEL}={self._stack}"]}
        query = {"since": _engine_time(since), "filters": json.dumps(filters)}
        return query if until is None else query | {"until": _engine_time(until)}

    async def _take_all(self, query: Mapping[str, str]) -> None:
        async with aclosing(self.engine.values("/events", query, SILENT_SECONDS)) as events:
            async for described in events:
                await self._take(described)

    async def _take(self, described: Mapping[str, Any]) -> None:
        event = dyno_ends.event(described)
        resident = dyno_ends.resident(event.container, event.attributes) if event else None
        if event is None or resident is None:
            return
        if event.action == "start":
            await self.limit(resident)
        elif event.asks_to_end:
            self._asked.setdefault(event.container, event.at)
        elif event.action == "oom":
            if event.at >= self._started:
                await self.stop_over(resident)
            else:
                self._over.add(event.container)
        elif event.action == "die" and resident.formation:
            await self._died(resident, event)
        self._until = event.nanoseconds + 1

    async def _died(self, resident: Resident, event: Event) -> None:
        container, code = event.container, int(event.attributes.get("exitCode", 0))
        over = container in self._over
        if code == KILLED and not over and container not in self._asked:
            over = await self._was_out_of_memory(container)  # the kernel's word may come after the process's
        await self._tell(End(resident, code, event.at, self._asked.get(container), over and code == KILLED))
        self._asked.pop(container, None)
        self._over.discard(container)
        self._limited.discard(container)

    async def _was_out_of_memory(self, container: str) -> bool:
        try:
            described = await self.engine.call("GET", f"/containers/{container}/json")
        except NotFoundError:
            return False
        return bool(described["State"]["OOMKilled"])

    async def _catch_up(self, since: datetime) -> None:
        """Limit what runs, and tell what has ended unseen."""
        for resident, _ in await self.residents("running"):
            await self.limit(resident)
        ended = [resident for resident, _ in await self.residents("exited", "dead") if resident.formation]
        self._told &= {resident.container for resident in ended}
        for resident in ended:
            if resident.container not in self._told:
                await self._look_at(resident, since)

    async def _look_at(self, resident: Resident, since: datetime) -> None:
        try:
            described = await self.engine.call("GET", f"/containers/{resident.container}/json")
        except NotFoundError:
            return
        end = dyno_ends.found(resident, described)
        if end is not None and end.at >= since:
            await self._tell(replace(end, signalled_at=self._asked.pop(resident.container, None)))
        self._told.add(resident.container)

    async def _tell(self, end: End) -> None:
        if await self._ledger.ended(end):
            self._journal.info("ended", name=end.resident.name, code=end.code, error=end.error, at=end.at.isoformat())
            self.say(end.resident, *end.lines())
        self._told.add(end.resident.container)


def _engine_time(nanoseconds: int) -> str:
    """A moment as the engine's API takes it."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
