"""What the router agent serves, in a thread: what clients attach to dynos through, and the gate of held requests."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

from dynoform.configuration import Configuration
from dynoform.domain import heroku_exec
from dynoform.errors import ConfigurationError
from dynoform.journal import Journal
from dynoform.router.exec_doors import Doors
from dynoform.router.exec_listener import ExecListener
from dynoform.router.gate import Gate
from dynoform.router.rendezvous import Relay

CERTIFICATE = "router.pem"
_RETRY_SECONDS = 5.0
_ANY = "0.0.0.0"  # noqa: S104 - as the operator says


def start(configuration: Configuration, journal: Journal, gate: Gate) -> None:
    """Serve in a thread of its own, for as long as the process lives."""
    threading.Thread(
        target=lambda: asyncio.run(_serve(configuration, journal, gate)), name="attachments", daemon=True
    ).start()


async def _serve(configuration: Configuration, journal: Journal, gate: Gate) -> None:
    relay = Relay(journal)
    clients = (_addresses(configuration.listen_addresses), configuration.rendezvous_port)
    dynos = (configuration.platform_address, configuration.rendezvous_dyno_port)
    servers: list[Callable[[], Awaitable[object]]] = [
        lambda: relay.start(clients, dynos, configuration.secret_path(CERTIFICATE)),
        lambda: gate.start(configuration.router),
    ]
    if configuration.exec_address:
        listener = ExecListener(configuration, Doors(configuration, relay), journal)
        servers.append(lambda: listener.start(configuration.exec_address, heroku_exec.PORT))
    await asyncio.gather(*(_keep_trying(server, journal) for server in servers))
    await asyncio.Event().wait()


async def _keep_trying(start: Callable[[], Awaitable[object]], journal: Journal) -> None:
    """Start a server, however long it takes: a bridge that is not there yet, a port that another process still holds.

    What is wrong is said once.
    """
    said = ""
    while True:
        try:
            listening = await start()
        except (OSError, ConfigurationError) as error:
            if str(error) != said:
                journal.warning("cannot listen", error=error)
            said = str(error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        journal.info("listening", at=listening)
        return


def _addresses(configured: Sequence[str]) -> list[str]:
    """The addresses to listen on: the one that stands for all leaves no room for others."""
    return [_ANY] if _ANY in configured else list(configured)
