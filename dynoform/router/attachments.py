"""What the router agent serves, in a thread: what clients attach to dynos through, and the gate of held requests."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from dynoform.configuration import Configuration
from dynoform.domain import heroku_exec
from dynoform.errors import ConfigurationError
from dynoform.journal import Journal
from dynoform.router.exec_listener import ExecListener
from dynoform.router.gate import Gate
from dynoform.router.rendering import API_CERTIFICATE
from dynoform.router.rendezvous import Relay

CERTIFICATE = "router.pem"
_RETRY_SECONDS = 5.0
_FOLLOW_SECONDS = 2.0
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
    following = asyncio.ensure_future(_follow(relay, configuration, journal))
    if configuration.exec_address:
        listener = ExecListener(configuration, relay, journal)
        servers.append(lambda: listener.start(configuration.exec_address, heroku_exec.PORT))
    await asyncio.gather(*(_keep_trying(server, journal) for server in servers))
    await following


async def _follow(relay: Relay, configuration: Configuration, journal: Journal) -> None:
    """Show the certificate that the router shows: the API's own if there is one, and its successors."""
    brought, own = configuration.router / API_CERTIFICATE, configuration.secret_path(CERTIFICATE)
    shown: tuple[int, int] | None = None
    while True:
        await asyncio.sleep(_FOLLOW_SECONDS)
        try:
            present = _identity(brought)
            if present != shown:
                relay.renew(brought if present else own)
                shown = present
        except ConfigurationError as error:
            journal.warning("certificate not taken over", error=error)


def _identity(file: Path) -> tuple[int, int] | None:
    """What another content changes, as files are replaced; None for no file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


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
