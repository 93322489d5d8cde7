"""When the process of databases starts a shift: for work of its own."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from dynoform.addons import watch
from dynoform.configuration import Configuration
from dynoform.domain import maintenance, placement
from dynoform.domain.database_credentials import POOLING
from dynoform.journal import Journal
from dynoform.store import accounts, databases, hosts
from dynoform.store.addon_services import find_plan, register_own
from dynoform.store.addons import create
from dynoform.store.apps import create_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import AddonAttachment, AddonChange, App, Database, now
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]


@pytest.mark.parametrize(("plan", "is_ours"), [("heroku-postgresql:essential-0", True), ("scheduler:standard", False)])
def test_a_new_database_wants_a_shift_and_another_addon_none(
    configuration: Configuration, store: Store, monkeypatch: pytest.MonkeyPatch, plan: str, is_ours: bool
) -> None:
    monkeypatch.setattr(watch, "PORTION_SECONDS", 60.0)
    vault = Vault(configuration.secret("encryption_key"))
    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")
    looks = watch.looks(configuration, Journal("databases"))
    assert next(looks) is False

    def order() -> None:
        with store.transaction() as session:
            found = find_plan(session, plan)
            assert found is not None
            create(session, vault, session.get_one(App, app.id), found, account)

    teller = threading.Timer(0.2, order)
    teller.start()
    assert next(looks) is is_ours
    teller.join()
    looks.close()  # type: ignore[attr-defined]


def test_a_sweep_that_is_due_wants_a_shift_only_where_there_is_a_database(
    configuration: Configuration, store: Store
) -> None:
    vault = Vault(configuration.secret("encryption_key"))
    looks = watch.looks(configuration, Journal("databases"), lambda: True)
    assert next(looks) is False
    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")
        found = find_plan(session, "heroku-postgresql:essential-0")
        assert found is not None
        addon, _ = create(session, vault, app, found, account)
        databases.place(session, addon.id, set())
        session.execute(update(AddonChange).values(status="succeeded"))
    assert next(looks) is True
    looks.close()  # type: ignore[attr-defined]
    looks = watch.looks(configuration, Journal("databases"))
    assert next(looks) is False
    looks.close()  # type: ignore[attr-defined]


def test_maintenance_that_is_due_waits_for_its_window_and_a_pool_for_the_end_of_its_attachments(
    configuration: Configuration, store: Store
) -> None:
    vault = Vault(configuration.secret("encryption_key"))
    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")
        found = find_plan(session, "heroku-postgresql:standard-0")
        assert found is not None
        addon, _ = create(session, vault, app, found, account)
        addon.state = "provisioned"
        databases.place(session, addon.id, set())
        session.execute(update(AddonChange).values(status="succeeded"))

    def wanted(**columns: object) -> bool:
        with store.transaction() as session:
            session.execute(update(Database).values({"settings": None, **columns}))
        looks = watch.looks(configuration, Journal("databases"))
        answer = next(looks)
        looks.close()  # type: ignore[attr-defined]
        return answer

    opens = maintenance.minute_of_week(now()) - 60
    assert not wanted()
    assert not wanted(maintained_at=now() - timedelta(days=31), maintenance_window=(opens + 120) % (7 * 24 * 60))
    assert wanted(maintenance_window=opens % (7 * 24 * 60))
    assert not wanted(maintenance_at=now() + timedelta(days=1))
    assert wanted(pool_port=15900)
    with store.transaction() as session:
        session.execute(update(AddonAttachment).values(namespace=POOLING))
    assert not wanted()


def test_a_host_that_is_drained_wants_a_shift_where_databases_have_servers_on_several(
    configuration: Configuration, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PORTION_SECONDS", 60.0)
    vault, looks = Vault(configuration.secret("encryption_key")), watch.looks(configuration, Journal("databases"))
    assert next(looks) is False
    host = placement.Host("node1", "one", memory_bytes=1)

    def drain(*, draining: bool) -> None:
        with store.transaction() as session:
            hosts.replace(session, [replace(host, draining=draining)])

    def tell(*, draining: bool) -> bool:
        """Whether a shift is wanted once the reconciler has told of the host; long before the next look by itself."""
        teller, began = threading.Timer(0.2, lambda: drain(draining=draining)), time.monotonic()
        teller.start()
        answer = next(looks)
        teller.join()
        assert time.monotonic() - began < watch.PORTION_SECONDS / 2
        return answer

    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")
        for plan in ("heroku-postgresql:standard-0", "heroku-postgresql:premium-0"):
            found = find_plan(session, plan)
            assert found is not None
            addon, _ = create(session, vault, app, found, account)
            databases.place(session, addon.id, set())
        session.execute(update(AddonChange).values(status="succeeded"))
    assert next(looks) is False
    assert tell(draining=True) is False, "all their servers are on the platform's host"
    with store.transaction() as session:
        session.get_one(Database, addon.id).member_hosts = [None, ["two", "10.0.0.2"]]
    assert tell(draining=True) is True
    drain(draining=False)
    looks.close()  # type: ignore[attr-defined]
    looks = watch.looks(configuration, Journal("databases"))
    assert next(looks) is False
    looks.close()  # type: ignore[attr-defined]
