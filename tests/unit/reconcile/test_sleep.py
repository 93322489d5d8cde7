"""Apps on Eco dynos: when they sleep, how they do, what wakes them."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from dynoform.configuration import Configuration
from dynoform.domain import dyno_lines, eco
from dynoform.domain.dyno_actions import AddDyno, Idle, RemoveDyno, Retire, StartDyno, StopIdle
from dynoform.domain.dyno_snapshot import AppState, DynoState, Snapshot
from dynoform.domain.reconciliation import decide
from dynoform.errors import ConflictError
from dynoform.journal import Journal
from dynoform.reconcile import declared
from dynoform.reconcile.executor import Executor
from dynoform.reconcile.specification import DynoService
from dynoform.reconcile.swarm import Swarm
from dynoform.router import rows
from dynoform.store.driver import SmallStore
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, AppActivity, Dyno, Lease
from tests.unit.reconcile.test_reconciliation import APP, NEW, NOW, OLD, ago, dyno, service, snapshot, wanted
from tests.unit.router.test_agent import app_with_dyno

MINUTES = 60


def eco_app(web: int = 1, worker: int = 0, requested: datetime | None = None, release: uuid.UUID = NEW) -> AppState:
    return replace(wanted(web, worker, release, size="Eco"), requested=requested)


def at(app: AppState, *dynos: DynoState, **fields: object) -> Snapshot:
    """A look at an app whose requests are known up to now."""
    known = {"traffic_until": NOW, "routed_until": NOW} | fields
    return snapshot(app, *dynos, **known)  # type: ignore[arg-type]


def eco_dyno(number: int = 1, state: str = "up", since: float = 3600, **fields: object) -> DynoState:
    return dyno(number, state, since=ago(since), **({"size": "Eco"} | fields))


@pytest.mark.parametrize(
    ("since", "requested", "sleeps"),
    [
        (31 * MINUTES, None, True),
        (30 * MINUTES, None, True),
        (29 * MINUTES, None, False),
        (60 * MINUTES, 29 * MINUTES, False),
        (60 * MINUTES, 30 * MINUTES, True),
        (10 * MINUTES, 60 * MINUTES, False),
    ],
)
def test_half_an_hour_after_the_last_request_or_start_the_app_sleeps(
    since: float, requested: float | None, sleeps: bool
) -> None:
    web, worker = eco_dyno(since=since), eco_dyno(type="worker", since=60 * MINUTES)
    app = eco_app(worker=1, requested=None if requested is None else ago(requested))
    reason = "its app has had no request for long"
    found = decide(at(app, web, worker, services=[service(web), service(worker)]))
    assert {*found} == ({Idle(web.id, reason), Idle(worker.id, reason)} if sleeps else set())


@pytest.mark.parametrize("unknown", [None, ago(31 * MINUTES)])
def test_what_a_router_has_not_told_of_is_not_quiet(unknown: datetime | None) -> None:
    assert decide(at(eco_app(requested=ago(31 * MINUTES)), eco_dyno(), traffic_until=unknown)) == []


def test_the_time_is_a_setting() -> None:
    web = eco_dyno(since=10)
    assert decide(at(eco_app(), web)) == []
    assert [type(action) for action in decide(at(eco_app(), web, sleeps_after=timedelta(seconds=10)))] == [Idle]


def test_other_sizes_do_not_sleep_nor_does_an_app_with_one_of_them_on_the_web() -> None:
    assert decide(at(wanted(), dyno())) == []
    large = replace(eco_app(web=2), wanted=dict(eco_app(web=2).wanted) | {("web", 2): wanted().wanted["web", 1]})
    assert decide(at(large, eco_dyno(1), dyno(2))) == []
    worker = dyno(1, type="worker")
    mixed = replace(eco_app(), wanted=dict(eco_app().wanted) | {("worker", 1): wanted(0, 1).wanted["worker", 1]})
    web = eco_dyno()
    assert [action.dyno_id for action in decide(at(mixed, web, worker)) if isinstance(action, Idle)] == [web.id]


def test_an_app_without_a_web_dyno_does_not_sleep() -> None:
    worker = eco_dyno(type="worker")
    assert decide(at(eco_app(web=0, worker=1), worker)) == []
    sleeping = eco_dyno(1, "idle", type="worker")
    assert decide(at(eco_app(web=0, worker=1), sleeping, services=[])) == [StartDyno(sleeping.id, "its app is awake")]


def test_a_sleeping_dyno_is_stopped_when_no_router_sends_it_requests_any_more() -> None:
    web = eco_dyno(1, "idle", since=5)
    assert decide(at(eco_app(), web, routed_until=ago(6))) == []
    (action,) = decide(at(eco_app(), web))
    assert action == StopIdle(web.id, service(web).id, "out of the routes")
    assert decide(at(eco_app(), replace(web, since=ago(0.5)))) == []
    assert decide(at(eco_app(), web, services=[])) == []
    worker = eco_dyno(1, "idle", since=5, type="worker")
    both = at(eco_app(worker=1), web, worker, routed_until=ago(6))
    assert decide(both) == [StopIdle(worker.id, service(worker).id, "out of the routes")]


@pytest.mark.parametrize("known", [NOW, None])
def test_a_request_wakes_all_of_the_app(known: datetime | None) -> None:
    dynos = eco_dyno(1, "idle", since=100), eco_dyno(1, "idle", since=90, type="worker")
    app = eco_app(worker=1, requested=ago(120))
    assert decide(at(app, *dynos, services=[], traffic_until=known)) == []
    woken = decide(at(replace(app, requested=ago(1)), *dynos, services=[], traffic_until=known))
    assert woken == [StartDyno(one.id, "its app is awake") for one in dynos]


def test_the_rest_follows_a_web_dyno_that_has_woken() -> None:
    web, worker = eco_dyno(1, "up", since=10), eco_dyno(1, "idle", since=90, type="worker")
    app = eco_app(worker=1, requested=ago(120))
    assert decide(at(app, web, worker, services=[service(web)])) == [StartDyno(worker.id, "its app is awake")]


def test_a_worker_that_is_added_to_a_sleeping_app_sleeps_too() -> None:
    web, worker = eco_dyno(1, "idle"), eco_dyno(1, "starting", since=1, type="worker")
    for requested in (None, ago(7200)):
        found = decide(at(eco_app(worker=1, requested=requested), web, worker, services=[]))
        assert [action.dyno_id for action in found if isinstance(action, Idle)] == [worker.id]


def test_a_release_takes_the_place_of_what_sleeps_and_is_awake() -> None:
    old = eco_dyno(1, "idle", release=OLD)
    app = eco_app()
    add, retire = decide(at(app, old, services=[]))
    assert isinstance(add, AddDyno)
    assert retire == Retire(old.id, "replaced, not running")
    new = eco_dyno(1, "starting", since=0)
    gone = replace(old, state="down", since=ago(2))
    assert decide(at(app, new, gone, services=[service(new)])) == [RemoveDyno(gone.id, "out of the routes")]


def test_a_crashed_dyno_sleeps_with_the_others_and_not_before() -> None:
    up, crashed = eco_dyno(1), eco_dyno(2, "crashed", since=3000, start_after=ago(-600))
    found = decide(at(eco_app(web=2), up, crashed, services=[service(up)]))
    assert [action.dyno_id for action in found if isinstance(action, Idle)] == [up.id, crashed.id]
    assert decide(at(eco_app(web=2), up, replace(crashed, since=ago(100)), services=[service(up)])) == []


@given(requests=st.sets(st.integers(1, 20_000), max_size=6), looks=st.sets(st.integers(1, 20_000), max_size=40))
def test_whenever_one_looks_an_app_is_awake_for_half_an_hour_after_a_request(
    requests: set[int], looks: set[int]
) -> None:
    web = replace(eco_dyno(), since=NOW)
    for second in sorted(requests | looks | {30_000}):
        now = NOW + timedelta(seconds=second)
        last = max((each for each in requests if each <= second), default=None)
        app = eco_app(requested=None if last is None else NOW + timedelta(seconds=last))
        for action in decide(replace(at(app, web), now=now, traffic_until=now, routed_until=now)):
            state = {Idle: "idle", StartDyno: "up"}.get(type(action), web.state)  # type: ignore[call-overload]
            web = replace(web, state=state, since=now if state != web.state else web.since)
        if last is not None and second - last < eco.SLEEPS_AFTER.total_seconds():
            assert web.state == "up"
    assert web.state == "idle"


def test_in_the_log_a_sleeping_dyno_is_down() -> None:
    assert dyno_lines.state_changed("up", "idle") == "State changed from up to down"
    assert dyno_lines.state_changed("idle", "starting") == "State changed from down to starting"


# What routers tell


@pytest.fixture
def app_id(store: Store) -> uuid.UUID:
    with store.transaction() as session:
        account = Account(email="ann@example.com")
        session.add(account)
        session.flush()
        app = App(name="shop", owner_id=account.id, stack="dynoform-13")
        session.add(app)
        session.flush()
        return app.id


def requested_at(store: Store) -> datetime:
    with store.transaction() as session:
        return session.scalars(select(AppActivity.requested_at)).one()


def test_of_several_routers_the_latest_request_counts(store: Store, small_store: SmallStore, app_id: uuid.UUID) -> None:
    for moment in (ago(100), ago(300), ago(50), ago(70)):
        with small_store.transaction() as connection:
            rows.requested(connection, {app_id: moment})
    assert requested_at(store) == ago(50)
    (app,) = declared.read(store).apps
    assert app.requested == ago(50)


def test_a_request_from_before_the_clock_was_set_back_hides_no_later_one(
    store: Store, small_store: SmallStore, app_id: uuid.UUID
) -> None:
    future = declared.read(store).now + timedelta(days=1)
    with small_store.transaction() as connection:
        rows.requested(connection, {app_id: future})
    with small_store.transaction() as connection:
        rows.wake(connection, app_id)
    assert requested_at(store) <= declared.read(store).now


def test_requests_are_known_up_to_what_the_slowest_router_has_told(store: Store, small_store: SmallStore) -> None:
    now = declared.read(store).now
    every = timedelta(seconds=30)
    assert declared.read(store).traffic_until is None
    with small_store.transaction() as connection:
        for router, seconds in (("fast", 1), ("slow", 20)):
            rows.announce(connection, router, now)
            rows.told(connection, router, now - timedelta(seconds=seconds), every)
    assert declared.read(store).traffic_until == now - timedelta(seconds=20)
    with small_store.transaction() as connection:
        rows.announce(connection, "new", now)
    assert declared.read(store).traffic_until is None, "one has not told anything yet"
    with small_store.transaction() as connection:
        rows.told(connection, "new", now + timedelta(days=1), every)
    assert declared.read(store).traffic_until is None, "it did so before the clock was set back"
    with store.transaction() as session:
        session.delete(session.get_one(Lease, "router/new"))
    assert declared.read(store).traffic_until == now - timedelta(seconds=20)
    with small_store.transaction() as connection:
        rows.told(connection, "slow", now - timedelta(minutes=5), every)
    assert declared.read(store).traffic_until is None, "one is silent"


def test_an_app_that_is_gone_is_not_woken(small_store: SmallStore) -> None:
    with pytest.raises(ConflictError), small_store.transaction() as connection:
        rows.wake(connection, APP)


# What the executor does


class Engine:
    """Remembers what it was asked for."""

    stack = "local"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def create(self, dyno: DynoService, config: object, taken: object, attempt: str) -> str:
        self.asked.append(("create", dyno.dyno))
        return "new-service"

    def remove(self, service_id: str) -> None:
        self.asked.append(("remove", service_id))


class Lines:
    """A log plane that keeps what it gets."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        self.told.append(f"{source}[{process}]: {message}")


def test_a_dyno_that_sleeps_stays_and_says_so_in_herokus_words(store: Store, configuration: Configuration) -> None:
    app_with_dyno(store, 20001)
    engine, lines = Engine(), Lines()
    vault = Vault(configuration.secret("encryption_key"))
    executor = Executor(store, cast(Swarm, engine), vault, lines, "dynos", Journal("reconcile"))

    def the_dyno() -> Dyno:
        with store.transaction() as session:
            return session.scalars(select(Dyno)).one()

    with store.transaction() as session:
        session.execute(update(Dyno).values(state="up", service_id="old-service"))
    one = the_dyno()
    for _ in range(2):  # again does no harm
        executor.do(Idle(one.id, "quiet"))
    assert (the_dyno().state, the_dyno().address, the_dyno().service_id) == ("idle", None, "old-service")
    assert the_dyno().state_changed_at > one.state_changed_at
    executor.do(StopIdle(one.id, "old-service", "out of the routes"))
    assert (the_dyno().state, the_dyno().service_id) == ("idle", None)
    executor.do(StartDyno(one.id, "its app is awake"))
    assert (the_dyno().state, the_dyno().service_id) == ("starting", "new-service")
    assert [asked for asked in engine.asked if asked[0] == "create" or asked[1] == "old-service"] == [
        ("remove", "old-service"),
        ("create", "web.1"),
    ]
    assert lines.told == [
        "heroku[web.1]: Idling",
        "heroku[web.1]: State changed from up to down",
        "heroku[web.1]: Stopping all processes with SIGTERM",
        "heroku[web.1]: Unidling",
        "heroku[web.1]: State changed from down to starting",
        "heroku[web.1]: Starting process with command `run`",
    ]
    executor.do(Idle(one.id, "quiet"))
    lines.told.clear()
    executor.do(Retire(one.id, "scaled down", scaled_down=True))
    executor.do(RemoveDyno(one.id, "out of the routes"))
    executor.do(StopIdle(one.id, "gone", "out of the routes"))
    assert lines.told == ["heroku[web.1]: Stopping all processes with SIGTERM"]
