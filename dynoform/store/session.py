"""Connections to the store: a small pool, transactions, and LISTEN/NOTIFY.

Nothing waits for ever: connecting, locks, statements and idle transactions all have limits, so that a stuck client
cannot hold others.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.domain.retries import pause as pause
from dynoform.errors import ConflictError, UnavailableError
from dynoform.store.channels import ADDON_DONE as ADDON_DONE
from dynoform.store.channels import ADDON_WORK as ADDON_WORK
from dynoform.store.channels import BUILD_OUTPUT as BUILD_OUTPUT
from dynoform.store.channels import CANCELS as CANCELS
from dynoform.store.channels import DEPLOYS as DEPLOYS
from dynoform.store.channels import DRAINS as DRAINS
from dynoform.store.channels import FORMATION as FORMATION
from dynoform.store.channels import JOBS as JOBS
from dynoform.store.channels import ROUTES as ROUTES
from dynoform.store.channels import RUNS as RUNS
from dynoform.store.channels import WEBHOOKS as WEBHOOKS
from dynoform.store.driver import (
    COMMON,
    SETTINGS,
    Notification,
    busy_or_away,
    crossed,
    not_ready,
    notifications,
    unfit,
)
from dynoform.store.driver import SCHEMA as SCHEMA

_POOLED = f"{SETTINGS} -c idle_session_timeout=15s"
"""At rest each connection costs PostgreSQL 4 MiB: those for busy moments go, and are made anew within 20 ms."""
_PREPARED_AFTER = 5


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
            raise unfit() from error
        except IntegrityError as error:
            raise crossed() from error
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise _explain(error) from error

    def wait_until_ready(self, seconds: float | None = None) -> None:
        """Wait for the database and for its schema, which the API's start brings up to date; None waits for ever.

        Raises ``UnavailableError`` when the time is over.
        """
        for _ in attempts(seconds):
            if self.is_current():
                return
        raise not_ready(seconds)

    def notifications(self, channels: Sequence[str], idle: float = 5) -> Iterator[Notification | None]:
        """As ``driver.notifications``."""
        return notifications(self.configuration, self.process, channels, idle)

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

    def _connect_arguments(self, settings: str) -> dict[str, Any]:
        return {
            "prepare_threshold": _PREPARED_AFTER if self._prepares else None,
            "application_name": f"dynoform-{self.process}",
            "options": settings,
            **COMMON,
        }

    def _add_password(self, dialect: object, record: object, arguments: object, parameters: dict[str, Any]) -> None:
        parameters["password"] = self.configuration.secret("database_password")


def notify(session: Session, channel: str, payload: object) -> None:
    """Tell listeners on ``channel`` when this transaction commits; ``payload`` is an id."""
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": str(payload)})


def _explain(error: SQLAlchemyError) -> ConflictError | UnavailableError:
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return busy_or_away(state)


def now(session: Session) -> datetime:
    """The database's clock, which all processes go by."""
    moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return moment
