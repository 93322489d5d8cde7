"""When the process of databases starts a shift: for work of its own."""

import threading

import pytest
from sqlalchemy import update

from dynoform.addons import watch
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.store import accounts, databases
from dynoform.store.addon_services import find_plan, register_own
from dynoform.store.addons import create
from dynoform.store.apps import create_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import AddonChange, App
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]


@pytest.mark.parametrize(("plan", "is_ours"), [("heroku-postgresql:essential-0", True), ("scheduler:standard", False)])
def test_a_new_database_wants_a_shift_and_another_addon_none(
    configuration: Configuration, store: Store, plan: str, is_ours: bool
) -> None:
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
