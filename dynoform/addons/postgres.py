"""The provider of ``heroku-postgresql``: PostgreSQL 17, one server for each add-on.

Everything in it belongs to a role that nobody logs in as; those who log in are members of it and act as it. So a
rotation is one more login, and the end of the one before takes nothing with it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dynoform.addons.databases import DatabaseProvider, Known
from dynoform.addons.engine import Job
from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.domain import data_services, protection
from dynoform.domain.data_limits import Usage
from dynoform.domain.data_services import DataPlan
from dynoform.domain.protection import Seen, Source
from dynoform.errors import NotFoundError, UnavailableError

_SUPERUSER = "postgres"
_PSQL = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname"]
_READY = ["pg_isready", "--quiet", "--host=127.0.0.1"]
_PROTECT = ["/opt/dynoform/protect"]
_RESTORE = ["/opt/dynoform/restore"]
_LIMIT = ["/opt/dynoform/limit"]
_JOB, _DRILL = "-restore", "-drill"
_RESTORE_LOOK_SECONDS = _LAST_LOOK_SECONDS = 0.5
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
        """A server, the database, its first user; or another's data, where that is wanted, and users of its own."""
        source = protection.source(wanted.options)
        try:
            known, plan = self._place.known(wanted, source.addon_id if source else None), self._plan(wanted)
            if source is None:
                self._make(wanted, known, awaits=False)
            elif not self._brought(wanted, source):
                return Answer(again_after=_RESTORE_LOOK_SECONDS)
        except NotFoundError as error:
            raise RefusedError(error.what) from None
        self._ready(wanted)
        self._sql(wanted, "postgres", _database(known, plan))
        self._sql(wanted, known.name, _users(known) + (_strangers(known) if source else ""))
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
        if operation == data_services.PROTECT:
            return self._protect(wanted)
        if operation == data_services.MAINTAIN:
            return self._maintain(wanted, lost=bool(details.get("lost")))
        raise RefusedError(f"{wanted.service} cannot do {operation}")

    @property
    def image(self) -> str:
        """PostgreSQL's."""
        return self._place.configuration.postgres_image

    def deprovision(self, wanted: Resource) -> Answer:
        """A last backup is made; then the server goes, its data, its repository, and jobs that were at work on it."""
        if not self._place.has_last_backup(wanted):
            return Answer(again_after=_LAST_LOOK_SECONDS)
        for job in (_JOB, _DRILL):
            self._place.engine.end(f"{self._place.service(wanted.uuid)}{job}")
        return super().deprovision(wanted)

    def _maintain(self, wanted: Resource, *, lost: bool) -> Answer:
        """As others; one that was lost waits for its data, which come from its repository where they were lost too."""
        if not lost:
            return super()._maintain(wanted, lost=lost)
        if not self._brought(wanted, Source(wanted.uuid), again=True):
            return Answer(again_after=_RESTORE_LOOK_SECONDS)
        self._ready(wanted)
        known = self._place.known(wanted)
        self._sql(wanted, known.name, _users(known))  # what was restored lets nobody in
        self._place.maintained(wanted)
        return Answer()

    def _up(self, wanted: Resource, known: Known, *, again: bool = False) -> None:
        self._make(wanted, known, again=again, awaits=True)
        self._ready(wanted)

    def _make(self, wanted: Resource, known: Known, *, awaits: bool, again: bool = False) -> None:
        """Have the server run; one that ``awaits`` its data never begins with none."""
        more = {"repository": self._place.repository(wanted.uuid, self._plan(wanted)), "restored": awaits}
        self._place.up(wanted, known.access.port, self.image, self._plan(wanted), again=again, more=more)

    def _ready(self, wanted: Resource) -> None:
        # By TCP, which answers once the server is open: while it starts there is the socket alone.
        self._place.engine.wait(self._place.service(wanted.uuid), _READY, _SUPERUSER)

    def _brought(self, wanted: Resource, source: Source, *, again: bool = False) -> bool:
        """Whether the data are there; they are being brought otherwise. Raises ``RefusedError`` when they cannot be."""
        engine, own = self._place.engine, self._place.service(wanted.uuid)
        found = engine.job(f"{own}{_JOB}")
        if found is None:
            self._make(wanted, self._place.known(wanted, source.addon_id), again=again, awaits=True)
            opens, theirs = self._place.source(source.addon_id), self._place.service(source.addon_id)
            if theirs != own:
                self._close(theirs, source)
            volumes = [(f"{theirs}-backups", "/var/lib/pgbackrest", "ro"), (own, "/var/lib/postgresql", "rw")]
            to = {"RESTORE_TO": source.to.isoformat(sep=" ") if source.to else ""}
            memory, told = self._plan(wanted).memory_mib, f"{opens}.\n"
            engine.begin(Job(f"{own}{_JOB}", str(wanted.uuid), self.image, _RESTORE, told, volumes, memory, to))
            return False
        if found.works:
            return False
        engine.end(f"{own}{_JOB}")
        if found.failure:
            raise RefusedError(f"The database could not be made from the backup: {found.failure}")
        return True

    def _close(self, service: str, source: Source) -> None:
        """Have all in a source's repository that the source has."""
        try:
            self._place.engine.run(service, [*_PROTECT, "archive"], "", _SUPERUSER)
        except UnavailableError:
            if source.to is None:  # what it has by now is wanted, and it alone knows that
                raise

    def _protect(self, wanted: Resource) -> Answer:
        """See how the repository is, and have a backup begun that is due."""
        service = self._place.service(wanted.uuid)
        try:
            seen = protection.read(self._place.engine.run(service, [*_PROTECT, "state"], "", _SUPERUSER))
            kind = protection.due(seen, protection.days(wanted.plan))
            if kind:
                self._place.engine.start(service, [*_PROTECT, "backup", kind], _SUPERUSER)
            drill, usage = self._drill(wanted, seen), self._limit(wanted, seen)
        except UnavailableError as error:
            # Nothing else waits for this: it is looked at again soon.
            return Answer(lines=self._place.looked(wanted, None, why=str(error)))
        runs = seen.runs or kind is not None
        return Answer(lines=self._place.looked(wanted, seen, runs=runs, drill=drill, usage=usage))

    def _limit(self, wanted: Resource, seen: Seen) -> Usage:
        """How much there is of what the plan allows; INSERT is taken from all where it is too much, and given back."""
        plan = self._plan(wanted)
        found = self._place.usage(wanted, seen, plan)
        if found.revoked or seen.revoked:
            verb, name = "revoke" if found.revoked else "grant", self._place.known(wanted).name
            self._place.engine.run(self._place.service(wanted.uuid), [*_LIMIT, verb, name], "", _SUPERUSER)
        return found

    def _drill(self, wanted: Resource, seen: Seen) -> Mapping[str, Any] | None:
        """Have the latest backup restored for a trial when that is due, one at a time; what came of one that ended."""
        engine, service = self._place.engine, self._place.service(wanted.uuid)
        found = engine.job(f"{service}{_DRILL}")
        if found is None:
            if seen.backups and self._place.drill_is_due(wanted) and not engine.has_jobs(_DRILL):
                opens = self._place.repository(wanted.uuid, self._plan(wanted))
                repository = (f"{service}-backups", "/var/lib/pgbackrest", "ro")
                memory, drill = self._plan(wanted).memory_mib, {"RESTORE_DRILL": "yes"}
                # Nothing is mounted for the data: the image has an anonymous volume there, which goes with the job.
                told = f"{opens}.\n"
                name, addon = f"{service}{_DRILL}", str(wanted.uuid)
                engine.begin(Job(name, addon, self.image, _RESTORE, told, [repository], memory, drill))
                self._place.drilled(wanted)
            return None
        if found.works:
            return None
        engine.end(f"{service}{_DRILL}")
        return protection.drilled(found.said, found.failure, seen.now)

    def _end_users(self, wanted: Resource, known: Known) -> None:
        self._sql(wanted, known.name, _users(known) + _forget(known))

    def _sql(self, wanted: Resource, database: str, statements: str) -> str:
        """Run statements as the superuser, whom the server knows by the container's user: he has no password."""
        service = self._place.service(wanted.uuid)
        # Nothing of a user's is found by its name alone: it would be run as the superuser.
        target = f"dbname={database} options='-c search_path=pg_catalog'"
        return self._place.engine.run(service, [*_PSQL, target], statements, _SUPERUSER)


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


def _strangers(known: Known) -> str:
    """Users that came with another's data; what they have is the owner's."""
    owner, mine = known.owner, ", ".join(f"'{user}'" for user in known.users)
    return f"""
SELECT format('REASSIGN OWNED BY %1$I TO %2$I; DROP OWNED BY %1$I; DROP ROLE %1$I', rolname, '{owner}')
FROM pg_roles WHERE rolname ~ '^u[0-9a-f]{{14}}$' AND rolname NOT IN ({mine}) \\gexec
"""  # noqa: S608 - names of our own making


def _extensions(known: Known, names: Sequence[str]) -> str:
    """Made by the owner, whose they are."""
    return "".join(
        [
            f'SET ROLE "{known.owner}";\n',
            *(f'CREATE EXTENSION IF NOT EXISTS "{name}" SCHEMA public;\n' for name in names),
        ]
    )


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
