"""The store, pebble, and a router that answers for both."""

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dynoform.certificates.worker import Worker
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Domain
from tests import acme_platform, pebble
from tests.acme_platform import Router
from tests.pebble import Pebble
from tests.store_fixtures import configuration, migrated, small_store, store

__all__ = ["configuration", "migrated", "small_store", "store"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """Refuses half of all nonces, and reuses half of all authorizations."""
    with pebble.running(tmp_path_factory.mktemp("pebble")) as made:
        yield made


@pytest.fixture
def platform(store: Store, configuration: Configuration, authority: Pebble, tmp_path: Path) -> Iterator[Store]:
    """The store, with settings that name the authority."""
    made = Store(acme_platform.settings(configuration, authority, tmp_path, domain="apps.example"), "test", pool=5)
    yield made
    made.close()


@pytest.fixture
def router(platform: Store, authority: Pebble) -> Iterator[Router]:
    with acme_platform.routed(platform, authority.http_port) as made:
        yield made


@pytest.fixture
def said() -> io.StringIO:
    """The worker's journal."""
    return io.StringIO()


@pytest.fixture
def make(platform: Store, said: io.StringIO) -> Iterator[Callable[..., Worker]]:
    """Makes workers; called with names that the DNS does not know."""
    made: list[Worker] = []

    def one(*nowhere: str) -> Worker:
        made.append(acme_platform.make_worker(platform, Journal("certificates", said), nowhere))
        return made[-1]

    yield one
    for worker in made:
        worker._pool.shutdown(cancel_futures=True)


@pytest.fixture
def worker(make: Callable[..., Worker]) -> Worker:
    return make()


class Apps:
    """Domains and what became of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.transaction() as session:
            account = Account(email="ann@example.com")
            session.add(account)
            session.flush()
            app = App(name="shop", owner_id=account.id, stack="stack-13", acm=True)
            session.add(app)
            session.flush()
            self.id: uuid.UUID = app.id

    def add(self, *hostnames: str) -> list[uuid.UUID]:
        """Domains of the app, in this order."""
        with self.store.transaction() as session:
            rows = [Domain(app_id=self.id, hostname=name, cname=f"target-of-{name}") for name in hostnames]
            for row in rows:
                session.add(row)
                session.flush()
            return [row.id for row in rows]

    def domain(self, hostname: str) -> Domain:
        """As it is now."""
        with self.store.transaction() as session:
            return session.scalars(select(Domain).where(Domain.hostname == hostname)).unique().one()

    def state(self, hostname: str) -> tuple[str | None, str | None]:
        """Status and reason, as ``certs:auto`` shows them."""
        row = self.domain(hostname)
        return row.acm_status, row.acm_status_reason


@pytest.fixture
def apps(platform: Store) -> Apps:
    return Apps(platform)
