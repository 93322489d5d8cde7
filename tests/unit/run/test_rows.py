"""Which agent takes which one-off dyno."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select

from dynoform.agent.ledger import Ledger
from dynoform.agent.process import ready
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.run.connection import Connection
from dynoform.run.rows import Rows
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Dyno, OneOffDyno, now


@pytest.fixture
def dyno_id(store: Store, configuration: Configuration) -> uuid.UUID:
    """A formation dyno, in which somebody wants to run something, and wants to run something else by itself."""
    with store.transaction() as session:
        account = Account(email="ann@example.com")
        session.add(account)
        session.flush()
        app = App(name="shop", owner_id=account.id, stack="dynoform-13")
        session.add(app)
        session.flush()
        config = add_config(session, Vault(configuration.secret("encryption_key")), app.id, {})
        release = create_release(session, app, description="test", account_id=account.id, slug=None, config=config)
        session.flush()
        common = {"app_id": app.id, "release_id": release.id, "size": "Standard-1X", "command": "true"}
        dyno = Dyno(type="web", number=1, **common)
        session.add(dyno)
        session.flush()
        own = {"variables": b"", "tty": False, "time_to_live": 60, "state_changed_at": now()}
        own["created_at"] = now() + timedelta(hours=1)  # however long the test takes, no agent is late
        session.add(OneOffDyno(type="run", number=1, **common, **own))
        session.add(OneOffDyno(type="web", number=1, inside_id=dyno.id, **common, **own))
        return dyno.id


def taken(configuration: Configuration, agent: str, *here: uuid.UUID) -> list[str]:
    """What the agent of this name has, when these formation dynos run on its host."""

    async def take() -> list[str]:
        connection = Connection(configuration, agent, asyncio.Event())
        await ready(Ledger(connection), Journal("test"))  # the lock of the one before goes with its connection
        runs = await Rows(connection).mine(here)
        await connection.close()
        return sorted("inside" if run.inside_id else "own" for run in runs)

    return asyncio.run(take())


def test_what_runs_inside_a_dyno_is_for_the_agent_of_its_host(
    store: Store, configuration: Configuration, dyno_id: uuid.UUID
) -> None:
    assert taken(configuration, "one") == ["own"]
    assert taken(configuration, "two", dyno_id) == ["inside"]
    assert taken(configuration, "one", dyno_id) == ["own"]


def test_what_no_agent_has_is_refused_by_any(store: Store, configuration: Configuration, dyno_id: uuid.UUID) -> None:
    with store.transaction() as session:
        for row in session.scalars(select(OneOffDyno)):
            row.created_at = now() - timedelta(seconds=6)
    assert taken(configuration, "one") == ["inside", "own"]
