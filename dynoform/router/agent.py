"""The router agent, one beside each HAProxy: reads desired routes, writes the configuration, has it loaded.

Level-triggered: every pass compares routes, files and the running worker, and mends what differs.
"""

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from uuid import UUID

from dynoform.configuration import Configuration
from dynoform.domain import eco
from dynoform.domain.retries import pause
from dynoform.domain.routes import AppRoute, Routes, api_hosts
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.router import attachments, rows
from dynoform.router.certificates import Certificates, fingerprint
from dynoform.router.files import SOCKET, Directory, Files
from dynoform.router.gate import Gate
from dynoform.router.haproxy import Master, NotRunningError, Reload
from dynoform.router.layout import Entry, Layout
from dynoform.router.memory import Memory, TooMuchError
from dynoform.router.reader import Reader
from dynoform.router.rendering import API_CERTIFICATE, GENERATION_KEY, HOSTS, MOUNT, Base, base
from dynoform.router.traffic import Traffic
from dynoform.store.channels import FORMATION, ROUTES
from dynoform.store.driver import SmallStore
from dynoform.wake import Wake

INTERVAL_SECONDS = 2.0
GATHER_SECONDS = 0.05
"""Changes come in bursts (all dynos of a release): waiting this long makes one of them."""
BETWEEN_RELOADS_SECONDS = 0.4
"""What comes sooner after a reload is gathered: each one ends idle connections, and old workers pile up."""


class RefusedError(DynoformError):
    """HAProxy does not take a configuration; it goes on with the one before."""


@dataclass(frozen=True)
class Wanted:
    """What files and HAProxy are to have; ``changed`` are the entries that differ from what was, as they were."""

    layout: Layout
    changed: Mapping[str, Entry | None]
    certificate: str | None
    base: Base

    @cached_property
    def files(self) -> Files:
        """What is to be on disk."""
        return Files(self.base.configuration + self.layout.sections, self.layout.hosts, self.certificate)


class Agent:
    """One pass after another; what it remembers of the last one only saves work."""

    def __init__(
        self,
        store: SmallStore,
        directory: Path,
        domain: str,
        journal: Journal,
        sleeps_after: timedelta = eco.SLEEPS_AFTER,
    ) -> None:
        """``directory`` is the volume shared with HAProxy, ``domain`` the platform's, ``sleeps_after`` ``eco``'s."""
        self.store = store
        self.directory = Directory(directory)
        self.master = Master(directory / SOCKET)
        self.certificates = Certificates(store, directory, self.master, journal)
        self.journal = journal
        self.router = socket.gethostname()
        self.gate = Gate(self._wake, journal)
        self.traffic = Traffic(store, self.master, self.router, eco.look_every(sleeps_after))
        self.reader = Reader(store, domain)
        self.routes = Routes(api_hosts(domain), {})
        self.reloaded = float("-inf")
        """When HAProxy was last told to reload, by the monotonic clock."""
        self._layout: Layout | None = None
        self._memory: Memory | None = None
        self._pending: Mapping[str, Entry | None] = {}
        self._refused = ""

    def step(self, *, woken: bool = False) -> bool:
        """Bring files and HAProxy to the routes of this moment; True if that changed anything.

        ``woken`` is whether there is news, so that nothing else is looked for. Raises ``DynoformError`` or ``OSError``
        when it cannot; the next pass tries again.
        """
        changed = self.certificates.step(woken=woken)
        # From here to the layout nothing fails: what was read is not lost.
        news = self.reader.read(self.routes.apps, spot_check=not woken)
        self.routes = self.routes.changed(news.apps)
        self.gate.tell(self.routes)
        wanted = self._wanted(news.apps, news.certificate)
        self.traffic.look(news.moment, now=self._will_reload(wanted))
        changed = self._bring(wanted) or changed
        self._pending = {}
        self.reader.done(news)
        with self.store.transaction() as connection:
            rows.announce(connection, self.router, news.moment)
            rows.forget_routers(connection)
        return changed

    def work(self, wake: Wake, ended: threading.Event) -> None:
        """One pass after another, soon after ``wake`` rings, until ``ended``."""
        failures, woken = 0, False
        while not ended.is_set():
            try:
                self.step(woken=woken)
                failures = 0
            except (DynoformError, OSError) as error:
                self.journal.warning("pass failed", error=error, failures=failures)
                failures += 1
            woken = wake.wait(pause(failures) if failures else INTERVAL_SECONDS)
            if woken:
                time.sleep(max(GATHER_SECONDS, self.reloaded + BETWEEN_RELOADS_SECONDS - time.monotonic()))

    def apply(self, wanted: Routes, certificate: str | None = None) -> bool:
        """Have these routes in force, whatever was; True if that changed anything. Raises as ``step`` does."""
        gone = self.routes.apps.keys() - wanted.apps.keys()
        self.routes = wanted
        changed = self._bring(self._wanted({**dict.fromkeys(gone), **wanted.apps}, certificate))
        self._pending = {}
        return changed

    def _wanted(self, news: Mapping[UUID, AppRoute | None], certificate: str | None) -> "Wanted":
        """The files for the routes, of which ``news`` are those that may differ from the last time."""
        layout = self._layout
        if layout is None:
            layout = self._layout = Layout(self.directory.current().configuration)
            news = self.routes.apps
        if layout.needs_backends(route for route in news.values() if route):
            layout.rearrange(self.routes.apps.values())
            news, self._memory = self.routes.apps, None
        # What a pass that failed did not bring into force is still to be brought.
        self._pending = {**layout.put(news, self.routes.api), **self._pending}
        has_apps = self.certificates.apps is not None
        above = base(layout.backends, api_certificate=certificate is not None, apps_certificate=has_apps)
        return Wanted(layout, self._pending, certificate, above)

    def _bring(self, wanted: "Wanted") -> bool:
        """Write what differs on disk, and have HAProxy take over what it does not run yet; True if anything differed.

        Host names, dynos and certificates are exchanged in the running worker. Another configuration takes a reload,
        which ends idle connections of clients.
        """
        before = self.directory.current()
        written = before != wanted.files
        generation = wanted.base.generation
        if written:
            if generation == self._refused:
                raise RefusedError(f"routes {generation}", "HAProxy refused them before", "see its log")
            self.certificates.prepare()
            self.directory.write(wanted.files)
        try:
            if self._memory is not None:
                self._memory.remove_unused()
            if self._is_loaded(wanted):
                return written
            if self.master.generation() == generation and self._exchange(wanted):
                return True
            outcome = self._reload(wanted)
            loaded = self._is_loaded(wanted)
        except NotRunningError:
            self._memory = None
            return written  # it reads the files when it starts
        if not outcome.succeeded or not loaded:
            self._back_out(generation, before if written else None, outcome)
        self._refused = ""
        self.journal.info("routes loaded", generation=generation, hosts=wanted.layout.digest)
        return True

    def _is_loaded(self, wanted: "Wanted") -> bool:
        if self.master.generation() != wanted.base.generation:
            return False
        return self._has_hosts(wanted) and self._has_certificate(wanted)

    def _has_hosts(self, wanted: "Wanted") -> bool:
        return self.master.value(MOUNT / HOSTS, GENERATION_KEY) == wanted.layout.digest

    def _has_certificate(self, wanted: "Wanted") -> bool:
        if wanted.certificate is None:
            return True  # then it is not in the configuration
        return self.master.fingerprint(MOUNT / API_CERTIFICATE) == fingerprint(wanted.certificate)

    def _exchange(self, wanted: "Wanted") -> bool:
        """Change the running worker where it differs; whether it then has everything, and no reload is needed."""
        if wanted.certificate is not None and not self._has_certificate(wanted):
            self.master.exchange_certificate(MOUNT / API_CERTIFICATE, wanted.certificate)
        try:
            if self._has_hosts(wanted) or self._remembers(wanted) or self._learns(wanted):
                loaded = self._is_loaded(wanted)
                self.journal.info("routes exchanged", hosts=wanted.layout.digest, loaded=loaded)
                return loaded
        except TooMuchError:
            pass
        self._memory = None
        return False

    def _remembers(self, wanted: "Wanted") -> bool:
        """Exchange what changed since this process last did, if that is what the worker has."""
        memory, self._memory = self._memory, None
        if memory is None or self.master.value(MOUNT / HOSTS, GENERATION_KEY) != memory.hosts.get(GENERATION_KEY):
            return False
        refused = memory.become(wanted.layout, wanted.changed)
        if refused:
            self.journal.warning("HAProxy differs from what it was told", said=refused[:3])
            return False
        self._memory = memory
        return True

    def _learns(self, wanted: "Wanted") -> bool:
        """Look at all that the worker has, and exchange what differs."""
        memory = Memory.look(self.master)
        refused = memory.become(wanted.layout, None)
        if refused:
            self.journal.warning("HAProxy did not take routes", said=refused[:3])
            return False
        self._memory = memory
        return True

    def _reload(self, wanted: "Wanted") -> Reload:
        self._memory = None
        outcome = self.master.reload()
        self.reloaded = time.monotonic()
        if outcome.succeeded:
            self._memory = Memory.loaded(self.master, wanted.layout)
        return outcome

    def _will_reload(self, wanted: "Wanted") -> bool:
        try:
            return self.master.generation() != wanted.base.generation
        except NotRunningError:
            return False

    def _wake(self, app_id: UUID) -> None:
        with self.store.transaction() as connection:
            rows.wake(connection, app_id)

    def _back_out(self, generation: str, before: Files | None, outcome: Reload) -> None:
        """Put the last good files back, on disk and into the master, and say why the new ones are out."""
        self._memory = None
        if before is not None:
            self.directory.write(before)
            self._refused = generation
            self.master.reload()
        raise RefusedError(
            f"routes {generation}", f"refused by HAProxy ({outcome.messages})", "the last good ones stay"
        )


def run(configuration: Configuration) -> None:
    """Keep HAProxy's routes as the store wants them until the process is told to stop."""
    journal = Journal("router-agent")
    store = SmallStore(configuration, "router-agent")
    agent = Agent(store, configuration.router, configuration.domain, journal, configuration.sleeps_after)
    attachments.start(configuration, journal, agent.gate)
    store.wait_until_ready()
    wake = Wake()
    wake.on_notifications(store, [ROUTES, FORMATION])
    agent.work(wake, threading.Event())
