"""The store by the database driver alone, for processes that stay small: the object mapper is many times its size."""

from typing import Any

from dynoform.configuration import Configuration


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
        "connect_timeout": 5,
        "application_name": f"dynoform-{process}",
        "options": settings,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
