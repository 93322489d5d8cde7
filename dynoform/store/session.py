"""Connections to the store: a small pool, transactions, and LISTEN/NOTIFY.

Nothing waits for ever: connecting, locks, statements and idle transactions all have limits, so that a stuck client
cannot hold others.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.domain.retries import pause as pause
from dynoform.errors import ConfigurationError, ConflictError, InvalidInputError, UnavailableError

JOBS = "jobs"
DEPLOYS = "deploys"
FORMATION = "formation"
ROUTES = "routes"
BUILD_OUTPUT = "build_output"
ADDON_WORK = "addon_work"
ADDON_DONE = "addon_done"
WEBHOOKS = "webhooks"
RUNS = "runs"
DRAINS = "drains"
"""Channels; the payload is the id of a build or release (jobs, build output), of an add-on's change, else of an app,
or the channel's name.

Deploys are told of before there is a job, so that somebody is there to take it."""

SCHEMA = "0038"
"""The newest migration. Revisions are numbered: an older program can run on a newer schema while an upgrade rolls."""

_SETTINGS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
_POOLED = f"{_SETTINGS} -c idle_session_timeout=15s"
"""At rest each connection costs PostgreSQL 4 MiB: those for busy moments go, and are made anew within 20 ms."""
_PREPARED_AFTER = 5
_BUSY = {"55P03", "40001", "40P01"}  # lock_not_available, serialization_failure, deadlock_detected


@dataclass(frozen=True)
class Notification:
    """A NOTIFY that arrived; ``payload`` is an id as text."""

    channel: str
    payload: str


class Store:
    """One process's access to the store."""

    def __init__(
        self, configuration: Configuration, process: str, pool: int = 3, burst: int = 2, *, prepares: bool = False
    ) -> None:
        """``process`` names the connections in ``pg_stat_activity``; ``pool`` is how many stay open, ``burst`` how many
        more there may be for as long as they are needed.

        ``prepares`` is for who asks the same often and rests in between: each statement that PostgreSQL keeps prepared
        is memory of the connection's process, and those of loops that never rest add up to 10 MiB.
        """
        self.configuration = configuration
        self.process = process
        self._prepares = prepares
        self.engine = sqlalchemy.create_engine(
            configuration.database_url,
            pool_size=pool,
            max_overflow=burst,
            pool_timeout=10,
            pool_pre_ping=True,
            pool_recycle=1800,
            # A connection's process in PostgreSQL grows with every statement that it has seen, to 8 MiB: the one that
            # was used last is used again, so that those for busy moments stay small.
            pool_use_lifo=True,
            hide_parameters=True,  # an error's text may reach a log
            connect_args=self._connect_arguments(_POOLED),
        )
        event.listen(self.engine, "do_connect", self._add_password)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session in a transaction: committed at the end of the block, rolled back when it raises.

        Raises ``UnavailableError`` when the database cannot be reached, ``ConflictError`` when another change held
        what this one needs or came in between, ``InvalidInputError`` when a value does not fit its column (a NUL).
        """
        try:
            with self._sessions.begin() as session:
                yield session
        except DataError as error:
            raise InvalidInputError("a value", "cannot be stored", "remove NUL characters and shorten it") from error
        except IntegrityError as error:
            raise ConflictError("store", "another change came in between", "look again, then try again") from error
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise _explain(error) from error

    def wait_until_ready(self, seconds: float | None = None) -> None:
        """Wait for the database and for its schema, which the API's start brings up to date; None waits for ever.

        Raises ``UnavailableError`` when the time is over.
        """
        for _ in attempts(seconds):
            if self.is_current():
                return
        raise UnavailableError(
            "store", f"not ready after {seconds} s", "look at the postgres and api services with bin/dynoform status"
        )

    def notifications(self, channels: Sequence[str], idle: float = 5) -> Iterator[Notification | None]:
        """Endless NOTIFYs on these channels; None after each ``idle`` seconds without one and after each (re)connect.

        None means "look for yourself": what was notified without a connection is lost, so work is found by a
        look at the tables and the notification only makes it soon. A lost connection is made anew, after a pause.
        """
        failures = 0
        while True:
            try:
                with self._listen(channels) as connection:
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

    def is_current(self) -> bool:
        """Whether the schema has every migration that this program knows; False while there is no connection."""
        return self._schema() >= SCHEMA

    def answers(self) -> bool:
        """Whether the database takes a connection and a statement now."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _schema(self) -> str:
        try:
            with self.engine.connect() as connection:
                return str(connection.scalar(text("SELECT max(version_num) FROM alembic_version")) or "")
        except SQLAlchemyError:
            return ""

    def _listen(self, channels: Sequence[str]) -> "psycopg.Connection[Any]":
        url = make_url(self.configuration.database_url).set(drivername="postgresql")
        arguments = self._connect_arguments(_SETTINGS) | {"password": self.configuration.secret("database_password")}
        connection = psycopg.connect(url.render_as_string(hide_password=False), autocommit=True, **arguments)
        for channel in channels:
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        return connection

    def _connect_arguments(self, settings: str) -> dict[str, Any]:
        return {
            "connect_timeout": 5,
            "prepare_threshold": _PREPARED_AFTER if self._prepares else None,
            "application_name": f"dynoform-{self.process}",
            "options": settings,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        }

    def _add_password(self, dialect: object, record: object, arguments: object, parameters: dict[str, Any]) -> None:
        parameters["password"] = self.configuration.secret("database_password")


def notify(session: Session, channel: str, payload: object) -> None:
    """Tell listeners on ``channel`` when this transaction commits; ``payload`` is an id."""
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": str(payload)})


def _explain(error: SQLAlchemyError) -> ConflictError | UnavailableError:
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    if state in _BUSY:
        return ConflictError("store", "another change to the same thing is under way", "try again")
    return UnavailableError("store", "the database does not answer", "try again in a few seconds")


def now(session: Session) -> datetime:
    """The database's clock, which all processes go by."""
    moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return moment
