"""What is done when the clock is set back, as the store and the engine show it: moments that are still to come."""

import time
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from dynoform.configuration import Configuration
from dynoform.domain.dyno_snapshot import Service, Task
from dynoform.domain.routes import PRESENCE
from dynoform.reconcile import clocks, declared
from dynoform.store.accounts import ensure_operator
from dynoform.store.apps import create_app
from dynoform.store.releases import current_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Dyno, Lease

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def add_dyno(store: Store, vault: Vault, name: str, ahead: timedelta) -> uuid.UUID:
    """A crashed dyno whose clock was ahead when it crashed, ten minutes before it may start again."""
    with store.transaction() as session:
        moment = session.execute(select(func.clock_timestamp())).scalar_one() + ahead
        owner = ensure_operator(session, "ann@example.com", "token")
        app, _ = create_app(session, vault, owner, name, "dynoform-13")
        release = current_release(session, app.id)
        assert release is not None
        dyno = Dyno(app_id=app.id, release_id=release.id, type="web", number=1, size="Basic", command="x")
        dyno.state, dyno.created_at, dyno.state_changed_at = "crashed", moment, moment
        dyno.start_after = moment + timedelta(minutes=10)
        session.add(dyno)
        session.flush()
        return dyno.id


def test_dynos_that_changed_in_the_future_have_changed_now(store: Store, configuration: Configuration) -> None:
    vault = Vault(configuration.secret("encryption_key"))
    dyno_id, usual = add_dyno(store, vault, "ahead", HOUR), add_dyno(store, vault, "usual", -HOUR)
    before = declared.read(store)
    assert clocks.is_ahead(before.dynos, before.now)
    clocks.restamp(store)
    after = declared.read(store)
    assert not clocks.is_ahead(after.dynos, after.now)
    found = {dyno.id: dyno for dyno in after.dynos}
    mended = found[dyno_id]
    assert before.now <= mended.since <= after.now
    assert mended.created is not None
    assert mended.created <= after.now
    assert mended.start_after is not None
    assert abs(mended.start_after - mended.since - timedelta(minutes=10)) < timedelta(seconds=1)
    assert found[usual] == next(dyno for dyno in before.dynos if dyno.id == usual)


def test_a_router_that_spoke_before_the_clock_was_set_back_has_to_speak_again(store: Store) -> None:
    with store.transaction() as session:
        ahead = session.execute(select(func.clock_timestamp())).scalar_one() + HOUR
        session.add(Lease(name=f"{PRESENCE}one", holder=ahead.isoformat(), expires_at=ahead + timedelta(minutes=1)))
    read = declared.read(store)
    assert read.routed(frozenset()) == (None, True)


def test_a_task_of_the_future_ages_from_when_it_was_first_seen() -> None:
    times = clocks.TaskTimes()
    usual, ahead = Task("a", "running", NOW - HOUR), Task("b", "running", NOW + HOUR)
    services = (Service("s", "name", None, (usual, ahead)),)
    (first,) = times.corrected(services, NOW)
    assert first.tasks[0] == usual
    assert NOW - first.tasks[1].at < timedelta(minutes=1)
    time.sleep(0.05)
    (second,) = times.corrected(services, NOW)
    assert NOW - second.tasks[1].at >= timedelta(seconds=0.05)
    assert times.corrected(services[:0], NOW) == ()
