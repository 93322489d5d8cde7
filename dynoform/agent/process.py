"""The agent's process: its works side by side, each of them again after whatever has failed.

SIGTERM leaves all as it is, as kill -9 does: dynos go on, and the next agent, a moment later, takes over.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from dynoform.agent.cgroups import Cgroups
from dynoform.agent.health import Health
from dynoform.agent.ledger import Ledger
from dynoform.agent.sampler import Sampler
from dynoform.agent.watcher import REOPEN_SECONDS, Watcher
from dynoform.configuration import Configuration
from dynoform.domain.retries import pause
from dynoform.domain.runtime_metrics import SAMPLE_SECONDS
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.run.connection import Connection
from dynoform.run.engine import Engine
from dynoform.run.rows import Rows
from dynoform.run.session import Parts
from dynoform.run.sessions import LOOK_SECONDS, Sessions
from dynoform.store.secrets import Vault


def run(configuration: Configuration) -> None:
    """Take care of this host's dynos until SIGTERM."""
    asyncio.run(_work(configuration))


async def _work(configuration: Configuration) -> None:
    journal = Journal("runtime-agent")
    stopping, wake = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    connection = Connection(configuration, socket.gethostname(), wake)
    logs = LogplexClient(configuration)
    engine, ledger = Engine(), Ledger(connection)
    vault = Vault(configuration.secret("encryption_key"))
    sessions = Sessions(Parts(configuration, engine, Rows(connection), vault, logs, journal))
    watcher = Watcher(configuration.stack, engine, ledger, logs, journal, datetime.now(UTC))
    sampler = Sampler(watcher, Cgroups(configuration.cgroups, engine), ledger, logs, journal)
    health = Health(engine, ledger, watcher)
    works = [
        repeat("look", sessions.look, LOOK_SECONDS, journal, wake),
        repeat("events", watcher.follow, REOPEN_SECONDS, journal),
        repeat("samples", sampler.sample, SAMPLE_SECONDS, journal),
        repeat("health", health.report, SAMPLE_SECONDS, journal),
    ]
    tasks = [asyncio.ensure_future(work) for work in works]
    stop = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # what is no trouble of the world outside ends the process
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sessions.stop()
        await connection.close()
        logs.close()


async def repeat(
    name: str, work: Callable[[], Awaitable[None]], seconds: float, journal: Journal, wake: asyncio.Event | None = None
) -> None:
    """Do ``work`` every ``seconds``, at once when ``wake`` is set, after a growing pause when it has failed."""
    failures = 0
    wake = wake or asyncio.Event()
    while True:
        wake.clear()
        try:
            await work()
            failures = 0
        except DynoformError as error:
            journal.warning(f"{name} failed", error=error, failures=failures)
            failures += 1
        try:
            async with asyncio.timeout(pause(failures) if failures else seconds):
                await wake.wait()
        except TimeoutError:
            continue
