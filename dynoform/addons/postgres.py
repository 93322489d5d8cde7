"""The provider of ``heroku-postgresql``: PostgreSQL 17, one server for each add-on, or two of which one is ready.

Everything in it belongs to a role that nobody logs in as; those who log in are members of it and act as it. So a
rotation is one more login, and the end of the one before takes nothing with it. Named credentials are such roles, too.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dynoform.addons import (
    followers,
    postgres_credentials,
    postgres_diagnosis,
    postgres_ha,
    postgres_links,
    postgres_pool,
    postgres_settings,
)
from dynoform.addons.databases import DatabaseProvider, Known
from dynoform.addons.engine import POOL, Job
from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.domain import addons, data_services, database_credentials, database_settings, protection, standby
from dynoform.domain import followers as rules
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
_FORGETS = ["/opt/dynoform/forget"]
_STOP = ["pgbackrest", "--stanza=db", "--force", "stop"]
_TOLD = ["sha256sum", "/run/secrets/repository.conf"]
_CREDENTIALS = (
    data_services.ROTATE, data_services.CREATE_CREDENTIAL, data_services.DESTROY_CREDENTIAL, data_services.REPAIR,
)  # fmt: skip
_WRITES = (
    *_CREDENTIALS, data_services.RESET, data_services.CONFIGURE, data_services.POOL,
    data_services.LINK, data_services.UNLINK,
)  # fmt: skip
_UNREAD = "the backup could not be read from the repository"
"""How ``images/postgres/restore`` fails where another try may help, when the repository is reached by a network."""
_JOB, _DRILL, _FORGET = "-restore", "-drill", "-forget"
_BACKUPS = "-backups"
"""How the volumes of repositories are called, after their databases' services."""
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
        if leader := rules.leader(wanted.options):
            return self._provision_follower(wanted, leader)
        source = protection.source(wanted.options)
        try:
            known, plan = self._known(wanted, source), self._plan(wanted)
            if source is None:
                self._make(wanted, known, awaits=False)
            elif not self._brought(wanted, source):
                return Answer(again_after=_RESTORE_LOOK_SECONDS)
        except NotFoundError as error:
            raise RefusedError(error.what) from None
        self._ready(wanted)
        self._sql(wanted, "postgres", _database(known, plan))
        self._sql(wanted, known.name, _users(known) + (_left_over(known) if source else ""))
        return Answer(
            config={"DATABASE_URL": self._place.known(wanted).access.postgres_url},
            provider_id=str(wanted.uuid),
            message="The database is there. Its connections are encrypted, also from outside: heroku pg:psql",
        )

    def _provision_follower(self, wanted: Resource, leader: uuid.UUID) -> Answer:
        """A server that is as its leader is, and stays so."""
        try:
            known = self._place.known(wanted, leader, follows=True)
            if not self._followed(wanted, known):
                return Answer(again_after=_RESTORE_LOOK_SECONDS)
        except NotFoundError as error:
            raise RefusedError(error.what) from None
        self._ready(wanted)
        return Answer(
            config={"DATABASE_URL": known.access.postgres_url},
            provider_id=str(wanted.uuid),
            message="The follower is there. It can be read alone, until heroku pg:unfollow",
        )

    def change_plan(self, wanted: Resource) -> Answer:
        """The server starts anew with what the plan says."""
        known, plan = self._place.known(wanted), self._plan(wanted)
        if bool(known.members) != plan.has_standby:
            raise RefusedError("Data do not move to a plan with a standby, nor from one: make another with --fork")
        self._up(wanted, known)
        if not known.follows:
            self._sql(wanted, "postgres", _database(known, plan))
        return Answer()

    def operate(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """One of ``data_services.OPERATIONS``."""
        known, plan = self._place.known(wanted), self._plan(wanted)
        if known.follows and operation in _WRITES:
            raise RefusedError(rules.READ_ONLY)
        if operation in _CREDENTIALS:
            return self._credentials(wanted, operation, details)
        if operation == data_services.FOLLOW:
            return self._told(known)
        if operation == data_services.UNFOLLOW:
            return self._unfollow(wanted, known, plan)
        if operation == data_services.INSPECT:
            return Answer(result=self._inspect(wanted, known))
        if operation == data_services.KILL_ALL:
            self._sql(wanted, "postgres", _kill(known))
            return Answer()
        if operation == data_services.RESET:
            self._sql(wanted, "postgres", f'DROP DATABASE IF EXISTS "{known.name}" WITH (FORCE);\n')
            self._sql(wanted, "postgres", _database(known, plan))
            self._sql(wanted, known.name, _users(known) + _extensions(known, details.get("extensions") or ()))
            return Answer()
        if operation == data_services.CONFIGURE:
            self._sql(wanted, known.name, _settings(self._place.configure(wanted, details), plan))
            return Answer()
        if operation == data_services.DIAGNOSE:
            return Answer(result=json.loads(self._sql(wanted, known.name, postgres_diagnosis.QUERY)))
        if operation == data_services.RESET_STATISTICS:
            self._sql(wanted, known.name, "SELECT pg_stat_reset();\n")
            return Answer()
        if operation == data_services.POOL:
            return self._pool(wanted)
        if operation == data_services.LINK:
            return self._link(wanted, details)
        if operation == data_services.UNLINK:
            return self._unlink(wanted, str(details["name"]))
        if operation == data_services.PROTECT:
            return self._protect(wanted, known)
        if operation == data_services.HAND_OVER:
            return self._hand_over(wanted, known)
        if operation == data_services.MAINTAIN:
            known = self._place.known(wanted)
            if known.ended and details == data_services.DUE:
                super()._maintain(wanted, lost=False)  # ends users alone
            return self._maintain(wanted, lost=bool(details.get("lost")))
        raise RefusedError(f"{wanted.service} cannot do {operation}")

    def _credentials(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """Make, destroy, repair or rotate; ``details`` has the ``name`` of which, all where there is none."""
        place, name = self._place, details.get("name")
        if operation == data_services.CREATE_CREDENTIAL:
            known = place.create_credential(wanted, str(name))
        elif operation == data_services.ROTATE:
            if name not in (None, *place.known(wanted).in_use):
                raise RefusedError(f"There is no credential {name}")
            known = place.rotate(wanted, forced=bool(details.get("forced")), name=name)
        else:
            known = place.known(wanted)
        if operation == data_services.DESTROY_CREDENTIAL:
            return self._destroy_credential(wanted, known, str(name))
        statements = postgres_credentials.repair(known) if operation == data_services.REPAIR else _users(known)
        self._sql(wanted, known.name, statements)
        if operation == data_services.ROTATE:
            self._place.tell_followers(wanted)
        return self._told(known)

    def _destroy_credential(self, wanted: Resource, known: Known, name: str) -> Answer:
        users = [user for user in (*known.users, *known.ended) if known.acts.get(user) == name]
        self._sql(wanted, known.name, postgres_credentials.destroy(known, name, users))
        self._place.forget_credential(wanted, name)
        return Answer(named={database_credentials.namespace(name): {}})

    def _told(self, known: Known) -> Answer:
        """What attachments have, those of named credentials too."""
        named = {
            database_credentials.namespace(name): {"DATABASE_URL": known.url(user)}
            for name, user in known.in_use.items()
        }
        default = known.in_use[data_services.DEFAULT]
        pooled = {"DATABASE_URL": known.url(default, known.pool)} if known.pool else {}
        return Answer(config=named.pop(""), named={**named, database_credentials.POOLING: pooled})

    def _link(self, wanted: Resource, details: Mapping[str, Any]) -> Answer:
        """Have another database's tables in a schema of this one; the link has a user of its own there."""
        name, place = str(details["name"]), self._place
        known = place.known(wanted)
        if self._sql(wanted, known.name, postgres_links.is_taken(name)).strip() == "t":
            raise RefusedError(f"There is a schema {name} already: choose another name with --as")
        try:
            other, to = place.link(wanted, uuid.UUID(details["target"]), name)
        except NotFoundError as error:
            raise RefusedError(error.what) from None
        try:
            theirs = place.known(other)
            self._sql(other, theirs.name, _users(theirs))
            self._import(wanted, known, name, postgres_links.create(known, name, to))
        except UnavailableError:
            if addons.out_of_attempts(data_services.LINK, wanted.attempt):
                with suppress(UnavailableError):  # pg:links:destroy does it then
                    self._unlink(wanted, name)
            raise
        return Answer()

    def _import(self, wanted: Resource, known: Known, name: str, statements: str) -> None:
        """Run a link's statements; one that they can never make is taken away again. Raises ``RefusedError`` then."""
        try:
            self._sql(wanted, known.name, statements)
        except UnavailableError as error:
            if not (why := postgres_links.refusal(error.why or error.what)):
                raise
            self._unlink(wanted, name)
            raise RefusedError(f"The data link could not be made: {why}") from None

    def _unlink(self, wanted: Resource, name: str) -> Answer:
        self._sql(wanted, self._place.known(wanted).name, postgres_links.destroy(name))
        self._place.unlink(wanted, name)
        return Answer()

    def _pool(self, wanted: Resource) -> Answer:
        """Have a connection pool, for as long as an attachment leads to it."""
        known, pool = self._place.known(wanted), self._place.pool(wanted)
        if pool is not None:
            self._sql(wanted, "postgres", postgres_pool.role(pool[1]))
        self._up(wanted, known)
        if pool is not None:
            ready = [*_READY[:2], f"--host={self._place.configuration.data_address}", f"--port={pool[0]}"]
            self._place.engine.wait(f"{self._place.service(wanted.uuid)}{POOL}", ready, _SUPERUSER)
        return self._told(self._place.known(wanted))

    @property
    def image(self) -> str:
        """PostgreSQL's, of a single server, and of jobs."""
        return self._place.configuration.postgres_image

    def _known(self, wanted: Resource, source: Source | None = None) -> Known:
        """The database, of as many parts as its plan says; made where there is none. Raises ``NotFoundError``."""
        members = data_services.SERVERS + data_services.VOTERS if self._plan(wanted).has_standby else 0
        return self._place.known(wanted, source.addon_id if source else None, members)

    def _inspect(self, wanted: Resource, known: Known) -> dict[str, Any]:
        """What it says of itself, and its servers of each other."""
        found: dict[str, Any] = json.loads(self._sql(wanted, known.name, _INSPECT))
        if known.members:
            found["standby"] = postgres_ha.state(self._place.engine, self._place.service(wanted.uuid))
        if known.leader is not None:
            found["behind"] = self._behind(wanted, known.leader)
        return found

    def _behind(self, wanted: Resource, leader: uuid.UUID) -> int | None:
        """How many bytes of its leader's a follower has still to do; None where the leader does not say."""
        try:
            position = self._at(leader, "postgres", followers.POSITION).strip()
        except UnavailableError:
            return None
        said = self._sql(wanted, "postgres", followers.BEHIND.format(position)).strip()
        return int(said) if said else None

    def _followed(self, wanted: Resource, known: Known) -> bool:
        """Whether a follower has its data; they are brought otherwise. Raises ``RefusedError`` when they cannot be."""
        engine, own, leader = self._place.engine, self._place.service(wanted.uuid), known.leader
        found = engine.job(f"{own}{followers.JOB}")
        if leader is None or (found and found.works):
            return leader is None
        if found:
            engine.end(f"{own}{followers.JOB}")
            if found.killed:
                raise UnavailableError("follower", f"its making was killed: {found.failure}", "it begins anew")
            # Another server may be taking over, or the leader, on another host, not know yet that a copy was killed.
            if found.failure and wanted.attempt < addons.ATTEMPTS:
                raise UnavailableError("follower", found.failure, "it begins anew")
            if found.failure:
                raise RefusedError(f"The follower could not be made: {found.failure}")
            return True
        place, (user, password) = self._place.leader(leader), self._place.replication(wanted.uuid)
        self._make(wanted, known, awaits=True)
        if (main := self._place.service(leader)) != self._place.server(leader):
            postgres_ha.keep_slot(engine, main, user, wanted=True)
        self._at(leader, "postgres", followers.admit(user, password))
        told, data = followers.told(place.host, place.port, user, password), [(own, "/var/lib/postgresql", "rw")]
        memory, name, addon = self._plan(wanted).memory_mib, f"{own}{followers.JOB}", str(wanted.uuid)
        engine.begin(Job(name, addon, self.image, followers.PROGRAM, told, data, memory, beside=own))
        return False

    def _unfollow(self, wanted: Resource, known: Known, plan: DataPlan) -> Answer:
        """A follower becomes a database of its own, with users of its own."""
        self._sql(wanted, "postgres", followers.PROMOTE)
        self._leave(wanted, known)
        self._place.unfollowed(wanted)
        known = self._place.known(wanted)
        self._sql(wanted, "postgres", _database(known, plan))
        self._sql(wanted, known.name, _users(known) + _left_over(known))
        return Answer(config={"DATABASE_URL": known.access.postgres_url})

    def _leave(self, wanted: Resource, known: Known) -> None:
        """Its leader keeps nothing for it any more; one that does not answer keeps a little for a while."""
        if known.leader is None:
            return
        user, _ = self._place.replication(wanted.uuid)
        with suppress(UnavailableError):
            if (main := self._place.service(known.leader)) != self._place.server(known.leader):
                postgres_ha.keep_slot(self._place.engine, main, user, wanted=False)
            self._at(known.leader, "postgres", followers.dismiss(user))

    def deprovision(self, wanted: Resource) -> Answer:
        """A last backup is made, and followers are let go; then the server goes, its data, its repository, its jobs."""
        let_go = self._place.let_go(wanted)
        if not self._place.has_last_backup(wanted) or not let_go:
            return Answer(again_after=_LAST_LOOK_SECONDS)
        left = self._forget(wanted)
        if left is None:
            return Answer(again_after=_LAST_LOOK_SECONDS)
        if self._place.is_placed(wanted.uuid):
            self._leave(wanted, self._place.known(wanted))
        self._place.unlink(wanted)
        for job in (_JOB, _DRILL, _FORGET, followers.JOB):
            self._place.engine.end(f"{self._place.service(wanted.uuid)}{job}")
        super().deprovision(wanted)
        self._place.leave_volumes(wanted.uuid)
        return Answer(lines=left)

    def _maintain(self, wanted: Resource, *, lost: bool) -> Answer:
        """As others; one that was lost waits for its data, which come from its repository where they were lost too."""
        if not lost:
            super()._maintain(wanted, lost=lost)
            self._place.tell_followers(wanted)
            known = self._place.known(wanted)
            # Where its leader was destroyed, it knows that one's users still, and none of its own.
            return Answer() if known.follows and known.leader is None else self._told(known)
        known = self._place.known(wanted)
        if known.follows:
            if known.leader is None:
                self._make(wanted, known, again=True, awaits=True)
            elif not self._followed(wanted, known):
                return Answer(again_after=_RESTORE_LOOK_SECONDS)
            self._ready(wanted)
            self._place.maintained(wanted)
            return Answer()
        self._place.rehost(wanted)
        if not self._is_there(wanted) and not self._brought(wanted, Source(wanted.uuid), again=True):
            return Answer(again_after=_RESTORE_LOOK_SECONDS)
        self._ready(wanted)
        self._sql(wanted, known.name, _users(known))  # what was restored lets nobody in
        if pool := self._place.pool(wanted):
            self._sql(wanted, "postgres", postgres_pool.role(pool[1]))
        self._place.maintained(wanted)
        self._place.look_soon(wanted)
        return self._told(self._place.known(wanted))

    def _is_there(self, wanted: Resource) -> bool:
        """Whether one of several servers has its data still, which are used then; all of them run again."""
        engine, known, own = self._place.engine, self._place.known(wanted), self._place.service(wanted.uuid)
        if not known.members or engine.job(f"{own}{_JOB}"):
            return False
        self._make(wanted, known, again=True, awaits=True)
        return postgres_ha.has_data(engine, own)

    def _up(self, wanted: Resource, known: Known, *, again: bool = False) -> None:
        self._make(wanted, known, again=again, awaits=True)
        self._ready(wanted)
        if known.members:
            postgres_ha.settle(self._place.engine, self._place.service(wanted.uuid))

    def _make(self, wanted: Resource, known: Known, *, awaits: bool, again: bool = False) -> None:
        """Have the server run; one that ``awaits`` its data never begins with none."""
        plan, pool, image = self._plan(wanted), self._place.pool(wanted), self.image
        more: dict[str, Any] = {
            "repository": self._place.repository(wanted.uuid, plan),
            "restored": awaits,
            # One that may get a pool: it is not to be restarted for that.
            "shares_socket": not (plan.is_essential or known.members),
            "pool": None,
            "filed": {} if plan.is_essential else self._place.filed(wanted),
        }
        if known.members:
            image, count = self._place.configuration.postgres_ha_image, data_services.SERVERS
            whole = count + data_services.VOTERS
            more |= {"servers": known.members[:count], "voters": known.members[count:whole]}
            if known.hosts:
                more |= {"hosts": known.hosts, "shells": known.members[whole]}
        if pool is not None:
            more["pool"] = {
                "image": image,
                "host_network": self._place.engine.network_id("host"),
                "port": pool[0],
                "password": pool[1],
                "database": known.name,
                "size": data_services.pool_size(plan),
            }
        self._place.up(wanted, known.access.port, image, plan, again=again, more=more)
        if pool is None:
            self._place.unpooled(wanted)

    def _ready(self, wanted: Resource) -> None:
        # By TCP, which answers once the server is open: while it starts there is the socket alone. Of several servers
        # the primary answers, beside their one address.
        self._place.engine.wait(self._place.service(wanted.uuid), _READY, _SUPERUSER)

    def _brought(self, wanted: Resource, source: Source, *, again: bool = False) -> bool:
        """Whether the data are there; they are being brought otherwise. Raises ``RefusedError`` when they cannot be."""
        engine, own = self._place.engine, self._place.service(wanted.uuid)
        found = engine.job(f"{own}{_JOB}")
        if found is None:
            self._bring(wanted, source, again=again)
            return False
        if found.works:
            return False
        engine.end(f"{own}{_JOB}")
        if found.killed:
            raise UnavailableError("restore", f"was killed: {found.failure}", "it goes on where it was")
        if _UNREAD in found.failure and self._place.is_elsewhere(source.addon_id):
            raise UnavailableError("repository of backups", found.failure, "it is tried again")
        if found.failure:
            raise RefusedError(f"The database could not be made from the backup: {found.failure}")
        if wanted.attempt > 1:  # the first time may have been broken off before the server was made
            self._make(wanted, self._known(wanted, source), again=True, awaits=True)
        return True

    def _bring(self, wanted: Resource, source: Source, *, again: bool) -> None:
        """Begin to bring the data, and have the server made meanwhile, which waits for them."""
        engine, own, known = self._place.engine, self._place.service(wanted.uuid), self._known(wanted, source)
        opens, addon = self._place.source(source.addon_id), str(wanted.uuid)
        first = self._place.is_elsewhere(source.addon_id)
        if first:  # the job has the server's network
            self._make(wanted, known, again=again, awaits=True)
        if self._place.service(source.addon_id) != own:
            self._close(source)
        elif not first:
            engine.make_volume(f"{own}{_BACKUPS}", addon)  # it may be gone as well
        data = postgres_ha.servers(own)[0] if known.members else own
        engine.make_volume(data, addon)
        to = {"RESTORE_TO": source.to.isoformat(sep=" ") if source.to else ""}
        memory, told, volumes = self._plan(wanted).memory_mib, f"{opens}.\n", [(data, "/var/lib/postgresql", "rw")]
        job = Job(f"{own}{_JOB}", addon, self.image, _RESTORE, told, volumes, memory, to)
        engine.begin(self._reading(job, source.addon_id))
        if not first:
            self._make(wanted, known, again=again, awaits=True)

    def _reading(self, job: Job, source: uuid.UUID) -> Job:
        """The job with a source's repository to read: its volume; elsewhere, the network of the service beside it."""
        if self._place.is_elsewhere(source):
            return replace(job, beside=self._place.service(uuid.UUID(job.addon)))
        volume = (f"{self._place.service(source)}{_BACKUPS}", "/var/lib/pgbackrest", "ro")
        return replace(job, volumes=[volume, *job.volumes])

    def _forget(self, wanted: Resource) -> Sequence[str] | None:
        """Have a repository that is elsewhere removed: None while that is at work, then what logs are told.

        One that cannot be removed is left there in the end: it is encrypted, and its key goes with the add-on.
        """
        where = self._place.repository_seen_at(wanted.uuid)
        if not where:
            return ()
        if where != self._place.repository_at(wanted.uuid):
            return (protection.left(wanted.name, where, "the platform's settings name another place"),)
        try:
            if not self._is_forgotten(wanted):
                return None
        except UnavailableError as error:
            if wanted.attempt < addons.ATTEMPTS:
                raise
            return (protection.left(wanted.name, where, str(error)),)
        self._place.forgotten(wanted.uuid)
        return ()

    def _is_forgotten(self, wanted: Resource) -> bool:
        """Whether the job that removes a repository is done. Raises ``UnavailableError`` when it came to nothing."""
        engine, service = self._place.engine, self._place.service(wanted.uuid)
        name = f"{service}{_FORGET}"
        found = engine.job(name)
        if found is None:
            with suppress(UnavailableError):  # what it still writes would be there afterwards
                engine.run(self._place.server(wanted.uuid), _STOP, "", _SUPERUSER)
            told, memory = f"{self._place.source(wanted.uuid)}.\n", self._plan(wanted).memory_mib
            job = Job(name, str(wanted.uuid), self.image, _FORGETS, told, [], memory)
            engine.begin(self._reading(job, wanted.uuid))
            return False
        if found.works:
            return False
        engine.end(name)
        if found.failure:
            raise UnavailableError("repository of backups", f"could not be removed: {found.failure}")
        return True

    def _close(self, source: Source) -> None:
        """Have all in a source's repository that the source has."""
        try:
            self._place.engine.run(self._place.server(source.addon_id), [*_PROTECT, "archive"], "", _SUPERUSER)
        except UnavailableError:
            if source.to is None:  # what it has by now is wanted, and it alone knows that
                raise

    def _protect(self, wanted: Resource, known: Known) -> Answer:
        """See how the repository is, and have a backup begun that is due; a follower has none of its own."""
        if known.follows:
            return Answer(lines=self._place.looked(wanted, None, off=rules.LEFT))
        told = Answer()
        try:
            if self._tell(wanted):
                told = self._told(self._place.known(wanted))
            service = self._place.server(wanted.uuid)
            seen = protection.read(self._place.engine.run(service, [*_PROTECT, "state"], "", _SUPERUSER))
            before = protection.at(self._place.repository_at(wanted.uuid), self._place.last_look(wanted), seen.now)
            seen = protection.remembered(seen, before)
            kind = protection.due(seen, protection.days(wanted.plan))
            if kind:
                self._place.engine.start(service, [*_PROTECT, "backup", kind], _SUPERUSER)
            drill, usage = self._drill(wanted, seen), self._limit(wanted, seen)
        except UnavailableError as error:
            # Nothing else waits for this: it is looked at again soon.
            return replace(told, lines=self._place.looked(wanted, None, why=str(error)))
        runs = seen.runs or kind is not None
        return replace(told, lines=self._place.looked(wanted, seen, runs=runs, drill=drill, usage=usage))

    def _hand_over(self, wanted: Resource, known: Known) -> Answer:
        """Have the standby take over where the primary's host is drained. It is asked for again while that is so."""
        engine = self._place.engine
        try:
            hosts = postgres_ha.places(engine.data_hosts(), known.hosts)
            done = postgres_ha.hand_over(engine, self._place.service(wanted.uuid), hosts)
        except UnavailableError as error:
            raise RefusedError(str(error)) from None  # nothing else waits for this
        return Answer(lines=[standby.handed_over(wanted.name)] if done else ())

    def _tell(self, wanted: Resource) -> bool:
        """Have its server know where its repository is to be, and what opens that: either may be another by now.

        Returns whether it was made anew.
        """
        told = self._place.repository(wanted.uuid, self._plan(wanted))
        knows = self._place.engine.run(self._place.server(wanted.uuid), _TOLD, "", _SUPERUSER)
        if knows.split()[0] == hashlib.sha256(told.encode()).hexdigest():
            return False
        self._up(wanted, self._place.known(wanted))
        return True

    def _limit(self, wanted: Resource, seen: Seen) -> Usage:
        """How much there is of what the plan allows; INSERT is taken from all where it is too much, and given back."""
        plan = self._plan(wanted)
        found = self._place.usage(wanted, seen, plan)
        if found.revoked or seen.revoked:
            verb, name = "revoke" if found.revoked else "grant", self._place.known(wanted).name
            self._place.engine.run(self._place.server(wanted.uuid), [*_LIMIT, verb, name], "", _SUPERUSER)
        return found

    def _drill(self, wanted: Resource, seen: Seen) -> Mapping[str, Any] | None:
        """Have the latest backup restored for a trial when that is due, one at a time; what came of one that ended."""
        engine, service = self._place.engine, self._place.service(wanted.uuid)
        found = engine.job(f"{service}{_DRILL}")
        if found is None:
            is_due = seen.backups and self._place.drill_is_due(wanted)
            if is_due and not any(name.endswith(_DRILL) for name in engine.job_names()):
                opens = self._place.source(wanted.uuid)
                memory, drill = self._plan(wanted).memory_mib, {"RESTORE_DRILL": "yes"}
                # Nothing is mounted for the data: the image has an anonymous volume there, which goes with the job.
                told = f"{opens}.\n"
                name, addon = f"{service}{_DRILL}", str(wanted.uuid)
                job = Job(name, addon, self.image, _RESTORE, told, [], memory, drill)
                engine.begin(self._reading(job, wanted.uuid))
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
        return self._at(wanted.uuid, database, statements)

    def _at(self, addon_id: uuid.UUID, database: str, statements: str) -> str:
        words, said = [*_PSQL, postgres_settings.connection(database)], f"{postgres_settings.QUIET}{statements}"
        return self._place.engine.run(self._place.server(addon_id), words, said, _SUPERUSER)


def _database(known: Known, plan: DataPlan) -> str:
    """The owner and the database, made if they are not there, with the plan's limit."""
    owner, name = known.owner, known.name
    extensions = ",".join(data_services.EXTENSIONS)
    return f"""
SELECT 'CREATE ROLE "{owner}"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec
GRANT pg_read_all_stats, pg_signal_backend TO "{owner}";
SELECT 'CREATE DATABASE "{name}" OWNER "{owner}"'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
ALTER DATABASE "{name}" CONNECTION LIMIT {plan.connections};
ALTER DATABASE "{name}" SET rds.allowed_extensions = '{extensions}';
ALTER DATABASE "{name}" SET extwlist.extensions = '{extensions}';
REVOKE ALL ON DATABASE "{name}", postgres, template1 FROM PUBLIC;
{_settings(known, plan)}"""  # noqa: S608 - names of our own making


def _settings(known: Known, plan: DataPlan) -> str:
    """What users have set, and what is usual where they may; an essential database has the server's."""
    if plan.is_essential:
        return ""
    return postgres_settings.statements(known.name, database_settings.effective(known.settings))


def _users(known: Known) -> str:
    """Those who log in, each acting as the owner or a named credential's role.

    Their passwords come as what the server keeps of them; the same each time, as a connection pool knows it too.
    """
    # Reports look for the owner's statements among roles that may log in; it has no password.
    owner = f'ALTER ROLE "{known.owner}" LOGIN;\n'
    return (
        owner
        + postgres_credentials.roles(known)
        + "".join(
            f"""
SELECT 'CREATE ROLE "{user}"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
ALTER ROLE "{user}" LOGIN PASSWORD '{data_services.scram(password, data_services.salt(user))}';
GRANT "{known.role(user)}" TO "{user}";
ALTER ROLE "{user}" SET role = '{known.role(user)}';
"""  # noqa: S608 - names of our own making
            for user, password in known.users.items()
        )
    )


def _left_over(known: Known) -> str:
    """What came with another's data: its data links go, and its users; what those have is the owner's."""
    owner, mine = known.owner, ", ".join(f"'{user}'" for user in known.users)
    return f"""
{postgres_links.leave()}
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
    """Those whose time is over: out, and what they made all the same belongs to whom they acted as."""
    return "".join(postgres_credentials.forget(user, known.role(user)) for user in known.ended)


def _kill(known: Known) -> str:
    return f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{known.name}';\n"  # noqa: S608 - a name of our own making
