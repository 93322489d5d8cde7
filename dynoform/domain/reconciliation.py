"""The dyno manager's decisions: from one snapshot of what is wanted and what runs to a list of actions with reasons.

Rules are Heroku's (https://devcenter.heroku.com/articles/dynos, /preboot, /dyno-restarts): new dynos first, the old
ones leave when all new ones of their type are up and routed; a release that does not boot takes nothing down; a process
that ends is a crash and starts again at once, then after a growing cool-off; every dyno is replaced once a day; Eco
dynos sleep (``dynoform.domain.eco``).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dynoform.domain import backoff, cycling, eco, placement
from dynoform.domain.dyno_actions import (
    Action,
    AddDyno,
    CycleDyno,
    Idle,
    MarkCrashed,
    MarkStarting,
    MarkUp,
    Move,
    RemoveDyno,
    RemoveService,
    Retire,
    StartDyno,
    StopIdle,
)
from dynoform.domain.placement import Board, Host, Placed

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
PREBOOT = timedelta(minutes=2)
"""With preboot, how long all web dynos of a release have to be up before the old ones leave: of Heroku's 3 minutes, one
is for booting."""
MOVING = timedelta(minutes=5)
"""For this long a dyno that starts or leaves is taken for one that is being replaced."""

MOVES = 8
"""Dynos that leave drained hosts at a time: their successors boot beside everything else."""
REST = timedelta(seconds=10)
"""How long an app's dynos have been as they are before one of them is moved only to have things even."""

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
    preboot: bool = False
    """Whether a release's web dynos prove themselves beside the old ones before these leave."""
    runtime: str = placement.COMMON
    """The runtime whose hosts it runs on."""
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
    created: datetime | None = None
    moving: bool = False
    """Whether it is to be on another host: it stays until its successor is up."""

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
    host: str = ""
    """Swarm's id of its node."""

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
    host: str = ""
    """The node that it was made for."""

    @property
    def at(self) -> str:
        """The node that it is on or for; empty when that is not known."""
        return self.host or (self.tasks[-1].host if self.tasks else "")


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
    hosts: tuple[Host, ...] = ()
    """The hosts of all runtimes; none while they are not known, and Swarm places dynos."""
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
    board = Board(snapshot.hosts)
    board.leaving = sum(dyno.moving for dyno in snapshot.dynos)
    formations = [_Formation(snapshot, app, by_app[app.id], services, board) for app in snapshot.apps]
    for formation in formations:
        for placed in formation.placed():
            board.put(placed)
    for formation in formations:
        actions += formation.decide()
    moves = any(dyno.moving for dyno in snapshot.dynos) or any(isinstance(each, StartDyno | Move) for each in actions)
    if snapshot.hosts and not moves:
        actions += _even(board, formations)
    return actions + _cycles(snapshot, formations)


def _cycles(snapshot: Snapshot, formations: Iterable["_Formation"]) -> list[Action]:
    """The dynos that are due to be replaced, oldest first and few at a time."""
    due = sorted((moment, str(dyno.id)) for formation in formations for moment, dyno in formation.due())
    if not due:
        return []
    moving = sum(
        1 for dyno in snapshot.dynos if dyno.state in {"starting", "down"} and snapshot.now - dyno.since < MOVING
    )
    room = cycling.room(len(snapshot.dynos), moving)
    return [CycleDyno(UUID(dyno_id), "has had its day") for _, dyno_id in due[:room]]


def _even(board: Board, formations: Iterable["_Formation"]) -> Iterator[Action]:
    """One dyno at a time to where there are fewer, as after a host has joined or come back."""
    apps = {formation.app.id: formation for formation in formations}
    found = board.move({app_id: formation.app.runtime for app_id, formation in apps.items()})
    if found and apps[found[0].group[0]].at_rest():
        yield Move(found[0].dyno_id, f"evened out, towards {board.hosts[found[1]].name}")


class _Formation:
    """The decisions for one app."""

    def __init__(
        self,
        snapshot: Snapshot,
        app: AppState,
        dynos: Iterable[DynoState],
        services: Mapping[UUID, Service],
        board: Board,
    ) -> None:
        self.snapshot, self.app, self.services, self.board = snapshot, app, services, board
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
        replaced = restarting | {dyno.key for dyno in self.leaving if dyno.state == "up"}
        moving = {dyno.key for dyno in self.leaving if dyno.moving}
        for key, wanted in self.app.wanted.items():
            if key not in self.current:
                reason = "restart" if key in restarting else "moves" if key in moving else "declared and not there"
                yield AddDyno(
                    self.app.id, wanted.release_id, *key, wanted.size, wanted.command, reason, key in replaced
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

    def due(self) -> Iterator[tuple[datetime, DynoState]]:
        """Dynos that have had their day, with since when; at most one of a type, and none while others are moving."""
        busy = {dyno.type for dyno in self.leaving} | {
            dyno.type for dyno in self.current.values() if dyno.state == "starting"
        }
        first: dict[str, tuple[datetime, DynoState]] = {}
        for dyno in self.current.values():
            if dyno.type in busy or dyno.state != "up" or dyno.created is None:
                continue
            moment = cycling.due(dyno.id, dyno.created)
            if moment <= self.snapshot.now and (dyno.type not in first or moment < first[dyno.type][0]):
                first[dyno.type] = moment, dyno
        yield from first.values()

    def _may_sleep(self, dyno: DynoState) -> bool:
        quiet = eco.is_quiet(self.active, self.snapshot.traffic_until, self.snapshot.sleeps_after)
        return quiet and self.sleeps and dyno.size == eco.ECO

    def _idle(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that sleeps: is it to wake, or does its process still run?"""
        service = self.services.get(dyno.id)
        if not self.sleeps or eco.is_woken(self.active, dyno.since):
            yield from self._start(dyno, "its app is awake")
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
            and not dyno.moving
            and (dyno.release_id, dyno.size) == (wanted.release_id, wanted.size)
        )

    def _same_release(self, dyno: DynoState) -> bool:
        wanted = self.app.wanted.get(dyno.key)
        return wanted is not None and dyno.release_id == wanted.release_id

    def _settled(self, dyno: DynoState | None) -> bool:
        """Whether the dyno is up and, if it takes traffic, every router sends it some."""
        return dyno is not None and dyno.state == "up" and (dyno.type != WEB or self.snapshot.routed(dyno.since))

    def _proven(self, dyno: DynoState | None) -> bool:
        """Whether the dyno may take over from an older release's: with preboot, it has served for a while."""
        if dyno is None or not self._settled(dyno):
            return False
        return dyno.type != WEB or not self.app.preboot or self.snapshot.now - dyno.since >= PREBOOT

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
        elif all(self._proven(self.current.get(key)) for key in self.app.wanted if key[0] == dyno.type):
            yield Retire(dyno.id, "replaced by the new release")

    def placed(self) -> Iterator[Placed]:
        """Where the dynos are that are to stay."""
        for dyno in self.current.values():
            service = self.services.get(dyno.id)
            if service is not None and dyno.state != "crashed":
                yield Placed(dyno.id, (self.app.id, dyno.type), dyno.size, service.at)

    def at_rest(self) -> bool:
        """Whether all is as declared and has been so for a while."""
        settled = (dyno.state in {"up", "crashed", IDLE} for dyno in self.current.values())
        rested = (self.snapshot.now - dyno.since >= REST for dyno in self.current.values())
        return not self.leaving and len(self.current) == len(self.app.wanted) and all(settled) and all(rested)

    def _start(self, dyno: DynoState, reason: str) -> Iterator[Action]:
        """Start it where it is best; not at all while its runtime has no host that takes dynos."""
        if not self.snapshot.hosts:
            yield StartDyno(dyno.id, reason)
            return
        group, service = (self.app.id, dyno.type), self.services.get(dyno.id)
        before = Placed(dyno.id, group, dyno.size, service.at if service else "")
        if before in self.board.on.get(before.host, ()):
            self.board.take(before)
        if host := self.board.choose(group, dyno.size, self.app.runtime):
            self.board.put(Placed(dyno.id, group, dyno.size, host))
            yield StartDyno(dyno.id, reason, host)

    def _lost(self, service: Service) -> bool:
        """Whether it is for a host that does not answer, runs nothing, or is no more."""
        host = self.board.hosts.get(service.at)
        return bool(self.snapshot.hosts) and bool(service.at) and (host is None or not host.alive)

    def _is_drained(self, service: Service) -> bool:
        """Whether its host is to be left, and there is another."""
        host = self.board.hosts.get(service.at)
        return host is not None and host.draining and bool(self.board.usable(self.app.runtime))

    def _ended(self, service: Service) -> bool:
        """Whether nothing of the service runs and Swarm has had its turn to start it again."""
        if self._lost(service):
            return True
        latest = service.tasks[-1] if service.tasks else None
        return latest is not None and not latest.live and self.snapshot.now - latest.at >= SWARM_TURN

    def _live(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that is as declared: does it run, has it crashed, is it up?"""
        service = self.services.get(dyno.id)
        if service is None:
            yield from self._start_missing(dyno)
            return
        if dyno.state != "crashed" and self._lost(service) and self.board.usable(self.app.runtime):
            yield from self._start(dyno, "its host is lost")
            return
        if service.altered:
            yield from self._start(dyno, f"its service was changed: {service.altered}")
            return
        if dyno.state != "crashed" and self._is_drained(service):
            yield from self._drain(dyno)
            return
        crash = next((task for task in service.tasks if self._is_new_crash(task)), None)
        if crash is not None:
            yield self._crashed(dyno, crash)
            return
        latest = service.tasks[-1] if service.tasks else None
        if latest is None or not latest.live:
            yield from self._restart_ended(dyno, latest)
        else:
            yield from self._observe(dyno, latest)

    def _crashed(self, dyno: DynoState, task: Task) -> MarkCrashed:
        reason = task.error or f"its process ended ({task.state})"
        if task.state == "rejected":
            after = self.snapshot.now + backoff.RELAUNCH
            return MarkCrashed(dyno.id, dyno.crashes, after, reason, task.id, launch_failed=True)
        ran_for = task.at - dyno.since if dyno.state == "up" else timedelta(0)
        crashes = backoff.count(dyno.crashes, ran_for)
        return MarkCrashed(dyno.id, crashes, self.snapshot.now + backoff.delay(crashes), reason, task.id)

    def _drain(self, dyno: DynoState) -> Iterator[Action]:
        """Have it leave its host, when not too many do."""
        if self.board.leaving < MOVES:
            self.board.leaving += 1
            yield Move(dyno.id, "its host is drained")

    def _is_new_crash(self, task: Task) -> bool:
        if task.state not in _CRASHED or task.id in self.snapshot.counted or _port_taken(task):
            return False
        return self.snapshot.watched_since is None or task.at >= self.snapshot.watched_since

    def _start_missing(self, dyno: DynoState) -> Iterator[Action]:
        if dyno.state != "crashed":
            yield from self._start(dyno, "new" if dyno.state == "starting" else "its service is gone")
        elif dyno.start_after is None or dyno.start_after <= self.snapshot.now:
            yield from self._start(dyno, "cool-off is over")

    def _restart_ended(self, dyno: DynoState, latest: Task | None) -> Iterator[Action]:
        """No task runs or will run unless somebody starts one: Swarm, whose turn the first time is, or we."""
        if dyno.state == "crashed":
            due = dyno.start_after or self.snapshot.now
            if dyno.crashes == 1:
                due = max(due, dyno.since + SWARM_TURN)
            if due <= self.snapshot.now:
                yield from self._start(dyno, "cool-off is over")
        elif latest is not None and _port_taken(latest):
            yield from self._leave_port(dyno)
        elif self.snapshot.now - (latest.at if latest else dyno.since) >= (SWARM_TURN if latest else NO_TASK):
            yield from self._start(dyno, "it was stopped with its engine" if latest else "Swarm has no task for it")

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
            yield from self._start(dyno, "its port is taken")

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
