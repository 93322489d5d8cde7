"""The threads of a shift: what is taken back while they work on it ends."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dynoform.build.crew import Crew
from dynoform.build.job import Job, Tools
from dynoform.build.kinds import CLASSES
from dynoform.domain import jobs as rules
from dynoform.domain.jobs import Kind
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store import builds
from dynoform.store.session import Store
from dynoform.store.tables import Build
from tests.store_fixtures import configuration, migrated, store
from tests.unit.store.test_jobs import make_app, queue_build, take

__all__ = ["configuration", "migrated", "store"]


class Waiting(Job):
    """Works until it is ended."""

    began = threading.Event()

    def __init__(self, tools: Tools, claim: Any) -> None:
        super().__init__(tools, claim)
        self.ended = threading.Event()

    def work(self) -> None:
        self.began.set()
        self.ended.wait(60)
        self.keeper.check()

    def end(self) -> None:
        self.ended.set()

    def fail(self, error: DynoformError) -> None:
        raise AssertionError(error)


def test_a_build_that_is_cancelled_ends_when_that_is_heard(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LEASE_SECONDS", 200)
    monkeypatch.setattr(rules, "RENEW_SECONDS", 60)
    monkeypatch.setitem(cast("dict[Kind, type[Job]]", CLASSES), Kind.BUILD, Waiting)
    build = queue_build(store, make_app(store, "one"))
    claim = take(store)
    assert claim
    crew = Crew(cast(Tools, SimpleNamespace(store=store, journal=Journal("test"))))
    crew.begin(claim)
    assert Waiting.began.wait(60) and crew.busy
    (job,) = cast("list[Waiting]", list(crew._working.values()))
    with store.transaction() as session:
        assert builds.cancel(session, session.get_one(Build, build.id))
    crew.look_after("another")
    crew.look_after(str(build.id))
    assert job.ended.wait(rules.RENEW_SECONDS / 2) and job.keeper.lost
    # When it is done it looks for another job: that is not to be the next test's.
    for thread in threading.enumerate():
        if thread.name == Kind.BUILD:
            thread.join(60)
