"""Transactions, notifications, accounts and releases on a real PostgreSQL; secrets at rest."""

import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import select, text

from dynoform.configuration import Configuration
from dynoform.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SealedError,
    UnavailableError,
)
from dynoform.store.accounts import account_of, ensure_operator
from dynoform.store.apps import create_app
from dynoform.store.releases import config_of, create_release, current_release, lock_app
from dynoform.store.secrets import Vault
from dynoform.store.session import FORMATION, ROUTES, Store, notify, pause
from dynoform.store.tables import Account, App, Authorization, Formation, Release, Slug
from tests.postgres import free_port
from tests.store_fixtures import write_secrets

KEY = "A" * 42 + "s="


@pytest.fixture
def vault() -> Vault:
    return Vault(KEY)


def make_app(store: Store, vault: Vault, name: str = "myapp") -> App:
    with store.transaction() as session:
        return create_app(session, vault, ensure_operator(session, "ann@example.com", "token"), name, "dynoform-13")[0]


def make_slug(app: App, *types: str) -> Slug:
    slug = Slug(id=uuid.uuid4(), app_id=app.id, image="r/a@sha256:0", size=1, checksum="SHA256:0", stack="dynoform-13")
    slug.process_types = dict.fromkeys(types, "run")
    return slug


def test_what_raises_is_rolled_back(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction() as session:
        session.add(Account(email="a@b.c"))
        session.flush()
        raise RuntimeError
    with store.transaction() as session:
        assert session.scalars(select(Account)).all() == []


@pytest.mark.parametrize("prepares", [True, False])
def test_statements_are_kept_prepared_for_who_says_so(store: Store, prepares: bool) -> None:
    mine = Store(store.configuration, "test", pool=1, prepares=prepares)
    try:
        for _ in range(10):
            with mine.transaction() as session:
                session.execute(text("SELECT 1 FROM apps"))
        with mine.transaction() as session:
            kept = session.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    finally:
        mine.close()
    assert ("SELECT 1 FROM apps" in kept) == prepares


def test_a_held_lock_is_a_conflict_and_a_nul_is_invalid(store: Store, vault: Vault) -> None:
    app = make_app(store, vault)
    with store.transaction() as holder:
        lock_app(holder, app.id)
        with pytest.raises(ConflictError, match="another change to the same thing"), store.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            lock_app(session, app.id)
    with pytest.raises(InvalidInputError), store.transaction() as session:
        session.add(Account(email="a\0@b.c"))


def test_a_row_that_came_in_between_is_a_conflict(store: Store) -> None:
    with pytest.raises(ConflictError, match="another change came in between"), store.transaction() as session:
        session.add_all([Account(email="a@b.c"), Account(email="a@b.c")])


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://dynoform@127.0.0.1:{free_port()}/dynoform"
    environment = {"DYNOFORM_DATABASE": url, "DYNOFORM_SECRETS": str(write_secrets(tmp_path))}
    store = Store(Configuration.from_environment(environment), "test")
    with pytest.raises(UnavailableError, match="the database does not answer"), store.transaction() as session:
        session.execute(text("SELECT 1"))
    with pytest.raises(UnavailableError, match="not ready after"):
        store.wait_until_ready(0.3)
    assert not store.answers()


def test_notifications_arrive_at_commit(store: Store) -> None:
    heard = store.notifications([FORMATION], idle=0.2)
    assert next(heard) is None  # connected: look at the tables once
    identifier = uuid.uuid4()
    with store.transaction() as session:
        notify(session, FORMATION, identifier)
        assert next(heard) is None  # idle: nothing before the commit
    notification = next(filter(None, heard))
    assert (notification.channel, notification.payload) == ("formation", str(identifier))
    heard.close()  # type: ignore[attr-defined]


def test_all_that_one_transaction_notifies_arrives(store: Store) -> None:
    heard = store.notifications([FORMATION, ROUTES], idle=60)
    assert next(heard) is None
    with store.transaction() as session:
        for payload in "abc":
            notify(session, FORMATION, payload)
            notify(session, ROUTES, payload)
    arrived = [next(heard) for _ in range(6)]
    assert [(one.channel, one.payload) for one in arrived if one] == [
        (channel, payload) for payload in "abc" for channel in (FORMATION, ROUTES)
    ]
    heard.close()  # type: ignore[attr-defined]


def test_listening_survives_a_lost_connection(store: Store) -> None:
    heard = store.notifications([FORMATION], idle=60)
    assert next(heard) is None
    with store.transaction() as session:
        session.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    assert next(heard) is None  # lost: look
    assert next(heard) is None  # connected again: look
    with store.transaction() as session:
        notify(session, FORMATION, "x")
    assert next(heard) is not None
    heard.close()  # type: ignore[attr-defined]


def test_pauses_grow_to_a_limit() -> None:
    assert all(0.1 <= pause(0) <= 0.2 for _ in range(50))
    assert all(2.5 <= pause(failures) <= 5 for failures in (5, 50, 5000))


def test_a_changed_operator_key_replaces_the_one_before(store: Store) -> None:
    with store.transaction() as session:
        first = ensure_operator(session, "ann@example.com", "first")
        assert ensure_operator(session, "ann@example.com", "first").id == first.id
    with store.transaction() as session:
        assert ensure_operator(session, "bob@example.com", "second").id == first.id
    with store.transaction() as session:
        assert account_of(session, "first") is None
        found = account_of(session, "second")
        assert found is not None
        assert found.email == "bob@example.com"
        assert b"second" not in session.scalars(select(Authorization.token_digest)).one()


def test_releases_by_several_at_once_have_versions_without_gaps(store: Store, vault: Vault) -> None:
    app = make_app(store, vault)

    def release() -> None:
        for _ in range(5):
            with store.transaction() as session:
                found = session.get_one(App, app.id)
                create_release(session, found, description="x", account_id=app.owner_id)

    threads = [threading.Thread(target=release) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.transaction() as session:
        rows = session.scalars(select(Release).order_by(Release.version)).all()
    assert [row.version for row in rows] == list(range(1, 23))
    assert [row.version for row in rows if row.current] == [22]


def test_a_release_keeps_what_it_does_not_change_and_merges_the_formation(store: Store, vault: Vault) -> None:
    app = make_app(store, vault)
    slug = make_slug(app, "web", "worker")
    with store.transaction() as session:
        session.add(slug)
        create_release(session, session.get_one(App, app.id), description="x", account_id=app.owner_id, slug=slug)
    with store.transaction() as session:
        made = create_release(session, session.get_one(App, app.id), description="y", account_id=app.owner_id)
        assert made.slug_id == slug.id
        assert made.account.email == "ann@example.com"
        assert config_of(session, vault, current_release(session, app.id)) == {}
        quantities = {row.type: row.quantity for row in session.scalars(select(Formation))}
    assert quantities == {"web": 1, "worker": 0}


def test_a_release_of_a_deleted_app_is_refused(store: Store, vault: Vault) -> None:
    app = make_app(store, vault)
    with store.transaction() as session:
        session.delete(session.get_one(App, app.id))
    with pytest.raises(NotFoundError, match="Couldn't find that app"), store.transaction() as session:
        create_release(session, app, description="x", account_id=app.owner_id)


def test_config_vars_come_back_only_for_their_app_and_key(vault: Vault) -> None:
    app_id = uuid.uuid4()
    sealed = vault.encrypt(app_id, {"A": "secret ✓"})
    assert b"secret" not in sealed
    assert sealed != vault.encrypt(app_id, {"A": "secret ✓"})
    assert vault.decrypt(app_id, sealed) == {"A": "secret ✓"}
    for other, data in ((uuid.uuid4(), sealed), (app_id, sealed[:-1] + bytes([sealed[-1] ^ 1])), (app_id, b"")):
        with pytest.raises(SealedError, match=f"what is kept of {other}: cannot be read, another encryption key"):
            vault.decrypt(other, data)
    with pytest.raises(SealedError):
        Vault("B" * 42 + "s=").decrypt(app_id, sealed)
    for wrong in ("short", "", "!" * 44):
        with pytest.raises(ConfigurationError, match="is not 32 bytes"):
            Vault(wrong)


def test_a_link_works_for_its_purpose_and_its_time(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    token = vault.sign("read", {"build": "1"}, 100)
    assert vault.verify("read", token)["build"] == "1"
    body, _, seal = token.partition(".")
    for forged in ("", ".", token[:-2], f"{body}x.{seal}", f"{body}.é", body):
        with pytest.raises(InvalidInputError, match="is not one of ours"):
            vault.verify("read", forged)
    with pytest.raises(InvalidInputError, match="is not one of ours"):
        vault.verify("write", token)
    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(InvalidInputError, match="has expired"):
        vault.verify("read", token)
