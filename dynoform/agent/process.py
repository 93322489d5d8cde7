"""The agent's process: its works side by side, each of them again after whatever has failed.

SIGTERM leaves all as it is, as kill -9 does: dynos go on, and the next agent, a moment later, takes over.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dynoform.agent.cgroups import Cgroups
from dynoform.agent.health import Health
from dynoform.agent.ledger import Ledger
from dynoform.agent.left_volumes import LOOK_SECONDS as LEFT_SECONDS
from dynoform.agent.left_volumes import LeftVolumes
from dynoform.agent.rotations import LOOK_SECONDS as FILES_SECONDS
from dynoform.agent.rotations import Rotations
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
    sampler = Sampler(watcher, Cgroups(configuration.cgroups, engine), ledger, journal)
    health = Health(engine, ledger, watcher)
    left = LeftVolumes(connection, engine, lambda name: journal.info("volume removed", name=name))
    rotations = Rotations(configuration.stack, configuration.containers, logs)
    works = [
        partial(repeat, "look", sessions.look, LOOK_SECONDS, journal, wake),
        partial(repeat, "events", watcher.follow, REOPEN_SECONDS, journal),
        partial(repeat, "samples", sampler.sample, SAMPLE_SECONDS, journal),
        partial(repeat, "log files", rotations.look, FILES_SECONDS, journal),
        partial(repeat, "left volumes", left.look, LEFT_SECONDS, journal),
        partial(repeat, "health", health.report, SAMPLE_SECONDS, journal),
    ]
    working = asyncio.ensure_future(_all(works, ledger, journal))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({stop, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # what is no trouble of the world outside ends the process
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await sessions.stop()
        await connection.close()
        logs.close()


async def _all(works: Sequence[Callable[[], Coroutine[Any, Any, None]]], ledger: Ledger, journal: Journal) -> None:
    await ready(ledger, journal)
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work())


async def ready(ledger: Ledger, journal: Journal) -> None:
    """Wait for the store, for its tables, and for an earlier agent of this host to be gone; it is said once."""
    failures = 0
    while True:
        try:
            await ledger.events_until()
        except DynoformError as error:
            if not failures:
                journal.info("waiting", error=error)
            await asyncio.sleep(pause(failures))
            failures += 1
        else:
            return


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
