"""The API's process: brings the schema up to date, makes sure of the operator, serves."""

import socket
import subprocess
import sys

import uvicorn

from dynoform.api.application import THREADS, create_application
from dynoform.api.services import Services
from dynoform.api.wake import Wakers
from dynoform.configuration import API_PORT, Configuration
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store.accounts import ensure_operator
from dynoform.store.secrets import Vault
from dynoform.store.session import Store

_KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than the router does, so that it never uses a closed one."""
_DRAIN = 20


def run(configuration: Configuration) -> None:
    """Serve until SIGTERM; requests under way get 20 s to end."""
    journal = Journal("api")
    store = Store(configuration, "api", pool=THREADS - 2, prepares=True)
    vault = Vault(configuration.secret("encryption_key"))
    migrate(store)
    with store.transaction() as session:
        ensure_operator(session, configuration.email, configuration.secret("operator_api_key"))
    services = Services(
        configuration,
        store,
        vault,
        LogplexClient(configuration),
        journal,
        Wakers(store),
        logplex_port=configuration.logplex_http_port,
    )
    journal.info("serving", port=API_PORT)
    Server(services, server_configuration(services)).run()
    store.close()


class Server(uvicorn.Server):
    """Uvicorn, telling the services when it has been told to stop."""

    def __init__(self, services: Services, configuration: uvicorn.Config) -> None:
        """``services`` are those of the application that ``configuration`` serves."""
        super().__init__(configuration)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connection, end what has no end of its own, let the rest finish."""
        self._services.stopping.set()
        await super().shutdown(sockets)


def migrate(store: Store) -> None:
    """Run the migrations in a process of their own unless the schema is new enough already.

    Raises ``UnavailableError`` when they fail; the service is then started again and tries again.
    """
    if store.is_current():
        return
    done = subprocess.run([sys.executable, "-m", "dynoform.store.migrate"], check=False)
    if done.returncode != 0:
        raise UnavailableError("the store's schema", "could not be brought up to date", "see the lines above")


def server_configuration(services: Services, host: str = "0.0.0.0", port: int = API_PORT) -> uvicorn.Config:  # noqa: S104 - a container's
    """Uvicorn's settings: plain HTTP for the router in front of it, no log of its own."""
    return uvicorn.Config(
        create_application(services),
        host=host,
        port=port,
        loop="asyncio",
        http="h11",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_DRAIN,
        h11_max_incomplete_event_size=64 * 1024,
    )
