"""Which runtime's hosts take which one-off dyno."""

import asyncio
import uuid
from collections.abc import Callable

import pytest

from dynoform.agent.ledger import Ledger
from dynoform.agent.process import ready
from dynoform.configuration import Configuration
from dynoform.domain.placement import Host
from dynoform.journal import Journal
from dynoform.run.connection import Connection
from dynoform.run.rows import Rows
from dynoform.store import hosts
from dynoform.store.apps import create_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Account, OneOffDyno

GIB = 1024**3
HOSTS = [Host("n1", "one", GIB), Host("n2", "two", GIB, open=False), Host("n3", "three", GIB, runtime="acme")]


@pytest.fixture
def ask(store: Store, configuration: Configuration) -> Callable[..., uuid.UUID]:
    """Asks for a one-off dyno of an app on a runtime; gives its id."""

    def asked(runtime: str = "common") -> uuid.UUID:
        with store.transaction() as session:
            account = Account(email=f"{uuid.uuid4()}@example.com")
            session.add(account)
            session.flush()
            vault = Vault(configuration.secret("encryption_key"))
            app, (release, _) = create_app(session, vault, account, None, "dynoform-13")
            app.runtime = runtime
            row = OneOffDyno(
                id=uuid.uuid4(),
                app_id=app.id,
                release_id=release.id,
                type="run",
                number=1,
                size="Standard-1X",
                command="true",
                variables=b"",
                time_to_live=60,
            )
            session.add(row)
            return row.id

    return asked


def taken(configuration: Configuration, agent: str) -> set[uuid.UUID]:
    """What an agent has after it has looked."""

    async def look() -> set[uuid.UUID]:
        connection = Connection(configuration, agent, asyncio.Event())
        try:
            await ready(Ledger(connection), Journal("test"))  # the lock of the one before goes with its connection
            return {run.id for run in await Rows(connection).mine([])}
        finally:
            await connection.close()

    return asyncio.run(look())


def known(store: Store, *found: Host) -> None:
    with store.transaction() as session:
        hosts.replace(session, found)


def test_a_single_host_takes_all(store: Store, configuration: Configuration, ask: Callable[..., uuid.UUID]) -> None:
    asked = ask()
    assert taken(configuration, "one") == {asked}
    assert taken(configuration, "two") == set(), "it has been taken"


def test_others_are_for_hosts_of_the_apps_runtime_that_take_dynos(
    store: Store, configuration: Configuration, ask: Callable[..., uuid.UUID]
) -> None:
    known(store, *HOSTS)
    common, private = ask(), ask("acme")
    assert taken(configuration, "two") == set()
    assert taken(configuration, "three") == {private}
    assert taken(configuration, "one") == {common}


def test_a_closed_host_takes_them_when_no_other_does(
    store: Store, configuration: Configuration, ask: Callable[..., uuid.UUID]
) -> None:
    known(store, HOSTS[1], HOSTS[2])
    common = ask()
    assert taken(configuration, "two") == {common}
