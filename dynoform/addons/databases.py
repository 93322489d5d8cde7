"""What the providers of databases have in common: places, credentials, one Pulumi stack each."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from dynoform.addons.provider import Answer, Resource
from dynoform.configuration import Configuration
from dynoform.domain import data_services
from dynoform.domain.data_services import Access, DataPlan
from dynoform.store import databases
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, now
from dynoform.store.tables import Database, DatabaseCredential


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

    def known(self, wanted: Resource) -> Known:
        """The add-on's database; its place and its first credential are made when there are none."""
        ports = self.engine.published_ports()
        with self.store.transaction() as session:
            found = databases.place(session, wanted.uuid, ports)
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

    def up(self, wanted: Resource, port: int, image: str, plan: DataPlan, *, again: bool = False) -> None:
        """Have the add-on's service be as its plan says; ``again`` where what was made may be gone."""
        told = self._instance(wanted, port, image, plan)
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
