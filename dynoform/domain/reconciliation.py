"""The dyno manager's decisions: from one snapshot of what is wanted and what runs to a list of actions with reasons.

Rules are Heroku's (https://devcenter.heroku.com/articles/dynos, /preboot, /dyno-restarts): new dynos first, the old
ones leave when all new ones of their type are up and routed; a release that does not boot takes nothing down; a process
that ends is a crash and starts again at once, then after a growing cool-off; every dyno is replaced once a day, and
when its stack image has a successor; Eco dynos sleep (``dynoform.domain.eco``).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from dynoform.domain import cycling, eco
from dynoform.domain.dyno_actions import (
    Action,
    AddDyno,
    CycleDyno,
    Idle,
    Move,
    RemoveDyno,
    RemoveService,
    Retire,
    StartDyno,
    StopIdle,
)
from dynoform.domain.dyno_hosting import Hosting
from dynoform.domain.dyno_life import Life
from dynoform.domain.dyno_snapshot import IDLE, WEB, AppState, DynoState, Service, Snapshot
from dynoform.domain.placement import Board, Placed

GRACE = timedelta(seconds=1)
"""Between taking a dyno out of the routes and stopping it, for requests that are on their way to it."""
PREBOOT = timedelta(minutes=2)
"""With preboot, how long all web dynos of a release have to be up before the old ones leave: of Heroku's 3 minutes, one
is for booting."""
BESIDE = timedelta(seconds=5)
"""How long a web dyno on a new stack image serves beside the one that it replaces. Many start at a time then, and what
listens may not answer yet: a server binds its port before its workers have loaded the app. One alone would have the
requests of all that time waiting, up to its limit (H11)."""
MOVING = timedelta(minutes=5)
"""For this long a dyno that starts or leaves is taken for one that is being replaced."""

REST = timedelta(seconds=10)
"""How long an app's dynos have been as they are before one of them is moved only to have things even."""


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
    return [*actions, *_cycles(snapshot, formations)]


def _cycles(snapshot: Snapshot, formations: Sequence["_Formation"]) -> Iterator[Action]:
    """The dynos that are due to be replaced, few at a time: those on an older stack image, then the oldest."""
    outdated = sorted(str(dyno.id) for formation in formations for dyno in formation.outdated())
    due = sorted((moment, str(dyno.id)) for formation in formations for moment, dyno in formation.due())
    if not due and not outdated:
        return
    moving = [
        dyno for dyno in snapshot.dynos if dyno.state in {"starting", "down"} and snapshot.now - dyno.since < MOVING
    ]
    # One that serves beside its successor takes no time of a processor for that.
    up = {(dyno.app_id, dyno.key) for dyno in snapshot.dynos if dyno.state == "up"}
    booting = {(dyno.app_id, dyno.key) for dyno in moving if dyno.address is None or (dyno.app_id, dyno.key) not in up}
    updated = outdated[: cycling.update_room(len(snapshot.dynos), len(booting))]
    yield from (CycleDyno(UUID(dyno_id), "its stack image has a successor") for dyno_id in updated)
    room = cycling.room(len(snapshot.dynos), len(moving) + len(updated))
    aged = [dyno_id for _, dyno_id in due if dyno_id not in updated]
    yield from (CycleDyno(UUID(dyno_id), "has had its day") for dyno_id in aged[:room])


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
        self.snapshot, self.app, self.services = snapshot, app, services
        self.hosting = Hosting(snapshot, app, services, board)
        self.life = Life(self.hosting)
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
                yield from self.life.live(dyno)
        for dyno in self.leaving:
            yield from self._leave(dyno)

    def due(self) -> Iterator[tuple[datetime, DynoState]]:
        """Dynos that have had their day, with since when; at most one of a type, and none while others are moving."""
        first: dict[str, tuple[datetime, DynoState]] = {}
        for dyno in self._replaceable():
            if dyno.created is None:
                continue
            moment = cycling.due(dyno.id, dyno.created)
            if moment <= self.snapshot.now and (dyno.type not in first or moment < first[dyno.type][0]):
                first[dyno.type] = moment, dyno
        yield from first.values()

    def outdated(self) -> Iterator[DynoState]:
        """Dynos whose slug has been laid on a newer stack image; at most one of a type, and none while others move."""
        first: dict[str, DynoState] = {}
        for dyno in self._replaceable():
            if dyno.image is not None and dyno.image != self.app.wanted[dyno.key].image:
                first.setdefault(dyno.type, dyno)
        yield from first.values()

    def _replaceable(self) -> Iterator[DynoState]:
        busy = {dyno.type for dyno in self.leaving} | {
            dyno.type for dyno in self.current.values() if dyno.state == "starting"
        }
        return (dyno for dyno in self.current.values() if dyno.type not in busy and dyno.state == "up")

    def _may_sleep(self, dyno: DynoState) -> bool:
        quiet = eco.is_quiet(self.active, self.snapshot.traffic_until, self.snapshot.sleeps_after)
        return quiet and self.sleeps and dyno.size == eco.ECO

    def _idle(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that sleeps: is it to wake, or does its process still run?"""
        service = self.services.get(dyno.id)
        if not self.sleeps or eco.is_woken(self.active, dyno.since):
            yield from self.hosting.start(dyno, "its app is awake")
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

    def _succeeded(self, old: DynoState, new: DynoState | None) -> bool:
        """Whether a dyno of the same release may leave for its successor."""
        if new is None or not self._settled(new):
            return False
        same = old.type != WEB or old.image in {None, new.image}
        return same or self.snapshot.now - new.since >= BESIDE

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
        elif dyno.state not in {"up", "down"} or service is None or self.hosting.has_ended(service):
            # It serves nobody: nothing is gained by keeping it until its successor is up.
            yield Retire(dyno.id, "replaced before it was up" if dyno.state == "starting" else "replaced, not running")
        elif self._same_release(dyno):
            if self._succeeded(dyno, self.current.get(dyno.key)):
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
