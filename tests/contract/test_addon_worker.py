"""The add-on worker goes on, whatever goes wrong."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from sqlalchemy import select, text

from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.addons.worker import Worker, work
from dynoform.domain import addons
from dynoform.errors import ConflictError
from dynoform.store import addons as store_addons
from dynoform.store.session import Store
from dynoform.store.tables import AddonChange
from dynoform.wake import Wake
from tests.contract.addon_fixtures import make_due, patch, provider, worker
from tests.contract.test_addons import create, later

__all__ = ["patch", "provider", "worker"]
pytestmark = pytest.mark.usefixtures("patch")


@pytest.fixture
def ring(worker: Worker) -> Iterator[Callable[[], None]]:
    """One of the worker's threads at work; call it to wake that up."""
    wake, done = Wake(), threading.Event()
    thread = threading.Thread(target=work, args=(worker, wake, done), daemon=True)
    thread.start()
    yield wake.ring
    done.set()
    wake.ring()
    thread.join(10)
    assert not thread.is_alive()


def broken(worker: Worker, kind: str) -> bool:
    """Whether the journal has it."""
    entries: list[tuple[str, dict[str, object]]] = worker.journal.entries  # type: ignore[attr-defined]
    return any(event.startswith("error") and fields.get("kind") == kind for event, fields in entries)


def until(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        act()
        time.sleep(0.05)


def test_a_bug_in_a_provider_postpones_the_change_and_no_other(
    client: httpx.Client,
    app: str,
    worker: Worker,
    store: Store,
    patch: pytest.MonkeyPatch,
    ring: Callable[[], None],
) -> None:
    def provision(wanted: Resource) -> Answer:
        raise KeyError(wanted.plan)

    with patch.context() as patched:
        patched.setattr(worker.providers[addons.PARTNER], "provision", provision)
        addon = later(client, app, patch)
        until(lambda: broken(worker, "KeyError"), ring)

    def act() -> None:
        with suppress(ConflictError):  # the worker is at it
            make_due(store)
        ring()

    until(lambda: client.get(f"/addons/{addon['id']}").json()["state"] == "provisioned", act)


def test_a_refusal_that_cannot_be_shown_as_it_is_ends_the_change_all_the_same(
    client: httpx.Client,
    app: str,
    worker: Worker,
    store: Store,
    patch: pytest.MonkeyPatch,
    ring: Callable[[], None],
) -> None:
    def provision(wanted: Resource) -> Answer:
        raise RefusedError("not\0 so\ud800" + "o" * 5000)

    patch.setattr(worker.providers[addons.PARTNER], "provision", provision)
    addon = later(client, app, patch)
    until(lambda: client.get(f"/addons/{addon['id']}").json()["state"] == "deprovisioned", ring)
    with store.transaction() as session:
        asked = AddonChange.action == addons.PROVISION
        (failure,) = session.scalars(select(AddonChange.failure).where(asked)).all()
    assert failure is not None and failure.startswith("not so ooo") and len(failure) == addons.LONGEST_REASON


def test_a_bug_in_giving_an_addon_up_leaves_one_that_can_be_destroyed(
    client: httpx.Client,
    app: str,
    worker: Worker,
    store: Store,
    patch: pytest.MonkeyPatch,
    ring: Callable[[], None],
) -> None:
    def provision(wanted: Resource) -> Answer:
        raise RefusedError("no")

    def give_up(session: object, addon: object) -> None:
        raise KeyError("give_up")

    patch.setattr(worker.providers[addons.PARTNER], "provision", provision)
    patch.setattr(store_addons, "give_up", give_up)
    addon = later(client, app, patch)

    def failure() -> str | None:
        with store.transaction() as session:
            return session.scalars(select(AddonChange.failure)).one()

    until(lambda: failure() == "no", ring)
    assert broken(worker, "KeyError")
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    until(lambda: client.get(f"/addons/{addon['id']}").status_code == 404, ring)


def test_a_store_that_answers_nonsense_does_not_end_the_thread(
    client: httpx.Client, app: str, worker: Worker, store: Store, ring: Callable[[], None]
) -> None:
    with store.transaction() as session:
        session.execute(text("ALTER TABLE addon_changes RENAME TO changes_away"))
    try:
        until(lambda: broken(worker, "ProgrammingError"), ring)
    finally:
        with store.transaction() as session:
            session.execute(text("ALTER TABLE changes_away RENAME TO addon_changes"))
    addon = create(client, app)
    until(lambda: client.get(f"/addons/{addon['id']}").json()["state"] == "provisioned", ring)
