"""Changes of routes with 10,000 apps in a real store, under load. Run by `bin/dynoform bench`."""

import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from dynoform.cli.bench.load import load
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.router.agent import Agent
from dynoform.store.driver import SmallStore
from dynoform.store.migrate import upgrade
from dynoform.store.session import FORMATION, ROUTES, Store, notify
from dynoform.store.tables import Account, App, Domain, Dyno, Release
from dynoform.wake import Wake
from tests.bench import router_peers as peers
from tests.bench.test_router import SECONDS, Router, told
from tests.integration.engine_parts import EngineParts, parts
from tests.postgres import cluster
from tests.store_fixtures import write_secrets
from tests.unit.router.test_agent import app_with_dyno

__all__ = ["parts"]

pytestmark = [pytest.mark.bench, pytest.mark.engine, pytest.mark.timeout(900)]

CHANGES = 6 * SECONDS
"""One a second: a minute of them, if loads are as long as they are meant to be."""
RATE = 100
VISIBLE_SECONDS = 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (secrets := tmp_path / "secrets").mkdir()
    write_secrets(secrets)
    with cluster() as url:
        names = ("DYNOFORM_SECRETS", "DYNOFORM_SOURCES", "DYNOFORM_REPOSITORIES")
        configuration = Configuration.from_environment(
            {
                "DYNOFORM_DATABASE": url,
                "DYNOFORM_PLATFORM_ADDRESS": "127.0.0.1",
                "DYNOFORM_EMAIL": "ann@example.com",
                **dict.fromkeys(names, str(secrets)),
            }
        )
        made = Store(configuration, "bench")
        upgrade(made)
        yield made
        made.close()


class Changes:
    """Kinds of changes to some of many apps; each tells whether routers show it."""

    def __init__(self, store: Store, port: int) -> None:
        self._store, self._port, self._numbers = store, port, count()
        app_with_dyno(store, peers.APP[1])
        with store.transaction() as session:
            owner, self._release = session.scalars(select(Account.id)).one(), session.scalars(select(Release.id)).one()
            self._owner, self._apps = owner, [(uuid.uuid4(), f"app-{number}") for number in range(peers.NAMES)]
            same = {"owner_id": owner, "stack": "dynoform-13"}
            session.execute(insert(App), [{"id": app_id, "name": name, **same} for app_id, name in self._apps])
            session.execute(insert(Dyno), [self._dyno(app_id) for app_id, _ in self._apps])

    def make(self) -> float:
        """One change; seconds until it shows."""
        number = next(self._numbers)
        kind = [self.move, self.grow, self.add_domain, self.add_app, self.remove_app][number % 5]
        app_id, name = self._apps[100 + number]
        with self._store.transaction() as session:
            shows = kind(session, app_id, name)
            notify(session, ROUTES, app_id)
        began = time.monotonic()
        while not shows():
            assert time.monotonic() - began < VISIBLE_SECONDS, f"{kind.__name__} of {name} does not show"
            time.sleep(0.005)
        return time.monotonic() - began

    def move(self, session: Session, app_id: uuid.UUID, name: str) -> Callable[[], bool]:
        session.execute(update(Dyno).where(Dyno.app_id == app_id).values(port=peers.APP[1] + 1))
        return lambda: self._answer(f"{name}.localhost") == str(peers.APP[1] + 1)

    def grow(self, session: Session, app_id: uuid.UUID, name: str) -> Callable[[], bool]:
        session.execute(insert(Dyno), [self._dyno(app_id, 2, peers.APP[1] + 1)])
        return lambda: str(peers.APP[1] + 1) in {self._answer(f"{name}.localhost") for _ in range(5)}

    def add_domain(self, session: Session, app_id: uuid.UUID, name: str) -> Callable[[], bool]:
        session.add(Domain(app_id=app_id, hostname=f"{name}.example.com", cname="x"))
        return lambda: self._answer(f"{name}.example.com") == str(peers.APP[1])

    def add_app(self, session: Session, app_id: uuid.UUID, name: str) -> Callable[[], bool]:
        new = App(id=uuid.uuid4(), name=f"new-{name}", owner_id=self._owner, stack="dynoform-13")
        session.add(new)
        session.flush()
        session.execute(insert(Dyno), [self._dyno(new.id)])
        return lambda: self._answer(f"new-{name}.localhost") == str(peers.APP[1])

    def remove_app(self, session: Session, app_id: uuid.UUID, name: str) -> Callable[[], bool]:
        session.delete(session.get_one(App, app_id))
        return lambda: self._answer(f"{name}.localhost") == "404"

    def _dyno(self, app_id: object, number: int = 1, port: int = peers.APP[1]) -> dict[str, object]:
        same = {"type": "web", "size": "Basic", "command": "run", "state": "up", "address": peers.APP[0]}
        return {
            "id": uuid.uuid4(),
            "app_id": app_id,
            "release_id": self._release,
            "number": number,
            "port": port,
            **same,
        }

    def _answer(self, host: str) -> str:
        try:
            with urlopen(Request(f"http://127.0.0.1:{self._port}/", headers={"Host": host}), timeout=10) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return str(error.code)


@contextmanager
def working(agent: Agent, store: Store) -> Iterator[None]:
    """The agent as its service runs it."""
    wake, ended = Wake(), threading.Event()
    wake.on_notifications(store, [ROUTES, FORMATION])
    thread = threading.Thread(target=lambda: agent.work(wake, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        wake.ring()
        thread.join(30)


def test_a_change_every_second(parts: EngineParts, store: Store, tmp_path: Path) -> None:
    with peers.app(tmp_path):
        router = Router(parts, tmp_path)
        changes = Changes(store, router.http)
        agent = Agent(SmallStore(store.configuration, "bench"), router.folder, "localhost", Journal("bench"))
        with working(agent, store):
            peers.wait_for(router.http)
            taken: list[float] = []
            with load(peers.HOST, router.http, RATE) as others, load("app-100.localhost", router.http, RATE) as moved:
                for _ in range(CHANGES):
                    due = time.monotonic() + 1
                    taken.append(changes.make())
                    time.sleep(max(0.0, due - time.monotonic()))
    told({"slowest": max(taken), "median": statistics.median(taken), "sent": others.sent + moved.sent})
    assert others.failed + moved.failed == 0
