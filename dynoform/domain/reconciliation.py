"""The dyno manager's decisions: from one snapshot of what is wanted and what runs to a list of actions with reasons.

Rules are Heroku's (https://devcenter.heroku.com/articles/dynos, /preboot): new dynos first, the old ones leave when all
new ones of their type are up and routed; a release that does not boot takes nothing down; a process that ends is a
crash and starts again at once, then after a growing cool-off; Eco dynos sleep (``dynoform.domain.eco``).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dynoform.domain import backoff, eco
from dynoform.domain.dyno_actions import (
    Action,
    AddDyno,
    Idle,
    MarkCrashed,
    MarkStarting,
    MarkUp,
    RemoveDyno,
    RemoveService,
    Retire,
    StartDyno,
    StopIdle,
)

WEB = "web"
IDLE = "idle"
BOOT_TIMEOUT = timedelta(seconds=60)
STEADY = timedelta(seconds=1)
"""A dyno without a port is up when it has run for this long."""
GRACE = timedelta(seconds=1)
"""Between taking a dyno out of the routes and stopping it, for requests that are on their way to it."""
ROUTING_MARGIN = timedelta(milliseconds=50)
"""Routes read this long after a change was stamped surely have it: its transaction was over."""
SWARM_TURN = timedelta(seconds=3)
"""How long Swarm may take to begin its own restart before it is taken to have given up."""
NO_TASK = timedelta(seconds=15)
"""How long a new service may be without a task."""

_ENDED = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})
_CRASHED = frozenset({"complete", "failed", "rejected"})
_PORT_TAKEN = ("host-mode port", "port is already allocated", "address already in use")


@dataclass(frozen=True)
class Wanted:
    """What a dyno has to run."""

    release_id: UUID
    size: str
    command: str


@dataclass(frozen=True)
class AppState:
    """An app's desired formation: process type and number → what to run; empty before its first slug."""

    id: UUID
    wanted: Mapping[tuple[str, int], Wanted]
    requested: datetime | None = None
    """Its last request that a router has told of."""


@dataclass(frozen=True)
class DynoState:
    """A dyno's row in the store."""

    id: UUID
    app_id: UUID
    release_id: UUID
    type: str
    number: int
    size: str
    state: str
    since: datetime
    address: str | None = None
    port: int | None = None
    crashes: int = 0
    start_after: datetime | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Process type and number."""
        return (self.type, self.number)


@dataclass(frozen=True)
class Task:
    """One run of a service's container, as Swarm tells it."""

    id: str
    state: str
    at: datetime
    """When it got into its state."""
    address: str | None = None
    port: int | None = None
    error: str = ""

    @property
    def live(self) -> bool:
        """Whether it runs or may still come to run."""
        return self.state not in _ENDED


@dataclass(frozen=True)
class Service:
    """A Swarm service of ours; ``tasks`` from old to new."""

    id: str
    name: str
    dyno_id: UUID | None
    tasks: tuple[Task, ...] = ()
    altered: str = ""
    """How it differs from what was declared, if somebody changed it."""


@dataclass(frozen=True)
class Snapshot:
    """Everything a decision is made of."""

    now: datetime
    apps: tuple[AppState, ...]
    dynos: tuple[DynoState, ...]
    services: tuple[Service, ...]
    answering: frozenset[UUID] = frozenset()
    """Dynos whose port answers."""
    counted: frozenset[str] = frozenset()
    """Tasks whose end has been counted as a crash."""
    watched_since: datetime | None = None
    """Ends before this moment happened while nobody looked, or with the engine itself: no crash of the app."""
    routed_until: datetime | None = None
    """All routers serve the routes as they were at this moment; None when there is no router to wait for."""
    routers_away: bool = False
    """Routers are known and none of them reports: nothing may leave the routes unseen."""
    traffic_until: datetime | None = None
    """Every router has told of its requests up to this moment; None when one of them has not."""
    sleeps_after: timedelta = eco.SLEEPS_AFTER

    def routed(self, since: datetime) -> bool:
        """Whether every router knows of a change made at ``since``."""
        if self.routers_away:
            return False
        return self.routed_until is None or self.routed_until >= since + ROUTING_MARGIN


def decide(snapshot: Snapshot) -> list[Action]:
    """The actions that bring ``snapshot`` nearer to what is wanted; none when all is as it should be.

    The order is that in which they should be done. Doing one twice, or only some of them, does no harm: the next
    snapshot shows what is left.
    """
    services: dict[UUID, Service] = {}
    actions: list[Action] = []
    known = {dyno.id for dyno in snapshot.dynos}
    for service in snapshot.services:
        if service.dyno_id is None or service.dyno_id not in known:
            actions.append(RemoveService(service.id, service.name, "its dyno is no longer declared"))
        elif service.dyno_id in services:
            actions.append(RemoveService(service.id, service.name, "its dyno has another service"))
        else:
            services[service.dyno_id] = service
    by_app: dict[UUID, list[DynoState]] = defaultdict(list)
    for dyno in snapshot.dynos:
        by_app[dyno.app_id].append(dyno)
    for app in snapshot.apps:
        actions += _Formation(snapshot, app, by_app[app.id], services).decide()
    return actions


class _Formation:
    """The decisions for one app."""

    def __init__(
        self, snapshot: Snapshot, app: AppState, dynos: Iterable[DynoState], services: Mapping[UUID, Service]
    ) -> None:
        self.snapshot, self.app, self.services = snapshot, app, services
        self.current: dict[tuple[str, int], DynoState] = {}
        self.leaving: list[DynoState] = []
        # Of two that fit (a killed reconciler may have added one twice) the one that is up stays.
        for dyno in sorted(dynos, key=lambda dyno: (dyno.state != "up", dyno.since)):
            if self._fits(dyno) and dyno.key not in self.current:
                self.current[dyno.key] = dyno
            else:
                self.leaving.append(dyno)
        web = [dyno for dyno in self.current.values() if dyno.type == WEB]
        moments = [*(dyno.since for dyno in web if dyno.state != IDLE), *([app.requested] if app.requested else [])]
        self.active = max(moments, default=None)
        """When it last did something: had a request, or started a web dyno."""
        self.sleeps = bool(web) and eco.can_sleep([each.size for key, each in app.wanted.items() if key[0] == WEB])

    def decide(self) -> Iterator[Action]:
        """All actions for the app: first the new and the living, then those that go."""
        restarting = {dyno.key for dyno in self.leaving if dyno.state == "down" and self._same_release(dyno)}
        for key, wanted in self.app.wanted.items():
            if key not in self.current:
                reason = "restart" if key in restarting else "declared and not there"
                yield AddDyno(
                    self.app.id, wanted.release_id, *key, wanted.size, wanted.command, reason, key in restarting
                )
        for dyno in sorted(self.current.values(), key=lambda dyno: dyno.type != WEB):  # requests may wait for those
            if dyno.state == IDLE:
                yield from self._idle(dyno)
            elif self._may_sleep(dyno):
                yield Idle(dyno.id, "its app has had no request for long")
            else:
                yield from self._live(dyno)
        for dyno in self.leaving:
            yield from self._leave(dyno)

    def _may_sleep(self, dyno: DynoState) -> bool:
        quiet = eco.is_quiet(self.active, self.snapshot.traffic_until, self.snapshot.sleeps_after)
        return quiet and self.sleeps and dyno.size == eco.ECO

    def _idle(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that sleeps: is it to wake, or does its process still run?"""
        service = self.services.get(dyno.id)
        if not self.sleeps or eco.is_woken(self.active, dyno.since):
            yield StartDyno(dyno.id, "its app is awake")
        elif service is not None and self._unrouted(dyno):
            yield StopIdle(dyno.id, service.id, "out of the routes")

    def _unrouted(self, dyno: DynoState) -> bool:
        """Whether no request goes any more to a dyno that has left the routes."""
        return self.snapshot.now - dyno.since >= GRACE and (dyno.type != WEB or self.snapshot.routed(dyno.since))

    def _fits(self, dyno: DynoState) -> bool:
        wanted = self.app.wanted.get(dyno.key)
        return (
            wanted is not None
            and dyno.state != "down"
            and (dyno.release_id, dyno.size) == (wanted.release_id, wanted.size)
        )

    def _same_release(self, dyno: DynoState) -> bool:
        wanted = self.app.wanted.get(dyno.key)
        return wanted is not None and dyno.release_id == wanted.release_id

    def _settled(self, dyno: DynoState | None) -> bool:
        """Whether the dyno is up and, if it takes traffic, every router sends it some."""
        return dyno is not None and dyno.state == "up" and (dyno.type != WEB or self.snapshot.routed(dyno.since))

    def _leave(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that is not wanted any more, or is to be replaced."""
        service = self.services.get(dyno.id)
        if dyno.state == "down" and dyno.address is None:
            if service is None or self._unrouted(dyno):
                yield RemoveDyno(dyno.id, "out of the routes")
        elif dyno.key not in self.app.wanted:
            yield Retire(dyno.id, "scaled down", scaled_down=True)
        elif dyno.state not in {"up", "down"} or service is None or self._ended(service):
            # It serves nobody: nothing is gained by keeping it until its successor is up.
            yield Retire(dyno.id, "replaced before it was up" if dyno.state == "starting" else "replaced, not running")
        elif self._same_release(dyno) and self._settled(self.current.get(dyno.key)):
            yield Retire(dyno.id, "replaced by a new dyno")
        elif all(self._settled(self.current.get(key)) for key in self.app.wanted if key[0] == dyno.type):
            yield Retire(dyno.id, "replaced by the new release")

    def _ended(self, service: Service) -> bool:
        """Whether nothing of the service runs and Swarm has had its turn to start it again."""
        latest = service.tasks[-1] if service.tasks else None
        return latest is not None and not latest.live and self.snapshot.now - latest.at >= SWARM_TURN

    def _live(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that is as declared: does it run, has it crashed, is it up?"""
        service = self.services.get(dyno.id)
        if service is None:
            yield from self._start_missing(dyno)
            return
        if service.altered:
            yield StartDyno(dyno.id, f"its service was changed: {service.altered}")
            return
        crash = next((task for task in service.tasks if self._is_new_crash(task)), None)
        if crash is not None:
            ran_for = crash.at - dyno.since if dyno.state == "up" else timedelta(0)
            crashes = backoff.count(dyno.crashes, ran_for)
            reason = crash.error or f"its process ended ({crash.state})"
            after = self.snapshot.now + backoff.delay(crashes)
            yield MarkCrashed(dyno.id, crashes, after, reason, crash.id, launch_failed=crash.state == "rejected")
            return
        latest = service.tasks[-1] if service.tasks else None
        if latest is None or not latest.live:
            yield from self._restart_ended(dyno, latest)
        else:
            yield from self._observe(dyno, latest)

    def _is_new_crash(self, task: Task) -> bool:
        if task.state not in _CRASHED or task.id in self.snapshot.counted or _port_taken(task):
            return False
        return self.snapshot.watched_since is None or task.at >= self.snapshot.watched_since

    def _start_missing(self, dyno: DynoState) -> Iterator[Action]:
        if dyno.state != "crashed":
            yield StartDyno(dyno.id, "new" if dyno.state == "starting" else "its service is gone")
        elif dyno.start_after is None or dyno.start_after <= self.snapshot.now:
            yield StartDyno(dyno.id, "cool-off is over")

    def _restart_ended(self, dyno: DynoState, latest: Task | None) -> Iterator[Action]:
        """No task runs or will run unless somebody starts one: Swarm, whose turn the first time is, or we."""
        if dyno.state == "crashed":
            due = dyno.start_after or self.snapshot.now
            if dyno.crashes == 1:
                due = max(due, dyno.since + SWARM_TURN)
            if due <= self.snapshot.now:
                yield StartDyno(dyno.id, "cool-off is over")
        elif latest is not None and _port_taken(latest):
            yield from self._leave_port(dyno)
        elif self.snapshot.now - (latest.at if latest else dyno.since) >= (SWARM_TURN if latest else NO_TASK):
            yield StartDyno(dyno.id, "it was stopped with its engine" if latest else "Swarm has no task for it")

    def _observe(self, dyno: DynoState, task: Task) -> Iterator[Action]:
        """The newest task is alive: how far is it?"""
        if _port_taken(task):
            yield from self._wait_for_port(dyno, task)
        elif dyno.state == "crashed":
            yield MarkStarting(dyno.id, "Swarm starts it again")
        elif dyno.state == "up":
            moved = task.port is not None and (task.address, task.port) != (dyno.address, dyno.port)
            if task.state != "running" or moved:
                yield MarkStarting(dyno.id, "Swarm has moved or restarted it")
        elif task.state == "running":
            yield from self._boot(dyno, task)

    def _wait_for_port(self, dyno: DynoState, task: Task) -> Iterator[Action]:
        """Its port is in use: for a moment by its own predecessor, which leaves, or else by somebody who stays."""
        if any(earlier.live for earlier in self.services[dyno.id].tasks[:-1]):
            if dyno.state == "up":
                yield MarkStarting(dyno.id, "Swarm has moved or restarted it")
        else:
            yield from self._leave_port(dyno)

    def _leave_port(self, dyno: DynoState) -> Iterator[Action]:
        """Another port for the dyno, unless Swarm may still get this one: its predecessor has only just ended."""
        latest_change = max(task.at for task in self.services[dyno.id].tasks)
        if self.snapshot.now - latest_change >= SWARM_TURN:
            yield StartDyno(dyno.id, "its port is taken")

    def _boot(self, dyno: DynoState, task: Task) -> Iterator[Action]:
        if dyno.type != WEB:
            if self.snapshot.now - task.at >= STEADY:
                yield MarkUp(dyno.id, None, None, "it runs")
        elif dyno.id in self.snapshot.answering:
            yield MarkUp(dyno.id, task.address, task.port, "its port answers")
        elif self.snapshot.now - max(dyno.since, task.at) >= BOOT_TIMEOUT:
            crashes = backoff.count(dyno.crashes, timedelta(0))
            after = self.snapshot.now + backoff.delay(crashes)
            yield MarkCrashed(dyno.id, crashes, after, "nothing listens on its $PORT", task.id, boot_timeout=True)


def _port_taken(task: Task) -> bool:
    return any(words in task.error for words in _PORT_TAKEN)
