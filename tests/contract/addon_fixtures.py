"""Fixtures for tests of add-ons: a provider, registered, and the worker that calls it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from dynoform.addons.partner import PartnerProvider
from dynoform.addons.queue import Surroundings
from dynoform.addons.worker import Worker
from dynoform.api import addons as api_addons
from dynoform.api.services import Services
from dynoform.domain import addons
from dynoform.errors import ConflictError
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
    """A worker that does a step when it is told to."""
    around = Surroundings(services.configuration.api_url, "local")
    partner = PartnerProvider()
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
def at_work(worker: Worker, turn: "threading.Lock | None" = None) -> Iterator[threading.Lock]:
    """Have the worker do what comes, for the length of the block; it has ``turn``, which is yielded, while it does.

    What it has done is seen before it has told logs and journal: whoever takes the turn then finds both done.
    """
    done, turn = threading.Event(), turn or threading.Lock()

    def work() -> None:
        for _ in worker.store.notifications([ADDON_WORK], idle=0.05):
            with turn, suppress(ConflictError):  # somebody has just what it needs: it looks again at once
                while not done.is_set() and worker.step():
                    pass
            if done.is_set():
                return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield turn
    finally:
        done.set()
        thread.join(60)


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
