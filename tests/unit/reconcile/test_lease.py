import time

from dynoform.reconcile.lease import Leadership
from dynoform.store.session import Store


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


def test_a_leader_that_falls_silent_is_followed_when_its_lease_runs_out(store: Store) -> None:
    first, second = Leadership(store, seconds=0.3), Leadership(store, seconds=0.3)
    assert first.acquire()
    assert not second.acquire()
    time.sleep(0.35)
    assert not first.held(), "it knows by its own clock that it must not act any more"
    assert second.acquire()
    assert not first.acquire()
