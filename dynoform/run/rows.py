"""One-off dynos in the store, over one connection: what is asked for, and how far it is."""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from dynoform.configuration import Configuration
from dynoform.domain import dyno_names, stacks
from dynoform.domain.placement import COMMON
from dynoform.domain.retries import pause
from dynoform.errors import ConflictError, UnavailableError

SECONDS = 15.0
PATIENCE_SECONDS = 60.0
"""How long a change that has to be written down is tried for."""
_CHANNELS = ("runs", "formation")
# What is to run inside a dyno is its own host's. All else is for any host that takes dynos of the app's runtime, or has
# to as no other does; one that the reconciler does not know yet takes the common one's.
_CLAIM = """
    WITH here AS (
        SELECT coalesce(max(runtime), %(common)s) AS runtime, coalesce(bool_and(state = 'open'), true) AS open
        FROM hosts WHERE name = %(agent)s
    )
    UPDATE one_off_dynos d SET agent = %(agent)s
    FROM here, apps a
    WHERE d.agent IS NULL AND a.id = d.app_id AND CASE WHEN d.inside_id IS NULL
        THEN a.runtime = here.runtime
            AND (here.open OR NOT EXISTS (SELECT FROM hosts o WHERE o.state = 'open' AND o.runtime = a.runtime))
        ELSE NOT EXISTS (
            SELECT FROM dynos y JOIN hosts h ON h.id = y.host_id WHERE y.id = d.inside_id AND h.name <> %(agent)s
        )
    END
"""
_MINE = """
    SELECT d.id, d.app_id, a.name, r.version, d.type, d.number, d.size, d.command, d.variables, d.attach_digest, d.tty,
           d.over_ssh, d.state, d.inside_id, coalesce(s.images ->> d.type, s.image), coalesce(s.stack = %s, false),
           s.process_types, c.ciphertext,
           extract(epoch FROM now() - d.created_at)::float8, d.time_to_live
    FROM one_off_dynos d
    JOIN apps a ON a.id = d.app_id
    JOIN releases r ON r.id = d.release_id
    JOIN configs c ON c.id = r.config_id
    LEFT JOIN slugs s ON s.id = r.slug_id
    WHERE d.agent = %s
"""
_UP = """
    UPDATE one_off_dynos SET state = 'up', state_changed_at = now(), updated_at = now()
    WHERE id = %s AND state = 'starting'
"""
# Those of an agent whose host never came back.
_FORGET = """
    DELETE FROM one_off_dynos WHERE created_at + make_interval(secs => time_to_live + 600) < now() AND agent <> %s
"""


@dataclass(frozen=True)
class Run:
    """One one-off dyno, as its row was when it was read."""

    id: uuid.UUID
    app_id: uuid.UUID
    app_name: str
    version: int
    type: str
    number: int
    size: str
    command: str
    variables: bytes
    """Encrypted, as are ``config``'s; empty for one ``over_ssh``."""
    digest: str | None
    tty: bool
    over_ssh: bool
    state: str
    inside_id: uuid.UUID | None
    image: str | None
    own_image: bool
    """Whether the image is the user's own, of the stack ``container``."""
    process_types: Mapping[str, str] | None
    config: bytes
    age: float
    """Seconds since somebody asked for it."""
    time_to_live: int

    @property
    def name(self) -> str:
        """``run.1234``."""
        return dyno_names.name(self.type, self.number)


class Rows:
    """The agent's connection. Calls raise ``UnavailableError`` while the store does not answer."""

    def __init__(self, configuration: Configuration, agent: str, wake: asyncio.Event) -> None:
        """``agent`` names this host's agent; ``wake`` is set when something may have changed."""
        self._configuration, self.agent, self._wake = configuration, agent, wake
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()

    async def mine(self) -> list[Run]:
        """The one-off dynos that this agent has, those that nobody had yet and that it may have included.

        Raises ``ConflictError`` while another agent of this name is alive.
        """
        await self._execute(_CLAIM, {"agent": self.agent, "common": COMMON})
        await self._execute(_FORGET, self.agent)
        return [Run(*row) for row in await self._execute(_MINE, stacks.CONTAINER, self.agent)]

    async def mark_up(self, run_id: uuid.UUID) -> None:
        """Write down that its command begins now."""
        await self._patiently(_UP, run_id)

    async def forget(self, run_id: uuid.UUID) -> None:
        """Write down that it is over."""
        await self._patiently("DELETE FROM one_off_dynos WHERE id = %s", run_id)

    async def close(self) -> None:
        """Hang up; a successor need not wait."""
        async with self._lock:
            await self._hang_up()

    async def _patiently(self, statement: str, *values: object) -> None:
        started, failures = time.monotonic(), 0
        while True:
            try:
                await self._execute(statement, *values)
                return
            except UnavailableError:
                if time.monotonic() - started > PATIENCE_SECONDS:
                    raise
            await asyncio.sleep(pause(failures))
            failures += 1

    async def _execute(self, statement: str, *given: object) -> Sequence[tuple[Any, ...]]:
        """The rows of a statement; what is given are its values in order, or one mapping of them by name."""
        values = given[0] if len(given) == 1 and isinstance(given[0], Mapping) else given
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

    def _listen(self, connection: "psycopg.AsyncConnection[tuple[Any, ...]]") -> None:
        """Wake the agent when the connection has something to say between statements: a notification, or its end."""
        loop, descriptor = asyncio.get_running_loop(), connection.fileno()

        def arrived() -> None:
            loop.remove_reader(descriptor)  # the next statement takes it in
            self._wake.set()

        loop.add_reader(descriptor, arrived)

    async def _connected(self) -> "psycopg.AsyncConnection[tuple[Any, ...]]":
        if self._connection is None:
            connection = await psycopg.AsyncConnection.connect(
                self._configuration.database_url.replace("postgresql+psycopg://", "postgresql://", 1),
                password=self._configuration.secret("database_password"),
                autocommit=True,
                connect_timeout=5,
                application_name="dynoform-run-agent",
                options="-c statement_timeout=10s -c lock_timeout=5s",
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=20_000,
            )
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
            raise ConflictError(f"run agent {self.agent}", "another one is alive", "stop it")

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            asyncio.get_running_loop().remove_reader(connection.fileno())
            await connection.close()
