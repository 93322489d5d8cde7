"""Databases are worked on: a process that takes changes while there are any, and ends some time after the last.

Started as ``python3 -m dynoform.addons`` by ``dynoform.addons.watch``; exit code 1 when it cannot work.
"""

import signal
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dynoform.addons.databases import Place
from dynoform.addons.engine import Engine
from dynoform.addons.kafka import KafkaProvider
from dynoform.addons.postgres import PostgresProvider
from dynoform.addons.provider import Provider
from dynoform.addons.queue import Surroundings
from dynoform.addons.redis import RedisProvider
from dynoform.addons.stacks import Stacks, check_home
from dynoform.addons.transfers import Transfers
from dynoform.addons.worker import Worker, work
from dynoform.configuration import Configuration
from dynoform.domain import addons, data_services, own_services
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store import databases, kafka
from dynoform.store.secrets import Vault
from dynoform.store.session import ADDON_WORK, Store
from dynoform.wake import Wake

THREADS = 2
"""Databases worked on at the same time: each change is a Pulumi of its own, with its plugins."""
_LEFT: tuple[tuple[str, ...], ...] = ((), (data_services.PROTECT,))
"""What each leaves to the other: looks at backups take half a minute each where the place of these is silent, and all
databases have them, so that what somebody asks for would wait behind."""
IDLE_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_LOST_SECONDS = 30.0
"""How often services are looked for that were removed."""
_HOME = Path("/tmp/pulumi")  # noqa: S108 - a private tmpfs inside the container
_PLUGINS = Path("/opt/dynoform/pulumi/plugins")


def run(configuration: Configuration, journal: Journal) -> None:
    """Work until there has been nothing to do for 15 s. Raises ``DynoformError``."""
    store = Store(configuration, "databases", pool=THREADS)
    store.wait_until_ready()
    engine = Engine(configuration.stack)
    place = make_place(configuration, store, engine)
    worker, done = make_worker(place, journal), threading.Event()
    transfers = Transfers(place, PostgresProvider(place), configuration.backups, journal)
    transfers.sweep()
    looked = float("-inf")
    wakes = [Wake() for _ in range(THREADS)]
    threads = [
        threading.Thread(target=work, args=(worker, wake, done, left), name=f"databases-{number}", daemon=True)
        for number, (wake, left) in enumerate(zip(wakes, _LEFT, strict=True), start=1)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in store.notifications([ADDON_WORK], idle=_LOOK_SECONDS):
            running: set[str] | None = None
            if time.monotonic() - looked > _LOST_SECONDS:
                running, looked = engine.addons(), time.monotonic()
            with store.transaction() as session:
                databases.enqueue_due(session, running)
                kafka.enqueue_due(session, running)
                leaving = databases.draining(session)
            if leaving:
                hosts = engine.data_hosts()
                with store.transaction() as session:
                    databases.enqueue_hand_overs(session, hosts)
            for wake in wakes:
                wake.ring()
            if not transfers.work() and worker.idle_seconds > IDLE_SECONDS:
                return
    finally:
        done.set()
        store.close()


def make_place(configuration: Configuration, store: Store, engine: Engine) -> Place:
    """Where databases are made."""
    vault = Vault(configuration.secret("encryption_key"))
    return Place(configuration, store, vault, engine, Stacks(configuration, engine, check_home(_HOME, _PLUGINS)))


def make_worker(place: Place, journal: Journal) -> "TimedWorker":
    """The worker of databases, with their providers."""
    providers: dict[str, Provider] = {
        data_services.POSTGRES: PostgresProvider(place),
        data_services.REDIS: RedisProvider(place),
        data_services.KAFKA: KafkaProvider(place),
    }
    return TimedWorker(
        place.store,
        place.vault,
        providers,
        Surroundings(place.configuration.api_url, place.configuration.stack),
        LogplexClient(place.configuration),
        journal,
        others=(addons.PARTNER, own_services.SCHEDULER),
    )


class TimedWorker(Worker):
    """A worker that knows for how long it has had nothing to do."""

    _busy = 0
    _since = 0.0
    _lock = threading.Lock()

    @property
    def idle_seconds(self) -> float:
        """Since something was done, or since the first look; 0 while something is."""
        with self._lock:
            self._since = self._since or time.monotonic()
            return 0.0 if self._busy else time.monotonic() - self._since

    def step(self, left: Collection[str] = ()) -> bool:
        """One change, but of none of the actions ``left``; False when there was none."""
        with self._lock:
            self._busy += 1
        did = False
        try:
            did = super().step(left)
            return did
        finally:
            with self._lock:
                self._busy -= 1
                self._since = time.monotonic() if did else self._since


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def main() -> int:
    """Work one shift."""
    signal.signal(signal.SIGTERM, _leave)
    journal = Journal("databases")
    try:
        run(Configuration.from_environment(), journal)
    except DynoformError as error:
        journal.error("databases cannot be worked on", error=error)
        return 1
    return 0
