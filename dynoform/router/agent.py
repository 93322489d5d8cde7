"""The router agent, one beside each HAProxy: reads desired routes, writes the configuration, has it loaded.

Level-triggered: every pass compares routes, files and the running worker, and mends what differs.
"""

import socket
import time
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
from dynoform.router.certificates import Certificates, fingerprint
from dynoform.router.files import SOCKET, Directory, Files
from dynoform.router.gate import Gate
from dynoform.router.haproxy import Master, NotRunningError, Reload
from dynoform.router.rendering import API_CERTIFICATE, GENERATION_KEY, HOSTS, MOUNT, Rendered, render
from dynoform.router.traffic import Traffic
from dynoform.store import activity, platform_certificates
from dynoform.store.session import FORMATION, ROUTES, Store, pause
from dynoform.store.tables import App, Domain, Dyno
from dynoform.wake import Wake

INTERVAL_SECONDS = 2.0
GATHER_SECONDS = 0.05
"""Changes come in bursts (all dynos of a release): waiting this long makes one of them."""
BETWEEN_RELOADS_SECONDS = 0.4
"""What comes sooner after a reload is gathered: each one ends idle connections, and old workers pile up."""


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
        self.certificates = Certificates(store, directory, self.master, journal)
        self.domain = domain
        self.journal = journal
        self.router = socket.gethostname()
        self.gate = Gate(self._wake, journal)
        self.traffic = Traffic(store, self.master, self.router, eco.look_every(sleeps_after))
        self._refused = ""
        self.reloaded = float("-inf")
        """When HAProxy was last told to reload, by the monotonic clock."""

    def step(self) -> bool:
        """Bring files and HAProxy to the routes of this moment; True if that changed anything.

        Raises ``DynoformError`` or ``OSError`` when it cannot; the next pass tries again.
        """
        moment, wanted, certificate = self.read()
        self.gate.tell(wanted)
        changed = self.certificates.step()
        rendered = render(wanted, certificate, apps_certificate=self.certificates.apps is not None)
        self.traffic.look(moment, now=self._will_reload(rendered))
        changed = self.apply(rendered) or changed
        with self.store.transaction() as session:
            presence.announce(session, self.router, moment)
            presence.forget_old(session)
        return changed

    def read(self) -> tuple[datetime, Routes, str | None]:
        """The database's time just before it was asked, the routes that the store asks for, the API's certificate."""
        with self.store.transaction() as session:
            moment = session.execute(select(func.clock_timestamp())).scalar_one()
            apps = session.execute(select(App.id, App.name, App.maintenance)).all()
            columns = (Dyno.id, Dyno.app_id, Dyno.number, Dyno.state, Dyno.address, Dyno.port)
            dynos = session.execute(select(*columns).where(Dyno.type == routes.WEB)).all()
            domains = session.execute(select(Domain.hostname, Domain.app_id)).all()
            certificate = platform_certificates.pem(session, self.store.configuration, platform_certificates.API)
        found = routes.compute(
            (RoutedApp(*row) for row in apps),
            (WebDyno(*row) for row in dynos),
            self.domain,
            (CustomDomain(*row) for row in domains),
        )
        return moment, found, certificate

    def apply(self, rendered: Rendered) -> bool:
        """Write what differs on disk, and have HAProxy take over what it does not run yet; True if anything differed.

        The map of host names is exchanged in the running worker. Another configuration takes a reload, which ends idle
        connections of clients, so it is for dynos that came and went alone.
        """
        before = self.directory.current()
        wanted = Files(rendered.configuration, rendered.hosts, rendered.certificate)
        written = before != wanted
        if written:
            if rendered.generation == self._refused:
                raise RefusedError(f"routes {rendered.generation}", "HAProxy refused them before", "see its log")
            self.certificates.prepare()
            self.directory.write(wanted)
        try:
            if self._is_loaded(rendered):
                return written
            if self.master.generation() == rendered.generation:
                self._exchange(rendered)
                if self._is_loaded(rendered):
                    self.journal.info("hosts and certificate loaded", hosts=rendered.hosts_generation)
                    return True
            outcome = self._reload()
            loaded = self._is_loaded(rendered)
        except NotRunningError:
            return written  # it reads the files when it starts
        if not outcome.succeeded or not loaded:
            self._back_out(rendered, before if written else None, outcome)
        self._refused = ""
        self.journal.info("routes loaded", generation=rendered.generation, hosts=rendered.hosts_generation)
        return True

    def _is_loaded(self, rendered: Rendered) -> bool:
        if self.master.generation() != rendered.generation:
            return False
        return self._has_hosts(rendered) and self._has_certificate(rendered)

    def _has_hosts(self, rendered: Rendered) -> bool:
        return self.master.value(MOUNT / HOSTS, GENERATION_KEY) == rendered.hosts_generation

    def _has_certificate(self, rendered: Rendered) -> bool:
        if rendered.certificate is None:
            return True  # then it is not in the configuration
        return self.master.fingerprint(MOUNT / API_CERTIFICATE) == fingerprint(rendered.certificate)

    def _exchange(self, rendered: Rendered) -> None:
        if not self._has_hosts(rendered):
            self.master.replace(MOUNT / HOSTS, rendered.hosts.splitlines())
        if rendered.certificate is not None and not self._has_certificate(rendered):
            self.master.exchange_certificate(MOUNT / API_CERTIFICATE, rendered.certificate)

    def _reload(self) -> Reload:
        outcome = self.master.reload()
        self.reloaded = time.monotonic()
        return outcome

    def _will_reload(self, rendered: Rendered) -> bool:
        try:
            return self.master.generation() != rendered.generation
        except NotRunningError:
            return False

    def _wake(self, app_id: UUID) -> None:
        with self.store.transaction() as session:
            activity.wake(session, app_id)

    def _back_out(self, rendered: Rendered, before: Files | None, outcome: Reload) -> None:
        """Put the last good files back, on disk and into the master, and say why the new ones are out."""
        if before is not None:
            self.directory.write(before)
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
            time.sleep(max(GATHER_SECONDS, agent.reloaded + BETWEEN_RELOADS_SECONDS - time.monotonic()))
