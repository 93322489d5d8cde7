"""The router agent, one beside each HAProxy: reads desired routes, writes the configuration, has it loaded.

Level-triggered: every pass compares routes, files and the running worker, and mends what differs.
"""

import socket
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select

from dynoform.configuration import Configuration
from dynoform.domain import eco, routes
from dynoform.domain.routes import CustomDomain, RoutedApp, Routes, WebDyno
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.router import attachments, presence
from dynoform.router.files import SOCKET, Directory
from dynoform.router.gate import Gate
from dynoform.router.haproxy import Master, NotRunningError, Reload
from dynoform.router.rendering import Rendered, render
from dynoform.router.traffic import Traffic
from dynoform.store import activity
from dynoform.store.session import FORMATION, ROUTES, Store, pause
from dynoform.store.tables import App, Domain, Dyno
from dynoform.wake import Wake

INTERVAL_SECONDS = 2.0
GATHER_SECONDS = 0.05
"""Changes come in bursts (all dynos of a release): waiting this long makes one reload of them."""


class RefusedError(DynoformError):
    """HAProxy does not take a configuration; it goes on with the one before."""


class Agent:
    """One pass after another; holds no state but what it refused to try again."""

    def __init__(
        self,
        store: Store,
        directory: Path,
        domain: str,
        journal: Journal,
        sleeps_after: timedelta = eco.SLEEPS_AFTER,
    ) -> None:
        """``directory`` is the volume shared with HAProxy, ``domain`` the platform's, ``sleeps_after`` ``eco``'s."""
        self.store = store
        self.directory = Directory(directory)
        self.master = Master(directory / SOCKET)
        self.domain = domain
        self.journal = journal
        self.router = socket.gethostname()
        self.gate = Gate(self._wake, journal)
        self.traffic = Traffic(store, self.master, self.router, eco.look_every(sleeps_after))
        self._refused = ""

    def step(self) -> bool:
        """Bring files and HAProxy to the routes of this moment; True if that changed anything.

        Raises ``DynoformError`` or ``OSError`` when it cannot; the next pass tries again.
        """
        moment, wanted = self.read()
        self.gate.tell(wanted)
        rendered = render(wanted)
        self.traffic.look(moment, now=self._will_reload(rendered))
        changed = self.apply(rendered)
        with self.store.transaction() as session:
            presence.announce(session, self.router, moment)
            presence.forget_old(session)
        return changed

    def read(self) -> tuple[datetime, Routes]:
        """The routes that the store asks for, and the database's time just before it was asked."""
        with self.store.transaction() as session:
            moment = session.execute(select(func.clock_timestamp())).scalar_one()
            apps = session.execute(select(App.id, App.name, App.maintenance)).all()
            columns = (Dyno.id, Dyno.app_id, Dyno.number, Dyno.state, Dyno.address, Dyno.port)
            dynos = session.execute(select(*columns).where(Dyno.type == routes.WEB)).all()
            domains = session.execute(select(Domain.hostname, Domain.app_id)).all()
        found = routes.compute(
            (RoutedApp(*row) for row in apps),
            (WebDyno(*row) for row in dynos),
            self.domain,
            (CustomDomain(*row) for row in domains),
        )
        return moment, found

    def apply(self, rendered: Rendered) -> bool:
        """Write what differs on disk, and reload when HAProxy runs something else than the file says."""
        before = self.directory.current()
        written = not self.directory.holds(rendered)
        if written:
            if rendered.generation == self._refused:
                raise RefusedError(f"routes {rendered.generation}", "HAProxy refused them before", "see its log")
            self.directory.write(rendered)
        try:
            loaded = self.master.generation()
            if loaded == rendered.generation:
                self.directory.tidy(rendered)
                return written
            outcome = self.master.reload()
            loaded = self.master.generation()
        except NotRunningError:
            return written  # it reads the file when it starts
        if not outcome.succeeded or loaded != rendered.generation:
            self._back_out(rendered, before if written else None, outcome)
        self._refused = ""
        self.directory.tidy(rendered)
        self.journal.info("routes loaded", generation=rendered.generation)
        return True

    def _will_reload(self, rendered: Rendered) -> bool:
        try:
            return self.master.generation() != rendered.generation
        except NotRunningError:
            return False

    def _wake(self, app_id: UUID) -> None:
        with self.store.transaction() as session:
            activity.wake(session, app_id)

    def _back_out(self, rendered: Rendered, before: str | None, outcome: Reload) -> None:
        """Put the last good configuration back, on disk and into the master, and say why the new one is out."""
        if before is not None:
            self.directory.restore(before)
            self._refused = rendered.generation
            self.master.reload()
        raise RefusedError(
            f"routes {rendered.generation}", f"refused by HAProxy ({outcome.messages})", "the last good ones stay"
        )


def run(configuration: Configuration) -> None:
    """Keep HAProxy's routes as the store wants them until the process is told to stop."""
    journal = Journal("router-agent")
    store = Store(configuration, "router-agent", pool=1)
    agent = Agent(store, configuration.router, configuration.domain, journal, configuration.sleeps_after)
    attachments.start(configuration, journal, agent.gate)
    store.wait_until_ready()
    wake = Wake()
    wake.on_notifications(store, [ROUTES, FORMATION])
    failures = 0
    while True:
        try:
            agent.step()
            failures = 0
        except (DynoformError, OSError) as error:
            journal.warning("pass failed", error=error, failures=failures)
            failures += 1
        if wake.wait(pause(failures) if failures else INTERVAL_SECONDS):
            wake.wait(GATHER_SECONDS)
