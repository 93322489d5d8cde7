"""What users set of a PostgreSQL by ``pg:settings``: names, values, and what each is called in the server. Pure.

https://devcenter.heroku.com/articles/heroku-postgres-settings
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynoform.errors import InvalidInputError

Value = bool | int | str
AUTO_EXPLAIN = "auto_explain"
"""A module that each session loads, and not a parameter."""
LOG_CONNECTIONS = "log_connections"
"""Of the whole server: a session is told of before it is a database's."""
DATA_CONNECTORS = "data_connector_details_logs"


@dataclass(frozen=True)
class Setting:
    """A setting.

    Parameters:
        usual: what it is if nobody has set it.
        says: what it does.
        values: what it can be, with what each does; empty for numbers, and for yes and no.
        least, most: what a number can be.
    """

    name: str
    usual: Value
    says: str
    values: Mapping[str, str] = field(default_factory=dict)
    least: int = -1
    most: int = 2**31 - 1


_STATEMENTS = {
    "none": "No SQL statements will be logged.",
    "ddl": "All data definition statements, such as CREATE, ALTER and DROP will be logged in your application's logs.",
    "mod": "All statements contained in ddl as well as data-modifying statements such as INSERT, UPDATE, DELETE, "
    "TRUNCATE, COPY will be logged in your application's logs.",
    "all": "All SQL statements executed will be logged in your application's logs.",
}
_ERRORS = {
    "error": "All SQL statements that cause an error of severity error, log, fatal or panic will be logged.",
    "log": "All SQL statements that cause an error of severity log, fatal or panic will be logged.",
    "fatal": "All SQL statements that cause an error of severity fatal or panic will be logged.",
    "panic": "All SQL statements that cause an error of severity panic will be logged.",
}
_FUNCTIONS = {
    "none": "No functions will be tracked.",
    "pl": "Only procedural language functions will be tracked.",
    "all": "All functions, including SQL and C language functions, will be tracked.",
}
_FORMATS = {each: f"Plans are logged as {each}." for each in ("text", "json", "yaml", "xml")}
SETTINGS: Mapping[str, Setting] = {
    each.name: each
    for each in (
        Setting(AUTO_EXPLAIN, False, "Log execution plans of statements"),
        Setting("auto_explain.log_analyze", False, "Log actual run times with execution plans"),
        Setting("auto_explain.log_buffers", False, "Log usage of buffers with execution plans"),
        Setting("auto_explain.log_format", "text", "Format of execution plans", _FORMATS),
        Setting("auto_explain.log_min_duration", -1, "Milliseconds from which on a statement's plan is logged"),
        Setting("auto_explain.log_nested_statements", False, "Log execution plans of statements in functions"),
        Setting("auto_explain.log_triggers", False, "Log statistics of triggers with execution plans"),
        Setting("auto_explain.log_verbose", False, "Log details with execution plans"),
        Setting(DATA_CONNECTORS, False, "Log details of data connectors"),
        Setting(LOG_CONNECTIONS, True, "Log attempts to log in"),
        Setting("log_lock_waits", True, "Log that a session waits longer than a second for a lock"),
        Setting("log_min_duration_statement", 2000, "Milliseconds from which on a statement's duration is logged"),
        Setting("log_min_error_statement", "error", "Severity of errors whose statements are logged", _ERRORS),
        Setting("log_statement", "ddl", "Statements that are logged", _STATEMENTS),
        Setting("track_functions", "none", "Functions whose calls are counted", _FUNCTIONS),
    )
}  # fmt: skip


def check(given: Mapping[str, Any]) -> dict[str, Value]:
    """What was given itself. Raises ``InvalidInputError`` for what cannot be."""
    if not given:
        raise InvalidInputError(f"Name at least one setting: {', '.join(SETTINGS)}")
    return {name: _check(name, value) for name, value in given.items()}


def effective(chosen: Mapping[str, Any] | None) -> dict[str, Value]:
    """All settings, with what a database's users have ``chosen``."""
    return {name: each.usual for name, each in SETTINGS.items()} | dict(chosen or {})


def _check(name: str, value: object) -> Value:
    setting = SETTINGS.get(name)
    if setting is None:
        raise InvalidInputError(f"{name[:60]} is no setting: choose one of {', '.join(SETTINGS)}")
    if isinstance(setting.usual, bool):
        if not isinstance(value, bool):
            raise InvalidInputError(f"{name} must be true or false")
        if name == DATA_CONNECTORS and value:
            raise InvalidInputError(f"{name} cannot be turned on: there are no data connectors here")
        return value
    if isinstance(setting.usual, int):
        if not isinstance(value, int) or isinstance(value, bool) or not setting.least <= value <= setting.most:
            raise InvalidInputError(f"{name} must be a whole number of milliseconds, 0 for all and -1 for none")
        return value
    if value not in setting.values:
        raise InvalidInputError(f"{name} must be one of: {', '.join(setting.values)}")
    return str(value)
