"""What a PostgreSQL is told of its users' settings, and of whom they are not for: the platform itself."""

from collections.abc import Mapping

from dynoform.domain.database_settings import AUTO_EXPLAIN, DATA_CONNECTORS, LOG_CONNECTIONS, Value

SUPERUSER = {
    "search_path": "pg_catalog",
    "role": "none",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    "local_preload_libraries": "",
}
"""What holds for the platform in a user's database, whatever its owner set for all who connect there.

Nothing of his is found by its name alone: it would be run as the superuser.
"""
QUIET = """
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET auto_explain.log_min_duration = -1;
"""
"""Before what the platform says itself: what the server keeps of passwords is in no app's log."""


def connection(database: str) -> str:
    """How the platform connects to a database, as libpq takes it (https://www.postgresql.org/docs/17/libpq-connect.html)."""
    options = " ".join(f"-c {name}={value}" for name, value in SUPERUSER.items())
    return f"dbname={database} options='{options}'"


def statements(database: str, settings: Mapping[str, Value]) -> str:
    """For all sessions that begin from now on."""
    parts = [_statement(database, name, value) for name, value in sorted(settings.items())]
    return "".join(parts)


def _statement(database: str, name: str, value: Value) -> str:
    if name == DATA_CONNECTORS:
        return ""  # there are none
    if name == LOG_CONNECTIONS:
        return f"ALTER SYSTEM SET {name} = {_text(value)};\nSELECT pg_reload_conf();\n"
    if name == AUTO_EXPLAIN:
        loaded = f"SET session_preload_libraries = '{AUTO_EXPLAIN}'" if value else "RESET session_preload_libraries"
        return f'ALTER DATABASE "{database}" {loaded};\n'
    return f'ALTER DATABASE "{database}" SET {name} = {_text(value)};\n'


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"'{value}'"
