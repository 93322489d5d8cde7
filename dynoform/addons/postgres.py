"""The provider of ``heroku-postgresql``: PostgreSQL 17, one server for each add-on.

Everything in it belongs to a role that nobody logs in as; those who log in are members of it and act as it. So a
rotation is one more login, and the end of the one before takes nothing with it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dynoform.addons.databases import DatabaseProvider, Known
from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.domain import data_services
from dynoform.domain.data_services import DataPlan

_SUPERUSER = "postgres"
_PSQL = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname"]
_READY = ["pg_isready", "--quiet", "--host=127.0.0.1"]
_INSPECT = """
SELECT json_build_object(
    'version', current_setting('server_version'),
    'bytes', pg_database_size(current_database()),
    'connections', (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres'),
    'tables', (SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))
);
"""


class PostgresProvider(DatabaseProvider):
    """Makes, changes and destroys databases, and does what the data API asks of them."""

    service = data_services.POSTGRES

    def provision(self, wanted: Resource) -> Answer:
        """A server, the database, its first user."""
        known, plan = self._place.known(wanted), self._plan(wanted)
        self._up(wanted, known)
        self._sql(wanted, "postgres", _database(known, plan))
        self._sql(wanted, known.name, _users(known))
        return Answer(
            config={"DATABASE_URL": known.access.postgres_url},
            provider_id=str(wanted.uuid),
            message="The database is there. Its connections are encrypted, also from outside: heroku pg:psql",
        )

    def change_plan(self, wanted: Resource) -> Answer:
        """The server starts anew with what the plan says."""
        known, plan = self._place.known(wanted), self._plan(wanted)
        self._up(wanted, known)
        self._sql(wanted, "postgres", _database(known, plan))
        return Answer()

    def operate(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """One of ``data_services.OPERATIONS``."""
        if operation == data_services.ROTATE:
            known = self._place.rotate(wanted, forced=bool(details.get("forced")))
            self._sql(wanted, known.name, _users(known))
            return Answer(config={"DATABASE_URL": known.access.postgres_url})
        known, plan = self._place.known(wanted), self._plan(wanted)
        if operation == data_services.INSPECT:
            return Answer(result=json.loads(self._sql(wanted, known.name, _INSPECT)))
        if operation == data_services.KILL_ALL:
            self._sql(wanted, "postgres", _kill(known))
            return Answer()
        if operation == data_services.RESET:
            self._sql(wanted, "postgres", f'DROP DATABASE IF EXISTS "{known.name}" WITH (FORCE);\n')
            self._sql(wanted, "postgres", _database(known, plan))
            self._sql(wanted, known.name, _users(known) + _extensions(known, details.get("extensions") or ()))
            return Answer()
        if operation == data_services.MAINTAIN:
            return self._maintain(wanted, lost=bool(details.get("lost")))
        raise RefusedError(f"{wanted.service} cannot do {operation}")

    @property
    def image(self) -> str:
        """PostgreSQL's."""
        return self._place.configuration.postgres_image

    def _up(self, wanted: Resource, known: Known, *, again: bool = False) -> None:
        self._place.up(wanted, known.access.port, self.image, self._plan(wanted), again=again)
        # By TCP, which answers once the server is open: while it starts there is the socket alone.
        self._place.engine.wait(self._place.service(wanted.uuid), _READY, _SUPERUSER)

    def _end_users(self, wanted: Resource, known: Known) -> None:
        self._sql(wanted, known.name, _users(known) + _forget(known))

    def _sql(self, wanted: Resource, database: str, statements: str) -> str:
        """Run statements as the superuser, whom the server knows by the container's user: he has no password."""
        service = self._place.service(wanted.uuid)
        return self._place.engine.run(service, [*_PSQL, database], statements, _SUPERUSER)


def _database(known: Known, plan: DataPlan) -> str:
    """The owner and the database, made if they are not there, with the plan's limit."""
    owner, name = known.owner, known.name
    extensions = ",".join(data_services.EXTENSIONS)
    return f"""
SELECT 'CREATE ROLE "{owner}" NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec
GRANT pg_read_all_stats, pg_signal_backend TO "{owner}";
SELECT 'CREATE DATABASE "{name}" OWNER "{owner}"'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
ALTER DATABASE "{name}" CONNECTION LIMIT {plan.connections};
ALTER DATABASE "{name}" SET rds.allowed_extensions = '{extensions}';
REVOKE ALL ON DATABASE "{name}", postgres, template1 FROM PUBLIC;
"""  # noqa: S608 - names of our own making


def _users(known: Known) -> str:
    """Those who log in, each acting as the owner. Their passwords come as what the server keeps of them."""
    return "".join(
        f"""
SELECT 'CREATE ROLE "{user}"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
ALTER ROLE "{user}" LOGIN PASSWORD '{data_services.scram(password)}';
GRANT "{known.owner}" TO "{user}";
ALTER ROLE "{user}" SET role = '{known.owner}';
"""  # noqa: S608 - names of our own making
        for user, password in known.users.items()
    )


def _extensions(known: Known, names: Sequence[str]) -> str:
    """Made by the owner, whose they are."""
    return "".join([f'SET ROLE "{known.owner}";\n', *(f'CREATE EXTENSION IF NOT EXISTS "{name}";\n' for name in names)])


def _forget(known: Known) -> str:
    """Those whose time is over: out, and what they made all the same belongs to the owner."""
    return "".join(
        f"""
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') AS there \\gset
\\if :there
ALTER ROLE "{user}" NOLOGIN;
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{user}';
REASSIGN OWNED BY "{user}" TO "{known.owner}";
DROP OWNED BY "{user}";
DROP ROLE "{user}";
\\endif
"""  # noqa: S608 - names of our own making
        for user in known.ended
    )


def _kill(known: Known) -> str:
    return f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{known.name}';\n"  # noqa: S608 - a name of our own making
