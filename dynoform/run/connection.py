"""The runtime agent's one connection to the store, which all its parts share."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from dynoform.configuration import Configuration
from dynoform.domain.retries import pause
from dynoform.errors import ConflictError, UnavailableError
from dynoform.store.channels import FORMATION, RUNS
from dynoform.store.driver import connection_arguments

SECONDS = 15.0
PATIENCE_SECONDS = 60.0
"""How long a change that has to be written down is tried for."""
_CHANNELS = (RUNS, FORMATION)


class Connection:
    """Statements, one after another. Calls raise ``UnavailableError`` while the store does not answer.

    They raise ``ConflictError`` while another agent of this host is alive.
    """

    def __init__(self, configuration: Configuration, agent: str, wake: asyncio.Event) -> None:
        """``agent`` names this host's agent; ``wake`` is set when something may have changed."""
        self._configuration, self.agent, self._wake = configuration, agent, wake
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()

    async def patiently(self, statement: str, *values: object) -> None:
        """``execute``, again and again for up to a minute while the store is away."""
        started, failures = time.monotonic(), 0
        while True:
            try:
                await self.execute(statement, *values)
                return
            except UnavailableError:
                if time.monotonic() - started > PATIENCE_SECONDS:
                    raise
            await asyncio.sleep(pause(failures))
            failures += 1

    async def execute(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """The rows that a statement answers with; none for one that has no answer."""
        async with self._lock:
            try:
                async with asyncio.timeout(SECONDS):
                    connection = await self._connected()
                    asyncio.get_running_loop().remove_reader(connection.fileno())
                    cursor = await connection.execute(statement, values)
                    rows = await cursor.fetchall() if cursor.description else []
                self._listen(connection)
                return rows
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._hang_up()
                why = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UnavailableError("store", why, "tried again in a moment") from error

    async def close(self) -> None:
        """Hang up; a successor need not wait."""
        async with self._lock:
            await self._hang_up()

    def _listen(self, connection: "psycopg.AsyncConnection[tuple[Any, ...]]") -> None:
        """Wake the agent when the connection has something to say between statements: a notification, or its end."""
        loop, descriptor = asyncio.get_running_loop(), connection.fileno()

        def arrived() -> None:
            loop.remove_reader(descriptor)  # the next statement takes it in
            self._wake.set()

        loop.add_reader(descriptor, arrived)

    async def _connected(self) -> "psycopg.AsyncConnection[tuple[Any, ...]]":
        if self._connection is None:
            limits = "-c statement_timeout=10s -c lock_timeout=5s"
            arguments = connection_arguments(self._configuration, "runtime-agent", limits)
            connection = await psycopg.AsyncConnection.connect(**arguments)
            self._connection = connection
            await self._lock_name(connection)
            connection.add_notify_handler(lambda _: self._wake.set())  # of what comes in during a statement
            for channel in _CHANNELS:
                await connection.execute(f"LISTEN {channel}")
        return self._connection

    async def _lock_name(self, connection: "psycopg.AsyncConnection[tuple[Any, ...]]") -> None:
        """One agent per name: the lock goes with the connection, so with its process, however that ends."""
        cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self.agent,))
        row = await cursor.fetchone()
        if not row or not row[0]:
            await self._hang_up()
            raise ConflictError(f"runtime agent {self.agent}", "another one is alive", "stop it")

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            asyncio.get_running_loop().remove_reader(connection.fileno())
            await connection.close()
