"""What a shift has begun before it has imported all that it needs."""

import uuid
from typing import Any

import pytest

from dynoform.build import head_start
from dynoform.build.head_start import HeadStart
from dynoform.configuration import Configuration
from dynoform.domain import stacks
from dynoform.domain.jobs import Kind
from dynoform.errors import UnavailableError
from dynoform.store import jobs
from dynoform.store.session import Store
from dynoform.store.tables import App, Build
from tests.store_fixtures import configuration, migrated, store
from tests.unit.store.test_jobs import make_app, queue_build

__all__ = ["configuration", "migrated", "store"]


class Container:
    """One that can be started."""

    def __init__(self, order: Any) -> None:
        self.order, self.started = order, False

    def start(self) -> None:
        self.started = True


class Engine:
    """Makes containers, or does not answer."""

    fails = False

    def __init__(self, configuration: Configuration) -> None:
        if self.fails:
            raise UnavailableError("engine", "does not answer")

    def build_container(self, build_id: uuid.UUID, app_id: uuid.UUID, **order: Any) -> Container:
        return Container((build_id, app_id, order))


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> type[Engine]:
    monkeypatch.setattr(head_start, "Engine", Engine)
    monkeypatch.setattr(Engine, "fails", False)
    return Engine


def begun(configuration: Configuration) -> HeadStart:
    made = HeadStart(lambda: configuration)
    made.begin()
    return made


def until_taken(made: HeadStart) -> None:
    made._claimed.result(60)


def test_the_build_that_waits_is_taken_and_its_container_started(configuration: Configuration, store: Store) -> None:
    app = make_app(store, "myapp")
    build = queue_build(store, app)
    with store.transaction() as session:
        session.get_one(App, app.id).cache_generation = 3
        session.get_one(Build, build.id).version = "v7"
    made = begun(configuration)
    until_taken(made)
    claim = made.claim()
    assert claim and (claim.id, claim.kind, claim.attempt) == (build.id, Kind.BUILD, 1)
    assert jobs.renew(store, claim) and jobs.take(store, "other", set(Kind)) is None
    assert made.container(uuid.uuid4()) is None, "another build's"
    container: Any = made.container(build.id)
    assert container.started
    assert container.order == (build.id, app.id, {"version": "v7", "generation": 3, "again": False})
    assert made.container(build.id) is None, "the first attempt has removed it"


def test_a_build_that_comes_a_moment_later_is_taken_too(configuration: Configuration, store: Store) -> None:
    made = begun(configuration)
    build = queue_build(store, make_app(store, "myapp"))
    until_taken(made)
    claim = made.claim()
    assert claim and claim.id == build.id


def test_without_a_build_the_shift_looks_itself(configuration: Configuration, store: Store) -> None:
    made = begun(configuration)
    assert made.claim() is None
    assert made.container(uuid.uuid4()) is None
    build = queue_build(store, make_app(store, "myapp"))
    claim = jobs.take(store, "shift", {Kind.BUILD})
    assert claim and claim.id == build.id, "it is not taken by whoever has stopped to look"


def test_an_engine_that_does_not_answer_is_left_to_the_builds_job(
    configuration: Configuration, store: Store, engine: type[Engine]
) -> None:
    engine.fails = True
    build = queue_build(store, make_app(store, "myapp"))
    made = begun(configuration)
    until_taken(made)
    claim = made.claim()
    assert claim and claim.id == build.id
    assert made.container(build.id) is None


def test_a_build_of_images_has_no_such_container(configuration: Configuration, store: Store) -> None:
    build = queue_build(store, make_app(store, "myapp"))
    with store.transaction() as session:
        session.get_one(Build, build.id).stack = stacks.CONTAINER
    made = begun(configuration)
    until_taken(made)
    claim = made.claim()
    assert claim and claim.id == build.id
    assert made.container(build.id) is None
