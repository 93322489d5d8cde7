"""A router in front of the dyno platform: HAProxy and its agent, as on a router's host."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
from sqlalchemy import delete, or_

from dynoform.domain.eco import TRAFFIC
from dynoform.domain.routes import PRESENCE
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.router.agent import Agent
from dynoform.store.driver import SmallStore
from dynoform.store.session import FORMATION, ROUTES
from dynoform.store.tables import Lease
from dynoform.wake import Wake
from tests.integration.dyno_platform import DynoPlatform
from tests.integration.router.container import make_folder, start_router
from tests.integration.router.under_test import wait_for_tcp
from tests.integration.run_platform import Loop
from tests.postgres import free_port

LOCAL = "127.0.0.1"


class RouterPlatform:
    """Handles for the tests."""

    def __init__(self, platform: DynoPlatform, folder: Path, sleeps_after: timedelta) -> None:
        self.platform, self.http = platform, free_port()
        self.folder, _ = make_folder(folder)
        self.container = start_router(platform.parts, self.folder, LOCAL, LOCAL, self.http, free_port())
        self.store = SmallStore(platform.store.configuration, "router-agent")
        self.agent = Agent(self.store, self.folder, "localhost", Journal("router-agent"), sleeps_after)
        self.loop = Loop()
        self.loop.do(self.agent.gate.start(self.folder))
        self.wake = Wake()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Let the agent work, and wake it and the reconciler as their services are."""
        for wake in (self.wake, self.platform.wake):
            wake.on_notifications(self.platform.store, [ROUTES, FORMATION])
        wait_for_tcp(self.http)
        self._thread.start()

    def stop(self) -> None:
        """End it, as if there had never been a router."""
        self._stop.set()
        self._thread.join(30)
        self.container.remove(force=True)
        self.store.close()
        with self.platform.store.transaction() as session:
            session.execute(delete(Lease).where(or_(Lease.name.startswith(PRESENCE), Lease.name.startswith(TRAFFIC))))

    def get(self, app: str, seconds: float = 60) -> httpx.Response:
        """Ask an app, as a browser would."""
        headers = {"Host": f"{app}.localhost"}
        return httpx.get(f"http://{LOCAL}:{self.http}/", headers=headers, timeout=seconds, trust_env=False)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self.agent.step()
            except (DynoformError, OSError) as error:
                self.agent.journal.warning("pass failed", error=error)
            self.wake.wait(0.5)


@contextmanager
def routed(platform: DynoPlatform, folder: Path, sleeps_after: timedelta) -> Iterator[RouterPlatform]:
    """The platform with a router, where apps on Eco dynos sleep after ``sleeps_after``."""
    made = RouterPlatform(platform, folder, sleeps_after)
    before = platform.reconciler.sleeps_after
    platform.reconciler.sleeps_after = sleeps_after
    made.start()
    try:
        yield made
    finally:
        platform.reconciler.sleeps_after = before
        made.stop()
