"""The reconciler: looks, decides, acts; on every change that it hears of, and every two seconds in case it did not."""

import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from dynoform.configuration import Configuration
from dynoform.domain import eco
from dynoform.domain.dyno_actions import urgency
from dynoform.domain.dyno_snapshot import DynoState, Service, Snapshot
from dynoform.domain.placement import Host
from dynoform.domain.reconciliation import decide
from dynoform.errors import DynoformError, UnavailableError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.reconcile import clocks, declared, probes, specification
from dynoform.reconcile.declared import Declared
from dynoform.reconcile.executor import Executor
from dynoform.reconcile.hearing import Hearing
from dynoform.reconcile.swarm import Actual, Swarm
from dynoform.store import hosts
from dynoform.store.leadership import Leadership
from dynoform.store.secrets import Vault
from dynoform.store.session import FORMATION, ROUTES, Store, pause
from dynoform.wake import Wake

IDLE_SECONDS = 2.0
BUSY_SECONDS = 0.2
"""While a dyno boots or leaves: what is waited for sends no event."""
BUSY_FOR = timedelta(seconds=90)
PASS_SECONDS = 2.0
"""For so long a pass acts on what it has seen."""
TIDY_SECONDS = 30.0
EVENT_SECONDS = 60.0
"""How long the stream of events may be silent before it is opened anew."""
SETTLING = timedelta(seconds=5)
"""After the engine is back, or we have become leader, ends of dynos are still reported that no app has caused."""


class Reconciler:
    """One pass after another, by whoever holds the lease."""

    def __init__(
        self,
        store: Store,
        swarm: Swarm,
        executor: Executor,
        leadership: Leadership,
        sleeps_after: timedelta = eco.SLEEPS_AFTER,
    ) -> None:
        """All parts are this process's own; ``sleeps_after`` as in ``eco``."""
        self.sleeps_after = sleeps_after
        self.store, self.swarm, self.executor, self.leadership = store, swarm, executor, leadership
        self._watched_since: datetime | None = None
        self._tidied = 0.0
        self._hosts: tuple[Host, ...] | None = None
        self._times = clocks.TaskTimes()
        self._hearing = Hearing()

    def step(self) -> float:
        """One pass; returns the seconds until the next is due.

        Raises ``DynoformError`` when store or engine do not answer; what was running goes on.
        """
        began = time.monotonic()
        wanted = self._wanted()
        if wanted is None:
            self._watched_since = None
            return IDLE_SECONDS
        if clocks.is_ahead(wanted.dynos, wanted.now):
            clocks.restamp(self.store)
            return 0
        try:
            actual = self.swarm.actual()
        except UnavailableError:
            self._watched_since = None
            raise
        if self._watched_since is None or self._watched_since > wanted.now + SETTLING:
            self._watched_since = wanted.now + SETTLING
        actual = replace(actual, hosts=self._hearing.believed(actual.hosts))
        self._tell_hosts(actual.hosts)
        self.executor.ports = actual.ports
        actions = sorted(decide(self._snapshot(wanted, actual)), key=urgency)
        for action in actions:
            if not self.leadership.held():
                return 0
            self.executor.do(action)
            if time.monotonic() - began > PASS_SECONDS:
                return 0  # much may have happened: the rest is decided anew
        self._tidy(wanted)
        return 0 if actions else _due(wanted, time.monotonic() - began)

    def _wanted(self) -> Declared | None:
        """What the store wants, if this process leads."""
        try:
            wanted = declared.read(self.store) if self.leadership.acquire() else None
        except DynoformError:
            self._hearing.forget()
            raise
        if wanted is None:
            self._hearing.forget()
        else:
            self._hearing.note(wanted.routers)
        return wanted

    def _tell_hosts(self, found: tuple[Host, ...]) -> None:
        """Write the hosts down when they are not as last written: the API refuses sizes that fit on none."""
        if found != self._hosts:
            with self.store.transaction() as session:
                hosts.replace(session, found)
            self._hosts = found

    def _snapshot(self, wanted: Declared, actual: Actual) -> Snapshot:
        services = self._times.corrected(actual.services, wanted.now)
        self._forget_counted(services)
        gone = frozenset(host.name for host in actual.hosts if not host.alive)
        routed_until, routers_away = wanted.routed(gone)
        return Snapshot(
            now=wanted.now,
            apps=wanted.apps,
            dynos=wanted.dynos,
            services=services,
            answering=probes.answering(_booting(wanted.dynos, services)),
            counted=frozenset(self.executor.counted),
            watched_since=self._watched_since,
            routed_until=routed_until,
            hosts=actual.hosts,
            routers_away=routers_away,
            traffic_until=wanted.traffic_until,
            sleeps_after=self.sleeps_after,
        )

    def _forget_counted(self, services: tuple[Service, ...]) -> None:
        self.executor.counted &= {task.id for service in services for task in service.tasks}

    def _tidy(self, wanted: Declared) -> None:
        """Remove secrets of releases that nothing runs any more; now and then, since nothing depends on it."""
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return
        self._tidied = time.monotonic()
        current = {run.release_id for app in wanted.apps for run in app.wanted.values()}
        self.swarm.tidy_secrets(current | {dyno.release_id for dyno in wanted.dynos})


def run(configuration: Configuration) -> None:
    """Reconcile until the process is told to stop."""
    journal = Journal("reconcile")
    store = Store(configuration, "reconcile", pool=2)
    store.wait_until_ready()
    vault = Vault(configuration.secret("encryption_key"))
    logs = LogplexClient(configuration)
    swarm = _connect(configuration, journal)
    executor = Executor(store, swarm, vault, logs, configuration.dyno_network, journal, configuration.domain)
    leadership = Leadership(store)
    wake = Wake()
    wake.on_notifications(store, [FORMATION, ROUTES])
    _watch_events(configuration, wake)
    try:
        _loop(Reconciler(store, swarm, executor, leadership, configuration.sleeps_after), wake, journal)
    finally:
        _give_up(leadership, journal)
        logs.close()


def _loop(reconciler: Reconciler, wake: Wake, journal: Journal) -> None:
    failures = 0
    led = False
    while True:
        try:
            due = reconciler.step()
            failures = 0
        except (DynoformError, SQLAlchemyError) as error:
            # The second: a row that was read is gone, with its app; the next look does not see it any more.
            journal.warning("pass failed", error=error, failures=failures)
            due = pause(failures)
            failures += 1
        if reconciler.leadership.held() != led:
            led = not led
            journal.info("leader" if led else "follower", holder=reconciler.leadership.holder)
        wake.wait(due)


def _give_up(leadership: Leadership, journal: Journal) -> None:
    try:
        leadership.release()
    except DynoformError as error:
        journal.warning("lease not given up", error=error)


def _connect(configuration: Configuration, journal: Journal) -> Swarm:
    failures = 0
    while True:
        try:
            return Swarm(configuration.stack)
        except DynoformError as error:
            journal.warning("no engine yet", error=error)
            time.sleep(pause(failures))
            failures += 1


def _watch_events(configuration: Configuration, wake: Wake) -> None:
    """Follow the engine's events in a thread: they end waits early."""

    def follow() -> None:
        failures = 0
        while True:
            started = time.monotonic()
            try:
                with closing(Swarm(configuration.stack, seconds=EVENT_SECONDS)) as swarm:
                    for _ in swarm.events():
                        wake.ring()
            except DynoformError:
                pass  # the loop says so itself; and a quiet engine ends the stream too
            failures = 0 if time.monotonic() - started > EVENT_SECONDS / 2 else failures + 1
            time.sleep(pause(failures))

    threading.Thread(target=follow, name="engine-events", daemon=True).start()


def _booting(dynos: tuple[DynoState, ...], services: tuple[Service, ...]) -> list[tuple[Any, str, int]]:
    """Web dynos whose container runs and that are not known to be up."""
    starting = {dyno.id for dyno in dynos if dyno.state == "starting" and dyno.type == specification.WEB}
    found = []
    for service in services:
        task = service.tasks[-1] if service.tasks else None
        if service.dyno_id in starting and task and task.state == "running" and task.address and task.port:
            found.append((service.dyno_id, task.address, task.port))
    return found


def _due(wanted: Declared, took: float) -> float:
    """Seconds until the next pass; where one takes long (many dynos), passes do not fill a processor."""
    moving = (dyno for dyno in wanted.dynos if dyno.state in {"starting", "down"})
    leaving = any(wanted.now - dyno.since < BUSY_FOR for dyno in moving)
    return max(BUSY_SECONDS, took) if leaving else max(IDLE_SECONDS, 10 * took)
