"""What the providers of databases have in common: places, credentials, one Pulumi stack each."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from dynoform.addons import postgres_ha
from dynoform.addons.engine import ADDRESS, POOL, Job, JobState
from dynoform.addons.provider import Answer, Resource
from dynoform.configuration import Configuration
from dynoform.domain import backup_repositories, data_hosts, data_limits, data_services, protection
from dynoform.domain.data_hosts import DataHost, Hosts
from dynoform.domain.data_limits import Usage
from dynoform.domain.data_services import Access, DataPlan
from dynoform.domain.database_credentials import LINK, is_named
from dynoform.domain.dyno_container import APP_LABEL, DYNO_LABEL, STACK_LABEL
from dynoform.domain.protection import Seen
from dynoform.errors import NotFoundError
from dynoform.store import databases, transfers
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, now
from dynoform.store.tables import Addon, Database, DatabaseCredential

Choice = Callable[[Sequence[DataHost], Mapping[str, int]], Hosts]
"""Chooses hosts, ``dynoform.domain.data_hosts.choose`` for instance."""


class Containers(Protocol):
    """What is asked of the engine; ``dynoform.addons.engine.Engine``."""

    def network_id(self, name: str) -> str:
        """The id of a network."""

    def data_hosts(self) -> list[DataHost]:
        """The swarm's hosts, as far as databases may be on them."""

    def published_ports(self) -> set[int]:
        """Ports of the host that services have, of whichever stack."""

    def run(self, service: str, argv: "list[str]", stdin: str, user: str) -> str:
        """What a program prints."""

    def wait(self, service: str, argv: "list[str]", user: str) -> None:
        """Until a program succeeds."""

    def leads(self, service: str) -> bool:
        """Whether a service runs on all hosts but the platform's; waits for it."""

    def kill(self, service: str) -> None:
        """End a container at once."""

    def image(self, service: str) -> str:
        """What a service runs from; empty where there is none."""

    def start(self, service: str, argv: "list[str]", user: str) -> None:
        """Start a program and leave it to itself."""

    def job(self, name: str) -> JobState | None:
        """How a job stands; None when there is none."""

    def begin(self, job: Job) -> None:
        """Run a job in a container of its own."""

    def end(self, name: str) -> None:
        """Take a job away."""

    def job_names(self) -> list[str]:
        """How the jobs are called that there are."""

    def make_volume(self, name: str, addon: str) -> None:
        """Have a volume of an add-on."""

    def remove_volumes(self, addon: str) -> None:
        """Take away what is left of an add-on's volumes."""


class Makes(Protocol):
    """What makes and destroys; ``dynoform.addons.stacks.Stacks``."""

    def up(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        """Make what is described."""

    def destroy(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        """Take it away."""


@dataclass(frozen=True)
class Known:
    """A database as the store has it. ``users`` are the credentials that work, by name, the one in use last."""

    name: str
    owner: str
    access: Access
    users: Mapping[str, str]
    """User → password."""
    ended: tuple[str, ...] = ()
    """Users whose time is over."""
    acts: Mapping[str, str] = field(default_factory=dict)
    """User → the named credential that it belongs to; others are the default one's, or a data link's."""
    in_use: Mapping[str, str] = field(default_factory=dict)
    """Credential → the user in use."""
    pool: tuple[str, int] | None = None
    """Address and port of its connection pool, which has the database's users."""
    settings: Mapping[str, Any] | None = None
    """What its users have set."""

    leader: uuid.UUID | None = None
    """Of a follower: the add-on that it follows, whose users it has."""
    follows: bool = False
    """Whether its server takes no writes, also where its leader was destroyed."""
    members: tuple[tuple[int, int], ...] = ()
    """Of a database with a standby: the ports of its servers, then of the members of etcd.

    Then, where some of those are on other hosts, of the SSH servers that they are reached by.
    """
    hosts: Hosts = ()
    """Of which each of the members has its host there, None for the platform's; nothing where all are on that."""

    def role(self, user: str) -> str:
        """Whom a user acts as: a named credential's is a role called so, the default one's is the owner."""
        return self.acts.get(user, self.owner)

    def url(self, user: str, pool: tuple[str, int] | None = None) -> str:
        """``postgres://…`` of one of ``users``, by its ``pool`` where that is said."""
        host, port = pool or (self.access.host, self.access.port)
        return replace(self.access, host=host, port=port, user=user, password=self.users[user]).postgres_url


@dataclass(frozen=True)
class Place:
    """Where databases are made: this stack, on this host."""

    configuration: Configuration
    store: Store
    vault: Vault
    engine: Containers
    stacks: Makes

    def service(self, addon_id: uuid.UUID) -> str:
        """The name of the add-on's service on Swarm."""
        return f"{self.configuration.stack}_addon-{addon_id}"

    def server(self, addon_id: uuid.UUID) -> str:
        """The service that has the server that takes writes. Raises ``UnavailableError`` while none of several does."""
        with self.store.transaction() as session:
            found = session.get(Database, addon_id)
            has_standby = found is not None and found.member_ports is not None
        own = self.service(addon_id)
        return postgres_ha.primary(self.engine, own) if has_standby else own

    def known(
        self, wanted: Resource, like: uuid.UUID | None = None, members: int = 0, *, follows: bool = False
    ) -> Known:
        """The add-on's database; its place and its first credential are made when there are none.

        ``like`` is the add-on whose data a new one gets; ``members`` of how many parts one with a standby consists;
        ``follows`` says whether a new one is to stay as the other is.
        Raises ``NotFoundError`` when the former is gone.
        """
        ports = self.engine.published_ports()
        hosts = self.hosts(data_hosts.choose) if members and not self.is_placed(wanted.uuid) else ()
        with self.store.transaction() as session:
            found = databases.place(session, wanted.uuid, ports, like, members, follows=follows, hosts=hosts)
            holder = databases.holder(session, wanted.uuid)
            used = databases.credential(session, self.vault, holder)
            works = databases.all_credentials(session, holder)
            return self._known(found, used, works, databases.ended(session, wanted.uuid))

    def hosts(self, choose: Choice, lost: Hosts = ()) -> Hosts:
        """Where the members of a new database are to be, which stays where it is placed.

        Of one that ``lost`` all that it had it is where it was, as long as the swarm knows all of those hosts.
        """
        known = self.engine.data_hosts()
        if lost and {each for each in lost if each} <= {(each.name, each.address) for each in known}:
            return lost
        with self.store.transaction() as session:
            standbys = databases.standbys(session)
        return choose(known, standbys)

    def rehost(self, wanted: Resource) -> None:
        """Have a database that lost all it had find other hosts, where the swarm does not know those that it was on."""
        if was := self.known(wanted).hosts:
            hosts = self.hosts(data_hosts.choose, was)
            with self.store.transaction() as session:
                found = session.get_one(Database, wanted.uuid)
                found.member_hosts = [list(each) if each else None for each in hosts] or None

    def leave_volumes(self, addon_id: uuid.UUID) -> None:
        """Have the volumes removed that members of a destroyed database had on other hosts."""
        with self.store.transaction() as session:
            found = session.get(Database, addon_id)
            hosts = [each[0] if each else "" for each in (found.member_hosts or ())] if found else []
            own = zip(hosts, postgres_ha.volumes(self.service(addon_id)), strict=False)
            databases.leave_volumes(session, [(host, name) for host, name in own if host])

    def rotate(self, wanted: Resource, *, forced: bool, name: str | None = data_services.DEFAULT) -> Known:
        """The same with a new user of a credential (None: of each), one for each change.

        The old one works on for a while, unless ``forced``.
        """
        grace = data_services.GRACE * (0 if forced else 1)
        with self.store.transaction() as session:
            for each in databases.credential_names(session, wanted.uuid) if name is None else [name]:
                databases.rotated(session, self.vault, wanted.uuid, wanted.change_id, grace, name=each)
        return self.known(wanted)

    def create_credential(self, wanted: Resource, name: str) -> Known:
        """The same with a named credential, which has its user when it is there already."""
        with self.store.transaction() as session:
            databases.credential(session, self.vault, wanted.uuid, name=name)
        return self.known(wanted)

    def configure(self, wanted: Resource, settings: Mapping[str, Any]) -> Known:
        """The same with what its users have set besides what they had."""
        with self.store.transaction() as session:
            found = session.get_one(Database, wanted.uuid)
            found.settings = {**(found.settings or {}), **settings}
        return self.known(wanted)

    def forget_credential(self, wanted: Resource, name: str) -> None:
        """A credential that was taken away."""
        with self.store.transaction() as session:
            databases.forget_credential(session, wanted.uuid, name)

    def forget(self, wanted: Resource, users: "tuple[str, ...]") -> None:
        """Credentials that were taken away."""
        with self.store.transaction() as session:
            for each in databases.ended(session, wanted.uuid):
                if each.username in users:
                    session.delete(each)

    def maintained(self, wanted: Resource) -> None:
        """The database was looked after."""
        with self.store.transaction() as session:
            found = session.get_one(Database, wanted.uuid)
            found.maintained_at, found.maintenance_at, found.lost_at = now(session), None, None

    def look_soon(self, wanted: Resource) -> None:
        """Have its repository looked at next: a backup is wanted of what the database is from now on."""
        with self.store.transaction() as session:
            session.get_one(Database, wanted.uuid).look_at = now(session)

    def usage(self, wanted: Resource, seen: Seen, plan: DataPlan) -> Usage:
        """How a database stands with what its plan allows."""
        before = self.last_look(wanted).get("size")
        return data_limits.usage(plan.name, plan.disk_bytes, seen.data_bytes, before, seen.now)

    def last_look(self, wanted: Resource) -> Mapping[str, Any]:
        """What was kept of the last look at a database's repository; nothing before the first."""
        with self.store.transaction() as session:
            return session.get_one(Database, wanted.uuid).protection or {}

    def repository(self, addon_id: uuid.UUID, plan: DataPlan) -> str:
        """What opens a database's repository of backups where that is to be, made when there is none."""
        with self.store.transaction() as session:
            cipher = databases.cipher(session, self.vault, addon_id)
            return protection.repository(cipher, plan, self._opens(addon_id))

    def pool(self, wanted: Resource) -> tuple[int, str] | None:
        """Port of the connection pool that a database is to have, and the password of its role; None for none.

        It has one for as long as an attachment leads to it.
        """
        ports = self.engine.published_ports()
        with self.store.transaction() as session:
            if databases.is_pooled(session, wanted.uuid):
                return databases.pool(session, self.vault, wanted.uuid, ports)
            return None

    def filed(self, wanted: Resource) -> dict[str, str]:
        """By what a server's lines come into its app's log, as ``app[postgres.1]``."""
        stack = self.configuration.stack
        return {STACK_LABEL: stack, APP_LABEL: str(wanted.app_id), DYNO_LABEL: "postgres.1"} if wanted.app_id else {}

    def link(self, wanted: Resource, target_id: uuid.UUID, name: str) -> "tuple[Resource, Access]":
        """A data link of a database under a name; the other one, and how it is reached there.

        Raises ``NotFoundError`` when that is gone.
        """
        with self.store.transaction() as session:
            target, found = session.get(Addon, target_id), session.get(Database, target_id)
            if target is None or found is None:
                raise NotFoundError("The database to link to was destroyed meanwhile", resource="add_on")
            used = databases.link(session, self.vault, wanted.uuid, target, name)
            other = replace(wanted, uuid=target.id, name=target.name, plan=target.plan.name, app_id=target.app_id)
            address = self._address(found)
            return other, Access(address, found.port, used.username, self._password(used), found.name)

    def unlink(self, wanted: Resource, name: str | None = None) -> None:
        """A data link that was taken away; all of them without a name."""
        with self.store.transaction() as session:
            for each in databases.links(session, wanted.uuid):
                if name in (None, each.name):
                    databases.unlink(session, each)

    def unpooled(self, wanted: Resource) -> None:
        """The connection pool was taken away."""
        with self.store.transaction() as session:
            databases.unpool(session, wanted.uuid)

    def source(self, addon_id: uuid.UUID) -> str:
        """What opens the repository of a database that is there, where that is; ``NotFoundError`` when it is gone."""
        elsewhere = self._opens(addon_id) if self.is_elsewhere(addon_id) else ""
        with self.store.transaction() as session:
            addon = session.get(Addon, addon_id)
            if addon is None or session.get(Database, addon_id) is None:
                raise NotFoundError("The database to copy was destroyed meanwhile", resource="add_on")
            plan = data_services.plan(data_services.POSTGRES, addon.plan.name)
            return protection.repository(databases.cipher(session, self.vault, addon_id), plan, elsewhere)

    def repository_at(self, addon_id: uuid.UUID) -> str:
        """Where a database's repository is to be; empty for the volume beside it."""
        configuration = self.configuration
        return backup_repositories.where(configuration.backup_repository, configuration.stack, addon_id)

    def repository_seen_at(self, addon_id: uuid.UUID) -> str:
        """Where it was at the last look that saw it; empty for the volume beside it, or before the first."""
        with self.store.transaction() as session:
            found = session.get(Database, addon_id)
            return protection.where(found.protection) if found else ""

    def is_elsewhere(self, addon_id: uuid.UUID) -> bool:
        """Whether what a database has in its repository is not on the volume beside it."""
        return bool(self.configuration.backup_repository and self.repository_seen_at(addon_id))

    def forgotten(self, addon_id: uuid.UUID) -> None:
        """The repository that was elsewhere was removed."""
        with self.store.transaction() as session:
            session.get_one(Database, addon_id).protection = {}

    def _opens(self, addon_id: uuid.UUID) -> str:
        """What opens it but for its own key: nothing where it is to be on the volume beside it."""
        configuration = self.configuration
        key = configuration.secret("backup_repository_key") if configuration.backup_repository else ""
        return backup_repositories.lines(configuration.backup_repository, key, configuration.stack, addon_id)

    def looked(
        self,
        wanted: Resource,
        seen: Seen | None,
        *,
        runs: bool = False,
        drill: Mapping[str, Any] | None = None,
        usage: Usage | None = None,
        why: str = "",
        off: str = "",
    ) -> Sequence[str]:
        """Keep what a look at a repository came to, or ``why`` to nothing; returns what logs are told.

        ``runs`` says whether a backup is being made; ``drill`` is one that has ended; ``usage`` how much is in it;
        ``off`` why there is nothing to look at.
        """
        told: Sequence[str] = ()
        with self.store.transaction() as session:
            found = session.get_one(Database, wanted.uuid)
            before = found.protection
            after = protection.off(off, before) if off else protection.silent(why, before)
            if seen:
                holds = protection.at(self.repository_at(wanted.uuid), before, seen.now)
                after = protection.state(seen, wanted.plan, holds, drill)
                if protection.where(before) != holds["where"]:
                    found.drill_at = None  # another repository is tried as a new one
            if seen and usage:
                size = (before or {}).get("size")
                disk = data_services.plan(data_services.POSTGRES, wanted.plan).disk_bytes
                told = data_limits.lines(wanted.name, size, usage, seen.data_bytes, disk)
                after["size"] = data_limits.kept(usage)
            databases.looked(session, wanted.uuid, after, protection.next_look(now(session), runs=runs))
        return [*protection.lines(wanted.name, before, after), *told]

    def drill_is_due(self, wanted: Resource) -> bool:
        """Whether the latest backup is to be restored for a trial; the first time some while after there is one."""
        with self.store.transaction() as session:
            found = session.get_one(Database, wanted.uuid)
            found.drill_at = found.drill_at or now(session) + protection.DRILL_FIRST
            return found.drill_at <= now(session)

    def drilled(self, wanted: Resource) -> None:
        """A drill was begun: the next one is a while away."""
        with self.store.transaction() as session:
            session.get_one(Database, wanted.uuid).drill_at = now(session) + protection.DRILL_EVERY

    def replication(self, addon_id: uuid.UUID) -> tuple[str, str]:
        """User and password that a follower follows by."""
        with self.store.transaction() as session:
            return databases.replication(session, self.vault, addon_id)

    def is_placed(self, addon_id: uuid.UUID) -> bool:
        """Whether the add-on has a database, or is about to."""
        with self.store.transaction() as session:
            return session.get(Database, addon_id) is not None

    def leader(self, addon_id: uuid.UUID) -> Access:
        """Where the database is that is followed. Raises ``NotFoundError`` when it is gone."""
        with self.store.transaction() as session:
            found = session.get(Database, addon_id)
            if found is None:
                raise NotFoundError("The database to follow was destroyed meanwhile", resource="add_on")
            return Access(self._address(found), found.port, "", "", found.name)

    def tell_followers(self, wanted: Resource) -> None:
        """Have followers' apps get the credential that is in use now."""
        with self.store.transaction() as session:
            for each in databases.followers(session, wanted.uuid):
                databases.ask(session, each, data_services.FOLLOW, each.account_id)

    def let_go(self, wanted: Resource) -> bool:
        """Have followers of a database that is being destroyed become databases of their own; whether they are."""
        with self.store.transaction() as session:
            return databases.let_go(session, wanted.uuid, wanted.change_id)

    def unfollowed(self, wanted: Resource) -> None:
        """A database is one of its own, with users of its own, and is looked after as one."""
        with self.store.transaction() as session:
            found = session.get_one(Database, wanted.uuid)
            leader = session.get(Database, found.leader_id) if found.leader_id else None
            found.settings = leader.settings if leader else found.settings
            found.leader_id = found.replication = None
            found.look_at = now(session)

    def has_last_backup(self, wanted: Resource) -> bool:
        """Whether the backup is made, or came to nothing, that is kept when a database is destroyed.

        None is made of one that was never there, or whose app is gone as well: nobody could have it.
        """
        with self.store.transaction() as session:
            addon, found = session.get_one(Addon, wanted.uuid), session.get(Database, wanted.uuid)
            if addon.app_id is None or found is None or addon.provider_id is None:
                return True
            if addon.plan.service.name == data_services.POSTGRES and found.protection is None:
                return True
            return transfers.final(session, self.vault, addon).finished_at is not None

    def up(
        self,
        wanted: Resource,
        port: int,
        image: str,
        plan: DataPlan,
        *,
        again: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Have the add-on's service be as its plan says; ``again`` where what was made may be gone.

        ``more`` is what this service's component is told besides.
        """
        told, gateway = self._instance(wanted, port, image, plan) | dict(more or {}), self.configuration.dyno_gateway
        is_spread = bool(gateway and told.get("hosts"))
        if is_spread:
            told |= {"gateway": gateway, "pool": self._shared(told.get("pool"))}
        else:
            self._lead(wanted, everywhere=False, pool_everywhere=False)  # nobody is told of what is about to go
        self.stacks.up(str(wanted.uuid), told, again=again or wanted.attempt > 1)
        # A host that is in trouble is not waited for by all others: they are told at the next occasion.
        service = self.service(wanted.uuid)
        if is_spread and self.engine.leads(f"{service}{ADDRESS}"):
            self._lead(wanted, everywhere=True)
        if is_spread and told["pool"] and self.engine.leads(f"{service}{POOL}{ADDRESS}"):
            self._lead(wanted, pool_everywhere=True)

    def _shared(self, pool: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A pool of which there is one on each host: together they have the connections of one."""
        if pool is None:
            return None
        hosts = sum(1 for host in self.engine.data_hosts() if host.ready)
        return {**pool, "size": max(1, pool["size"] // max(1, hosts))}

    def _lead(self, wanted: Resource, **changes: bool) -> None:
        """Remember where clients are to find it, or its pool, from now on."""
        with self.store.transaction() as session:
            if (found := session.get(Database, wanted.uuid)) is not None:
                for name, value in changes.items():
                    setattr(found, name, value)

    def destroy(self, wanted: Resource, image: str, plan: DataPlan) -> None:
        """Take away the add-on's service and its data."""
        with self.store.transaction() as session:
            found = session.get(Database, wanted.uuid)
            port = found.port if found else data_services.FIRST_PORT
        self.stacks.destroy(str(wanted.uuid), self._instance(wanted, port, image, plan), again=wanted.attempt > 1)
        self.engine.remove_volumes(str(wanted.uuid))

    def _instance(self, wanted: Resource, port: int, image: str, plan: DataPlan) -> dict[str, Any]:
        """What ``components/addons/instance`` is told."""
        configuration = self.configuration
        return {
            "stack": configuration.stack,
            "addon": str(wanted.uuid),
            "service": wanted.service,
            "image": image,
            "network": self.engine.network_id(configuration.dyno_network),
            "address": configuration.data_address,
            "port": port,
            "memory_mib": plan.memory_mib,
            "cache_mib": plan.cache_mib,
            "elsewhere": bool(configuration.backup_repository),
            "connections": plan.maximum_connections,
            "constraints": list(configuration.data_constraints),
            "authority": {
                "cert_pem": configuration.secret("ca.crt"),
                "key_pem": configuration.secret("ca.key"),
            },
        }

    def _known(
        self,
        found: Database,
        used: DatabaseCredential,
        works: Sequence[DatabaseCredential],
        ended: Sequence[DatabaseCredential],
    ) -> Known:
        users = {each.username: self._password(each) for each in works}
        return Known(
            name=found.name,
            owner=found.owner,
            access=Access(self._address(found), found.port, used.username, users[used.username], found.name),
            users=users,
            ended=tuple(each.username for each in ended),
            acts={each.username: each.name for each in (*works, *ended) if is_named(each.name)},
            in_use={
                each.name: each.username for each in works if each.ends_at is None and not each.name.startswith(LINK)
            },
            pool=(self.configuration.database_address(everywhere=found.pool_everywhere), found.pool_port)
            if found.pool_port
            else None,
            settings=found.settings,
            leader=found.leader_id,
            follows=databases.is_follower(found),
            members=tuple((int(first), int(second)) for first, second in found.member_ports or ()),
            hosts=tuple((str(each[0]), str(each[1])) if each else None for each in found.member_hosts or ()),
        )

    def _address(self, found: Database) -> str:
        return self.configuration.database_address(everywhere=found.everywhere)

    def _password(self, found: DatabaseCredential) -> str:
        return databases.password(self.vault, found)


class DatabaseProvider(ABC):
    """What the providers of databases share: each makes one kind of server, as a service that has its ``image``."""

    service: ClassVar[str]
    """The add-on service."""

    def __init__(self, place: Place) -> None:
        """``place`` is where they are made."""
        self._place = place

    @property
    @abstractmethod
    def image(self) -> str:
        """What the server runs from."""

    @abstractmethod
    def _up(self, wanted: Resource, known: Known, *, again: bool = False) -> None:
        """Have the server run as its plan says, and wait until it answers."""

    @abstractmethod
    def _end_users(self, wanted: Resource, known: Known) -> None:
        """Have the server let those in no more whose time is over."""

    def deprovision(self, wanted: Resource) -> Answer:
        """The server goes, and its data."""
        self._place.destroy(wanted, self.image, self._plan(wanted))
        return Answer()

    def _plan(self, wanted: Resource) -> DataPlan:
        return data_services.plan(self.service, wanted.plan)

    def _maintain(self, wanted: Resource, *, lost: bool) -> Answer:
        """End the users whose time is over, or bring the server up to date; again where it is ``lost``."""
        known = self._place.known(wanted)
        if known.ended and not lost:
            self._end_users(wanted, known)
            self._place.forget(wanted, known.ended)
        else:
            self._up(wanted, known, again=lost)
            self._place.maintained(wanted)
        return Answer()
