"""Fixtures for tests of add-ons: a provider, registered, and the worker that calls it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from dynoform.addons.partner import PartnerProvider
from dynoform.addons.queue import Surroundings
from dynoform.addons.worker import Worker
from dynoform.api import addons as api_addons
from dynoform.api.services import Services
from dynoform.domain import addons
from dynoform.store.session import ADDON_WORK, Store
from tests.contract.addon_provider import ProviderServer


@pytest.fixture
def provider(client: httpx.Client) -> Iterator[ProviderServer]:
    """A registered provider."""
    server = ProviderServer()
    client.put("/dynoform/addon-services/heroku-redis", json=server.manifest).raise_for_status()
    yield server
    server.close()


@pytest.fixture
def worker(services: Services, provider: ProviderServer) -> Iterator[Worker]:
    """A worker that does a step when it is told to; providers have a second to answer."""
    around = Surroundings(services.configuration.api_url, "local")
    partner = PartnerProvider(seconds=1.0)
    yield Worker(services.store, services.vault, {addons.PARTNER: partner}, around, services.logs, services.journal)
    partner.close()


@pytest.fixture
def working(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """The same worker, at work in the background; calls wait for what it does for as long as clients wait for them."""
    monkeypatch.setattr(api_addons, "_WAIT_SECONDS", 9.0)
    with at_work(worker):
        yield worker


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Changes for the length of a test; calls wait two seconds for a provider."""
    monkeypatch.setattr(api_addons, "_WAIT_SECONDS", 2.0)
    return monkeypatch


@contextmanager
def at_work(worker: Worker) -> Iterator[None]:
    """Have the worker do what comes, for the length of the block."""
    done = threading.Event()

    def work() -> None:
        for _ in worker.store.notifications([ADDON_WORK], idle=0.05):
            while not done.is_set() and worker.step():
                pass
            if done.is_set():
                return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


def make_due(store: Store) -> None:
    """As if the pauses between attempts, and the leases of workers that are gone, were over."""
    from datetime import timedelta

    from sqlalchemy import update

    from dynoform.store.tables import AddonChange, now

    with store.transaction() as session:
        session.execute(update(AddonChange).values(run_after=now() - timedelta(seconds=1)))
        leased = update(AddonChange).where(AddonChange.lease_holder.is_not(None))
        session.execute(leased.values(lease_expires_at=now() - timedelta(seconds=1)))


__all__ = ["at_work", "make_due", "patch", "provider", "worker", "working"]
