"""What the providers of databases have in common: places, credentials, one Pulumi stack each."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from dynoform.addons.engine import Job, JobState
from dynoform.addons.provider import Answer, Resource
from dynoform.configuration import Configuration
from dynoform.domain import data_limits, data_services, protection
from dynoform.domain.data_limits import Usage
from dynoform.domain.data_services import Access, DataPlan
from dynoform.domain.protection import Seen
from dynoform.errors import NotFoundError
from dynoform.store import databases, transfers
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, now
from dynoform.store.tables import Addon, Database, DatabaseCredential


class Containers(Protocol):
    """What is asked of the engine; ``dynoform.addons.engine.Engine``."""

    def network_id(self, name: str) -> str:
        """The id of a network."""

    def published_ports(self) -> set[int]:
        """Ports of the host that services have, of whichever stack."""

    def run(self, service: str, argv: "list[str]", stdin: str, user: str) -> str:
        """What a program prints."""

    def wait(self, service: str, argv: "list[str]", user: str) -> None:
        """Until a program succeeds."""

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

    def has_jobs(self, ending: str) -> bool:
        """Whether there are jobs whose names end so."""


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

    def known(self, wanted: Resource, like: uuid.UUID | None = None) -> Known:
        """The add-on's database; its place and its first credential are made when there are none.

        ``like`` is the add-on whose data a new one gets. Raises ``NotFoundError`` when that is gone.
        """
        ports = self.engine.published_ports()
        with self.store.transaction() as session:
            found = databases.place(session, wanted.uuid, ports, like)
            used = databases.credential(session, self.vault, wanted.uuid)
            works = databases.all_credentials(session, wanted.uuid)
            over = tuple(each.username for each in databases.ended(session, wanted.uuid))
            return self._known(found, used, {each.username: self._password(each) for each in works}, over)

    def rotate(self, wanted: Resource, *, forced: bool) -> Known:
        """The same with a new credential, one for each change; the old one works on for a while, unless ``forced``."""
        grace = data_services.GRACE * (0 if forced else 1)
        with self.store.transaction() as session:
            databases.rotated(session, self.vault, wanted.uuid, wanted.change_id, grace)
        return self.known(wanted)

    def forget(self, wanted: Resource, users: "tuple[str, ...]") -> None:
        """Credentials that were taken away."""
        with self.store.transaction() as session:
            for each in databases.ended(session, wanted.uuid):
                if each.username in users:
                    session.delete(each)

    def maintained(self, wanted: Resource) -> None:
        """The database was looked after."""
        with self.store.transaction() as session:
            session.get_one(Database, wanted.uuid).maintained_at = now(session)

    def usage(self, wanted: Resource, seen: Seen, plan: DataPlan) -> Usage:
        """How a database stands with what its plan allows."""
        with self.store.transaction() as session:
            before = session.get_one(Database, wanted.uuid).protection or {}
        return data_limits.usage(plan.name, plan.disk_bytes, seen.data_bytes, before.get("size"), seen.now)

    def repository(self, addon_id: uuid.UUID, plan: DataPlan) -> str:
        """What opens a database's repository of backups, made when there is none."""
        with self.store.transaction() as session:
            return protection.repository(databases.cipher(session, self.vault, addon_id), plan)

    def source(self, addon_id: uuid.UUID) -> str:
        """What opens the repository of a database that is there. Raises ``NotFoundError`` when it is gone."""
        with self.store.transaction() as session:
            addon = session.get(Addon, addon_id)
            if addon is None or session.get(Database, addon_id) is None:
                raise NotFoundError("The database to copy was destroyed meanwhile", resource="add_on")
            plan = data_services.plan(data_services.POSTGRES, addon.plan.name)
            return protection.repository(databases.cipher(session, self.vault, addon_id), plan)

    def looked(
        self,
        wanted: Resource,
        seen: Seen | None,
        *,
        runs: bool = False,
        drill: Mapping[str, Any] | None = None,
        usage: Usage | None = None,
        why: str = "",
    ) -> Sequence[str]:
        """Keep what a look at a repository came to, or ``why`` to nothing; returns what logs are told.

        ``runs`` says whether a backup is being made; ``drill`` is one that has ended; ``usage`` how much is in it.
        """
        told: Sequence[str] = ()
        with self.store.transaction() as session:
            before = session.get_one(Database, wanted.uuid).protection
            after = protection.state(seen, wanted.plan, before, drill) if seen else protection.silent(why, before)
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
        told = self._instance(wanted, port, image, plan) | dict(more or {})
        self.stacks.up(str(wanted.uuid), told, again=again or wanted.attempt > 1)

    def destroy(self, wanted: Resource, image: str, plan: DataPlan) -> None:
        """Take away the add-on's service and its data."""
        with self.store.transaction() as session:
            found = session.get(Database, wanted.uuid)
            port = found.port if found else data_services.FIRST_PORT
        self.stacks.destroy(str(wanted.uuid), self._instance(wanted, port, image, plan), again=wanted.attempt > 1)

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
            "connections": plan.maximum_connections,
            "constraints": list(configuration.data_constraints),
            "authority": {
                "cert_pem": configuration.secret("ca.crt"),
                "key_pem": configuration.secret("ca.key"),
            },
        }

    def _known(
        self, found: Database, used: DatabaseCredential, users: Mapping[str, str], ended: "tuple[str, ...]"
    ) -> Known:
        access = Access(self.configuration.data_address, found.port, used.username, users[used.username], found.name)
        return Known(found.name, found.owner, access, users, ended)

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
