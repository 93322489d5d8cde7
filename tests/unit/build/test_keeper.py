"""A job's lease while it is worked on: held, lost, and looked at when somebody says so."""

import itertools
import threading
import time

import pytest

from dynoform.build.keeper import Keeper
from dynoform.domain import jobs as rules
from dynoform.store import builds, jobs
from dynoform.store.session import CANCELS, JOBS, Store
from dynoform.store.tables import Build, Job
from tests.store_fixtures import configuration, migrated, store
from tests.unit.store.test_jobs import make_app, queue_build, take

__all__ = ["configuration", "migrated", "store"]


def test_a_job_that_is_taken_back_ends_as_soon_as_that_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LEASE_SECONDS", 200)
    monkeypatch.setattr(rules, "RENEW_SECONDS", 60)
    build = queue_build(store, make_app(store, "one"))
    claim = take(store)
    assert claim
    ended = threading.Event()
    heard = store.notifications([CANCELS, JOBS], idle=0.1)
    assert next(heard) is None  # it listens
    with Keeper(store, claim, ended.set, 600) as keeper:
        keeper.look()
        assert not ended.wait(0.3) and not keeper.lost
        with store.transaction() as session:
            assert builds.cancel(session, session.get_one(Build, build.id))
        told = list(itertools.islice(filter(None, heard), 2))
        assert {(each.channel, each.payload) for each in told} == {
            (CANCELS, str(build.id)),
            (JOBS, str(build.id)),
        }
        began = time.monotonic()
        keeper.look()
        assert ended.wait(rules.RENEW_SECONDS)
        assert keeper.lost and time.monotonic() - began < rules.RENEW_SECONDS / 2


def test_looks_hold_the_lease_for_longer(store: Store) -> None:
    queue_build(store, make_app(store, "one"))
    claim = take(store)
    assert claim

    def ends() -> float:
        with store.transaction() as session:
            expires = session.get_one(Job, claim.id).lease_expires_at
            assert expires
            return expires.timestamp()

    found = [ends()]
    with Keeper(store, claim, lambda: None, 600) as keeper:
        for _ in range(2):
            keeper.look()
            deadline = time.monotonic() + 60
            while ends() == found[-1] and time.monotonic() < deadline:
                time.sleep(0.02)
            found.append(ends())
    assert all(before < after for before, after in itertools.pairwise(found))
    assert jobs.renew(store, claim)
