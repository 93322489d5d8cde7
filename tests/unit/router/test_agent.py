import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from dynoform.journal import Journal
from dynoform.reconcile import declared
from dynoform.router import rows
from dynoform.router.agent import Agent
from dynoform.store.driver import SmallStore
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.session import now as clock
from dynoform.store.tables import Account, App, Domain, Dyno, Lease, Slug

KEY = "A" * 42 + "s="


def app_with_dyno(store: Store, port: int | None) -> uuid.UUID:
    with store.transaction() as session:
        account = Account(email="ann@example.com")
        session.add(account)
        session.flush()
        app = App(name="shop", owner_id=account.id, stack="dynoform-13")
        session.add(app)
        session.flush()
        slug = Slug(
            id=uuid.uuid4(), app_id=app.id, image="i", size=1, checksum="-", stack="s", process_types={"web": "run"}
        )
        session.add(slug)
        config = add_config(session, Vault(KEY), app.id, {})
        release = create_release(session, app, description="d", account_id=account.id, slug=slug, config=config)
        address = "172.29.0.1" if port else None
        dyno = Dyno(
            app_id=app.id,
            release_id=release.id,
            type="web",
            number=1,
            size="Basic",
            command="run",
            address=address,
            port=port,
        )
        session.add(dyno)
        return app.id


@pytest.fixture
def agent(small_store: SmallStore, tmp_path: Path) -> Agent:
    return Agent(small_store, tmp_path, "localhost", Journal("router-agent"))


def test_a_pass_writes_what_the_store_wants_and_a_second_changes_nothing(agent: Agent, store: Store) -> None:
    app_id = app_with_dyno(store, 20001)
    assert agent.step() is True
    assert f"shop.localhost {app_id}|lone|172.29.0.1/20001/web.1\n" in (agent.directory.current().hosts or "")
    assert agent.step() is False
    with store.transaction() as session:
        session.delete(session.get_one(App, app_id))
    assert agent.step() is True
    assert str(app_id) not in (agent.directory.current().hosts or "")


def test_a_domain_that_is_added_and_removed_is_routed_and_not(agent: Agent, store: Store) -> None:
    app_id = app_with_dyno(store, 20001)
    with store.transaction() as session:
        session.add_all(
            Domain(app_id=app_id, hostname=name, cname="x") for name in ("www.example.com", "*.example.org")
        )
    assert agent.step() is True
    before = agent.directory.current().hosts or ""
    assert f"\nwww.example.com {app_id}|lone|172.29.0.1/20001/web.1\n" in before
    assert f"\n.example.org {app_id}|lone|172.29.0.1/20001/web.1\n" in before
    with store.transaction() as session:
        session.delete(session.scalars(select(Domain).where(Domain.hostname == "www.example.com")).one())
    assert agent.step() is True
    assert "www.example.com" not in (agent.directory.current().hosts or "")


def test_several_routers_hold_the_same(agent: Agent, store: Store, tmp_path: Path) -> None:
    app_id = app_with_dyno(store, 20001)
    agent.step()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    other = Agent(agent.store, elsewhere, "localhost", Journal("router-agent"))
    for name in ("www.example.com", "a.example.com"):
        with store.transaction() as session:
            session.add(Domain(app_id=app_id, hostname=name, cname="x"))
        agent.step()
    other.step()
    assert other.directory.current() == agent.directory.current()
    again = Agent(agent.store, elsewhere, "localhost", Journal("router-agent"))
    assert again.step() is False, "what an agent before it wrote is gone on with"


def test_files_damaged_by_hand_are_written_anew(agent: Agent, store: Store) -> None:
    app_with_dyno(store, 20001)
    agent.step()
    wanted = agent.directory.current()
    (agent.directory.path / "haproxy.cfg").write_text("nonsense\n")
    (agent.directory.path / "hosts.map").unlink()
    assert agent.step() is True
    assert agent.directory.current() == wanted


def test_the_reconciler_learns_which_moments_routes_are_in_force(agent: Agent, store: Store) -> None:
    assert declared.read(store).routed(frozenset()) == (None, False)
    before = datetime.now(UTC)
    agent.step()
    routed_until, away = declared.read(store).routed(frozenset())
    assert away is False
    assert routed_until is not None
    assert before <= routed_until <= datetime.now(UTC)


def test_what_comes_while_certificates_are_read_is_not_told_to_be_served(
    agent: Agent, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, read_at = agent.certificates.step, []

    def read(*, woken: bool) -> bool:
        changed = step(woken=woken)
        with store.transaction() as session:
            read_at.append(clock(session))
        return changed

    monkeypatch.setattr(agent.certificates, "step", read)
    agent.step()
    routed_until, _ = declared.read(store).routed(frozenset())
    assert routed_until is not None
    assert routed_until < read_at[0], "a challenge made meanwhile would be asked for, and not be there"


def test_the_slowest_of_several_routers_counts_and_a_silent_one_does_not(store: Store, small_store: SmallStore) -> None:
    now = datetime.now(UTC)
    with small_store.transaction() as connection:
        rows.announce(connection, "fast", now)
        rows.announce(connection, "slow", now - timedelta(seconds=5))
        rows.announce(connection, "silent", now - rows.LIFETIME - timedelta(seconds=1))
    found = declared.read(store)
    assert found.routed(frozenset()) == (now - timedelta(seconds=5), False)
    assert found.routed(frozenset({"slow"})) == (now, False), "its host is lost: it routes nothing any more"


def test_when_no_router_reports_any_more_they_are_away(store: Store, small_store: SmallStore) -> None:
    with small_store.transaction() as connection:
        rows.announce(connection, "silent", datetime.now(UTC) - timedelta(minutes=5))
    assert declared.read(store).routed(frozenset()) == (None, True)


def test_routers_that_are_gone_for_a_day_are_forgotten(store: Store, small_store: SmallStore) -> None:
    with small_store.transaction() as connection:
        rows.announce(connection, "old", datetime.now(UTC) - timedelta(days=2))
        rows.told(connection, "old", datetime.now(UTC) - timedelta(days=2), timedelta(seconds=30))
    with store.transaction() as session:
        session.add(Lease(name="reconcile", holder="x", expires_at=datetime.now(UTC) - timedelta(days=2)))
    with small_store.transaction() as connection:
        rows.forget_routers(connection)
    with store.transaction() as session:
        assert session.get(Lease, "router/old") is None
        assert session.get(Lease, "traffic/old") is None
        assert session.get(Lease, "reconcile") is not None
