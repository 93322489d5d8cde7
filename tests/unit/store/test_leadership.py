import time
from datetime import timedelta

from dynoform.store.leadership import Leadership
from dynoform.store.session import Store
from dynoform.store.tables import Lease


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


def test_a_lease_that_nobody_renews_runs_out_also_when_the_clock_was_set_back(store: Store) -> None:
    dead, follower = Leadership(store, seconds=0.3), Leadership(store, seconds=0.3)
    assert dead.acquire()
    with store.transaction() as session:  # as the store sees it when its clock goes back by an hour
        session.get_one(Lease, dead.name).expires_at += timedelta(hours=1)
    assert not follower.acquire()
    time.sleep(0.35)
    assert follower.acquire()


def test_a_leader_that_renews_keeps_its_lease_when_the_clock_was_set_back(store: Store) -> None:
    leader, follower = Leadership(store, seconds=1.5), Leadership(store, seconds=1.5)
    leader.acquire()
    with store.transaction() as session:
        session.get_one(Lease, leader.name).expires_at += timedelta(hours=1)
    assert not follower.acquire()
    leader._renew_at = 0.0
    assert leader.acquire()
    time.sleep(1)
    assert not follower.acquire()
