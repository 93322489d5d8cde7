"""The store by the database driver alone, for processes that stay small: the object mapper is many times its size."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.domain.retries import pause
from dynoform.errors import ConfigurationError, ConflictError, InvalidInputError, UnavailableError

SCHEMA = "0045"
"""The newest migration. Revisions are numbered: an older program can run on a newer schema while an upgrade rolls."""
SETTINGS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
BUSY = {"55P03", "40001", "40P01"}
"""lock_not_available, serialization_failure, deadlock_detected"""

KEPT_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""How a connection to a host that is gone is found out, in seconds but for the last: milliseconds."""
COMMON = {"connect_timeout": 5, "sslcertmode": "disable", **KEPT_ALIVE}
"""Of each connection. A certificate of the client would be looked for at home, which may be another user's."""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Notification:
    """A NOTIFY that arrived; ``payload`` is an id as text."""

    channel: str
    payload: str


class SmallStore:
    """One process's access to the store, with what ``session.Store`` promises, but SQL instead of the object mapper."""

    def __init__(self, configuration: Configuration, process: str) -> None:
        """``process`` names the connections in ``pg_stat_activity``. One is kept; any thread may need one more."""
        self.configuration = configuration
        self.process = process
        self._resting: list[Connection] = []

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction: committed at the end of the block, rolled back when it raises.

        Raises as ``session.Store.transaction`` does.
        """
        try:
            connection = self._take()
            try:
                with connection.transaction():
                    yield connection
            finally:
                self._rest(connection)
        except psycopg.DataError as error:
            raise unfit() from error
        except psycopg.IntegrityError as error:
            raise crossed() from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise busy_or_away(error.sqlstate) from error

    def notifications(self, channels: Sequence[str], idle: float = 5) -> Iterator[Notification | None]:
        """As the function of this name."""
        return notifications(self.configuration, self.process, channels, idle)

    def wait_until_ready(self, seconds: float | None = None) -> None:
        """Wait for the database and for its schema, which the API's start brings up to date; None waits for ever.

        Raises ``UnavailableError`` when the time is over.
        """
        for _ in attempts(seconds):
            if self._schema() >= SCHEMA:
                return
        raise not_ready(seconds)

    def close(self) -> None:
        """Give the connection back."""
        while self._resting:
            self._resting.pop().close()

    def _schema(self) -> str:
        try:
            with self.transaction() as connection:
                row = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
        except (psycopg.Error, UnavailableError):
            return ""
        return str(row[0] or "") if row else ""

    def _take(self) -> Connection:
        """The connection that rests, unless it has died meanwhile, else a new one."""
        while self._resting:
            connection = self._resting.pop()
            with suppress(psycopg.OperationalError):
                connection.execute("")
                return connection
            connection.close()
        arguments = connection_arguments(self.configuration, self.process, SETTINGS)
        # Each statement that PostgreSQL keeps prepared is memory of the connection's process.
        return psycopg.connect(**arguments, prepare_threshold=None)

    def _rest(self, connection: Connection) -> None:
        if self._resting or connection.broken:
            connection.close()
        else:
            self._resting.append(connection)


def connection_arguments(
    configuration: Configuration, process: str, settings: str = "-c statement_timeout=10s"
) -> dict[str, Any]:
    """Keyword arguments of ``psycopg``'s ``connect`` for a connection that is kept, and found out when it is dead.

    Parameters:
        configuration: where the store is, and the password.
        process: names the connection in ``pg_stat_activity``, after ``dynoform-``.
        settings: limits of the session, as PostgreSQL's command line has them.
    """
    return {
        "conninfo": configuration.database_url.replace("postgresql+psycopg://", "postgresql://", 1),
        "password": configuration.secret("database_password"),
        "autocommit": True,
        "application_name": f"dynoform-{process}",
        "options": settings,
        **COMMON,
    }


def notifications(
    configuration: Configuration, process: str, channels: Sequence[str], idle: float
) -> Iterator[Notification | None]:
    """Endless NOTIFYs on these channels; None after each ``idle`` seconds without one and after each (re)connect.

    None means "look for yourself": what was notified without a connection is lost, so work is found by a
    look at the tables and the notification only makes it soon. A lost connection is made anew, after a pause.
    """
    failures = 0
    while True:
        try:
            with psycopg.connect(**connection_arguments(configuration, process, SETTINGS)) as connection:
                for channel in channels:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                yield None
                failures = 0
                while True:
                    # What one transaction notified arrives together, also more than was asked for.
                    arrived = [*connection.notifies(timeout=idle, stop_after=1)]
                    yield from (Notification(one.channel, one.payload) for one in arrived)
                    if not arrived:
                        yield None
        except (psycopg.Error, ConfigurationError):  # the second: the password's file is being replaced
            time.sleep(pause(failures))
            failures += 1
            yield None


def unfit() -> InvalidInputError:
    """A value that PostgreSQL does not take."""
    return InvalidInputError("a value", "cannot be stored", "remove NUL characters and shorten it")


def crossed() -> ConflictError:
    """A row that has gone, or come, since it was looked for."""
    return ConflictError("store", "another change came in between", "look again, then try again")


def busy_or_away(state: str | None) -> ConflictError | UnavailableError:
    """A statement that was not done; ``state`` is PostgreSQL's SQLSTATE, None for no answer."""
    if state in BUSY:
        return ConflictError("store", "another change to the same thing is under way", "try again")
    return UnavailableError("store", "the database does not answer", "try again in a few seconds")


def not_ready(seconds: float | None) -> UnavailableError:
    """A database that has not come, or has no schema of this program's."""
    return UnavailableError(
        "store", f"not ready after {seconds} s", "look at the postgres and api services with bin/dynoform status"
    )
