import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest

from dynoform.store import leadership
from dynoform.store.leadership import Leadership
from dynoform.store.session import Store
from dynoform.store.tables import Lease


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass by the clock of those who want to lead."""
    passed: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    monkeypatch.setattr(leadership, "time", clock)
    return passed.append


def test_one_of_two_leads(store: Store) -> None:
    first, second = Leadership(store), Leadership(store)
    assert first.acquire()
    assert not second.acquire()
    assert (first.held(), second.held()) == (True, False)
    assert first.acquire()


def test_a_leader_that_gives_up_is_followed_at_once(store: Store) -> None:
    first, second = Leadership(store), Leadership(store)
    first.acquire()
    first.release()
    assert not first.held()
    assert second.acquire()
    first.release()  # no longer ours to give up
    assert not first.acquire()


def test_a_leader_that_falls_silent_is_followed_when_its_lease_runs_out(
    store: Store, pass_time: Callable[[float], None]
) -> None:
    first, second = Leadership(store, seconds=60), Leadership(store, seconds=60)
    assert first.acquire()
    assert not second.acquire()
    pass_time(61)
    with store.transaction() as session:  # as the store sees it by then
        session.get_one(Lease, first.name).expires_at -= timedelta(seconds=61)
    assert not first.held(), "it knows by its own clock that it must not act any more"
    assert second.acquire()
    assert not first.acquire()


def test_a_lease_that_nobody_renews_runs_out_also_when_the_clock_was_set_back(
    store: Store, pass_time: Callable[[float], None]
) -> None:
    dead, follower = Leadership(store, seconds=60), Leadership(store, seconds=60)
    assert dead.acquire()
    with store.transaction() as session:  # as the store sees it when its clock goes back by an hour
        session.get_one(Lease, dead.name).expires_at += timedelta(hours=1)
    assert not follower.acquire()
    pass_time(61)
    assert follower.acquire()


def test_a_leader_that_renews_keeps_its_lease_when_the_clock_was_set_back(
    store: Store, pass_time: Callable[[float], None]
) -> None:
    leader, follower = Leadership(store, seconds=60), Leadership(store, seconds=60)
    leader.acquire()
    with store.transaction() as session:
        session.get_one(Lease, leader.name).expires_at += timedelta(hours=1)
    assert not follower.acquire()
    pass_time(40)
    assert leader.acquire()
    pass_time(40)
    assert not follower.acquire()
