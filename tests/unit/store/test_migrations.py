"""The migrations make exactly the tables that the code declares."""

import threading

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from dynoform.configuration import Configuration
from dynoform.store.migrate import alembic_configuration, upgrade
from dynoform.store.session import SCHEMA, Store
from dynoform.store.tables import Base


def test_migrations_make_the_declared_tables(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == SCHEMA


def test_constraints_are_named_by_the_rule(store: Store) -> None:
    inspector = inspect(store.engine)
    assert inspector.get_pk_constraint("apps")["name"] == "pk_apps"
    assert {key["name"] for key in inspector.get_foreign_keys("apps")} == {
        "fk_apps_owner_id_accounts",
        "fk_apps_team_id_teams",
    }
    assert {key["name"] for key in inspector.get_unique_constraints("releases")} == {"uq_releases_app_id_version"}


def test_upgrade_can_be_undone_and_done_by_two_at_once(store: Store, configuration: Configuration) -> None:
    with store.engine.connect() as connection:
        command.downgrade(alembic_configuration(connection), "base")
        connection.commit()
    assert inspect(store.engine).get_table_names() == ["alembic_version"]
    stores = [Store(configuration, "test", pool=1) for _ in range(2)]
    threads = [threading.Thread(target=upgrade, args=(other,)) for other in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in stores:
        other.close()
    assert "apps" in inspect(store.engine).get_table_names()
    store.wait_until_ready(1)
