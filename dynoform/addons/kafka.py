"""The provider of ``heroku-kafka``: Kafka 4, a cluster of an add-on's own, or a part of one that all tenants share.

Brokers of a cluster are on several hosts where some are marked for data. Clients show a certificate of their cluster's
own authority; what its name may do is in the cluster's access control lists, which a rotation changes. Topics, groups,
users and limits are managed by a program in the brokers' image, which is run in the container of a broker on the
platform's host, as the broker itself: no administrator is on the network, and no client library is here.
"""

import contextlib
import json
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from dynoform.addons import client_certificates
from dynoform.addons.databases import Place
from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.domain import addons, data_hosts, data_services, kafka
from dynoform.domain.data_hosts import Hosts
from dynoform.domain.kafka import KafkaPlan
from dynoform.errors import UnavailableError
from dynoform.store import databases
from dynoform.store import kafka as store
from dynoform.store.addons import provider_config
from dynoform.store.session import now
from dynoform.store.tables import Addon, KafkaCluster

_ADMIN = ["/opt/dynoform/kafka-admin"]
_USER = "kafka"
_DONE = {kafka.CREATE_TOPIC: "TopicExists", kafka.DELETE_TOPIC: "UnknownTopicOrPartition"}
"""What is refused to a change that was made before, by a worker that was killed."""
_MESSAGES = {
    "TopicExists": "Topic {name} already exists",
    "UnknownTopicOrPartition": "Topic {name} does not exist",
    "GroupNotEmpty": "Consumer group {name} has members: stop them first",
}


@dataclass(frozen=True)
class Cluster:
    """A cluster as the store has it, with an add-on's part in it."""

    id: uuid.UUID
    ports: tuple[tuple[int, int], ...]
    """Of each broker: its own, its controller's."""
    authority: Mapping[str, str]
    prefix: str
    """What the add-on's topics and groups begin with; empty in a cluster of its own."""
    client: str
    """Key and certificate of the credential in use."""
    users: tuple[str, ...]
    """Those that work."""
    ended: tuple[str, ...]
    """Those whose time is over."""
    hosts: Hosts = ()
    """Where each broker is, None for the platform's host; nothing where all are there."""

    @property
    def beside(self) -> tuple[int, ...]:
        """The brokers that programs can be run beside: those on the platform's host, where the first one always is."""
        return tuple(number for number in range(1, len(self.ports) + 1) if not self.hosts or not self.hosts[number - 1])

    def brokers(self, platform: str) -> list[tuple[str, int]]:
        """Address and port of each; ``platform`` is the address of the platform's host."""
        hosts = self.hosts or (None,) * len(self.ports)
        return [(host[1] if host else platform, port) for host, (port, _) in zip(hosts, self.ports, strict=True)]

    def __repr__(self) -> str:
        """Without keys."""
        return f"Cluster({self.id}, {self.ports})"


class KafkaProvider:
    """Makes, changes and destroys clusters and their tenants, and does what the data API asks of them."""

    def __init__(self, place: Place) -> None:
        """``place`` is where they are made. There is one such process for a stack."""
        self._place = place
        self._shared = threading.Lock()

    def provision(self, wanted: Resource) -> Answer:
        """A cluster, or a tenant in the shared one, with its first user."""
        plan = kafka.plan(wanted.plan)
        brokers = kafka.brokers(wanted.options, plan)
        with self._alone(plan):
            known = self._known(wanted, brokers)
            if not plan.is_shared or not self._answers(known):
                self._up(wanted, known)
                self._see_to_others(wanted, known, plan)
            self._see_to_users(known, plan)
        return Answer(
            config=self._config(known),
            provider_id=str(wanted.uuid),
            message="The cluster is there. Make topics with heroku kafka:topics:create",
        )

    def change_plan(self, wanted: Resource) -> Answer:
        """Other limits. Raises ``RefusedError`` where the data would have to move."""
        plan = kafka.plan(wanted.plan)
        with self._place.store.transaction() as session:
            has_own = session.get(KafkaCluster, wanted.uuid) is not None
        if plan.is_shared == has_own:
            raise RefusedError(
                "Messages do not move between a shared cluster and one of an app's own: make another add-on"
            )
        self._see_to_users(self._known(wanted), plan)
        return Answer()

    def deprovision(self, wanted: Resource) -> Answer:
        """The cluster goes, and its data; of the shared one the tenant's part, and all of it with the last tenant."""
        plan = kafka.plan(wanted.plan)
        with self._alone(plan):
            known = self._known(wanted)
            with self._place.store.transaction() as session:
                others = plan.is_shared and store.other_tenants(session, wanted.uuid)
            if others:
                self._ask(known, {"do": "wipe", "prefix": known.prefix, "users": [*known.users, *known.ended]})
                return Answer()
            self._place.stacks.destroy(str(known.id), self._instance(known), again=wanted.attempt > 1)
            left = [(host[0], self._service(known, number)) for number, host in enumerate(known.hosts, start=1) if host]
            with self._place.store.transaction() as session:
                databases.leave_volumes(session, left)
                if found := session.get(KafkaCluster, known.id):
                    session.delete(found)
        return Answer()

    def operate(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """One of ``data_services.OPERATIONS``, but those of PostgreSQL alone."""
        if operation == data_services.ROTATE:
            return self._rotate(wanted, forced=bool(details.get("forced")))
        known, plan = self._known(wanted), kafka.plan(wanted.plan)
        if operation == data_services.INSPECT:
            return Answer(result=self._inspect(known))
        if operation == data_services.CONFIGURE:
            self._configure(wanted, known, plan, details)
            return Answer()
        if operation == data_services.FAIL:
            return Answer(result={"broker": self._fail(known, plan)})
        if operation == data_services.MAINTAIN:
            return self._maintain(wanted, known, plan, details)
        raise RefusedError(f"{wanted.service} cannot do {operation}")

    def _rotate(self, wanted: Resource, *, forced: bool) -> Answer:
        """Another certificate, for another name; the one before works for a while more, unless ``forced``."""
        place, grace = self._place, data_services.GRACE * (0 if forced else 1)
        authority = self._known(wanted).authority
        with place.store.transaction() as session:
            databases.rotated(session, place.vault, wanted.uuid, wanted.change_id, grace, _secret(authority))
        known = self._known(wanted)
        self._see_to_users(known, kafka.plan(wanted.plan))
        self._place.forget(wanted, known.ended)
        return Answer(config=self._config(known))

    def _maintain(self, wanted: Resource, known: Cluster, plan: KafkaPlan, details: Mapping[str, Any]) -> Answer:
        """End the users whose time is over, or bring the cluster up to date; again where it is lost.

        Either way its users have their rights and its apps the one in use: a cluster that was lost knows nobody, and a
        rotation may have got no further than the store. Who is over is ended once the apps have the other one.
        """
        if details or not known.ended:
            known = self._bring_up(wanted, known, plan, lost=bool(details.get("lost")))
        config = self._config(known)
        if self._is_told(wanted, config):
            self._see_to_users(known, plan)
            self._place.forget(wanted, known.ended)
        else:
            self._see_to_users(replace(known, ended=()), plan)
        return Answer(config=config)

    def _bring_up(self, wanted: Resource, known: Cluster, plan: KafkaPlan, *, lost: bool) -> Cluster:
        """Have the cluster be as it is to be; the same, which may be on other hosts then."""
        with self._alone(plan):
            if lost and any(known.hosts) and not any(self._images(known)):
                self._rehost(known)
                known = self._known(wanted)
            self._up(wanted, known, again=lost)
            self._see_to_others(wanted, known, plan)
        with self._place.store.transaction() as session:
            session.get_one(KafkaCluster, known.id).maintained_at = now(session)
        return known

    def _is_told(self, wanted: Resource, config: Mapping[str, str]) -> bool:
        """Whether the add-on's apps have what they are to have."""
        with self._place.store.transaction() as session:
            addon = session.get_one(Addon, wanted.uuid)
            return provider_config(session, self._place.vault, addon) == config

    def _rehost(self, known: Cluster) -> None:
        """Have a cluster that lost all it had find other hosts, where the swarm does not know those that it was on."""
        hosts = self._place.hosts(data_hosts.choose_three, known.hosts)
        with self._place.store.transaction() as session:
            session.get_one(KafkaCluster, known.id).hosts = store.written(hosts)

    def _configure(self, wanted: Resource, known: Cluster, plan: KafkaPlan, details: Mapping[str, Any]) -> None:
        """Make, change or destroy a topic or a consumer group."""
        what, given = str(details["do"]), dict(details["on"])
        name = kafka.full_name(str(given["name"]), known.prefix)
        asked: dict[str, Any] = {"do": what, "name": name}
        if what in (kafka.CREATE_TOPIC, kafka.ALTER_TOPIC):
            count = len(known.ports)
            asked |= kafka.check_topic(given, plan, count, is_new=what == kafka.CREATE_TOPIC)
            if what == kafka.CREATE_TOPIC:
                present = self._ask(known, {"do": "describe", "prefix": known.prefix})["topics"]
                others = [each for each in present if each["name"] != name]
                kafka.check_room(plan, others, asked, count)
        if what == kafka.CREATE_GROUP:
            if not plan.is_shared:
                raise RefusedError(kafka.NO_GROUPS)
            asked["users"] = list(known.users)
        answer = self._ask(known, asked)
        refused = answer.get("refused")
        if refused and not (wanted.attempt > 1 and refused == _DONE.get(what)):
            message = _MESSAGES.get(refused, str(answer.get("message")))
            raise RefusedError(message.format(name=name.removeprefix(known.prefix)))

    def _inspect(self, known: Cluster) -> dict[str, Any]:
        """What the cluster says of itself and of the add-on's topics and groups."""
        # Counters are beside their brokers: where some are out of reach, the program counts what came to all.
        everywhere = any(known.hosts)
        number, told = self._ask_any(known, {"do": "describe", "prefix": known.prefix, "everywhere": everywhere})
        rates = [told.pop("rates")]
        for other in known.beside:
            if other != number:
                with contextlib.suppress(UnavailableError):  # one that is away counts nothing
                    rates.append(self._ask_one(known, other, {"do": "rates", "prefix": known.prefix}))
        for topic in told["topics"]:
            mine = [each.get(topic["name"], {}) for each in rates]
            for name, rate in _RATES.items():
                counted = mine[:1] if everywhere and rate != _OUT else mine
                topic[name] = round(sum(each.get(rate, 0.0) for each in counted), 1)
            topic["name"] = topic["name"].removeprefix(known.prefix)
        told["groups"] = [each.removeprefix(known.prefix) for each in told["groups"]]
        return {**told, "nodes": len(known.ports)}

    def _fail(self, known: Cluster, plan: KafkaPlan) -> int:
        """Kill a broker; its number."""
        if plan.is_shared:
            raise RefusedError("A cluster that others use, too, cannot be made to fail")
        number = random.choice(known.beside)  # noqa: S311 - whichever
        self._place.engine.kill(self._service(known, number))
        return number

    def _known(self, wanted: Resource, brokers: int = 1) -> Cluster:
        """The add-on's cluster; its place, its authority and the first credential are made when there are none."""
        place, plan = self._place, kafka.plan(wanted.plan)
        cluster_id = store.SHARED if plan.is_shared else wanted.uuid
        ports = place.engine.published_ports()
        hosts = place.hosts(data_hosts.choose_three) if brokers > 1 and not self._is_placed(cluster_id) else ()
        with place.store.transaction() as session:

            def authority() -> dict[str, str]:
                return client_certificates.new_authority(f"Kafka {cluster_id}")

            found = store.place(session, place.vault, cluster_id, brokers, ports, authority, hosts)
            signs = store.authority(place.vault, found)
            used = databases.credential(session, place.vault, wanted.uuid, _secret(signs))
            return Cluster(
                id=cluster_id,
                ports=tuple((int(port), int(other)) for port, other in found.ports),
                authority=signs,
                prefix=kafka.prefix(wanted.uuid) if cluster_id == store.SHARED else "",
                client=databases.password(place.vault, used),
                users=_names(session, wanted.uuid),
                ended=tuple(each.username for each in databases.ended(session, wanted.uuid)),
                hosts=tuple((str(each[0]), str(each[1])) if each else None for each in found.hosts or ()),
            )

    def _is_placed(self, cluster_id: uuid.UUID) -> bool:
        with self._place.store.transaction() as session:
            return session.get(KafkaCluster, cluster_id) is not None

    def _config(self, known: Cluster) -> dict[str, str]:
        key, certificate = client_certificates.parts(known.client)
        found = {
            "KAFKA_URL": kafka.url(known.brokers(self._place.configuration.data_address)),
            "KAFKA_TRUSTED_CERT": known.authority["cert_pem"],
            "KAFKA_CLIENT_CERT": certificate,
            "KAFKA_CLIENT_CERT_KEY": key,
        }
        return {**found, "KAFKA_PREFIX": known.prefix} if known.prefix else found

    def _see_to_users(self, known: Cluster, plan: KafkaPlan) -> None:
        asked = {"do": "users", "prefix": known.prefix, "users": known.users, "gone": known.ended}
        self._ask(known, {**asked, "quotas": plan.quotas})

    def _see_to_others(self, wanted: Resource, known: Cluster, plan: KafkaPlan) -> None:
        """Where it is shared, all other tenants have what they may do, too: it may begin with nothing."""
        if not plan.is_shared:
            return
        with self._place.store.transaction() as session:
            others = [
                (
                    replace(known, prefix=kafka.prefix(each.id), users=_names(session, each.id), ended=()),
                    kafka.plan(each.plan.name),
                )
                for each in store.other_tenants(session, wanted.uuid)
                if each.state != addons.DEPROVISIONING
            ]
        for tenant, its_plan in others:
            if tenant.users:
                self._see_to_users(tenant, its_plan)

    def _up(self, wanted: Resource, known: Cluster, *, again: bool = False) -> None:
        """Have the brokers run, and wait until all of them are there and none is behind.

        Those that run get another image one by one, each once the cluster is whole again.
        """
        count, image = len(known.ports), self._place.configuration.kafka_image
        for images in data_services.one_by_one(self._images(known), image):
            self._place.stacks.up(str(known.id), self._instance(known, images), again=again or wanted.attempt > 1)
            self._place.engine.wait(self._service(known, 1), [*_ADMIN, "ready", str(count)], _USER)

    def _images(self, known: Cluster) -> list[str]:
        """What each broker runs from; empty where there is none."""
        engine = self._place.engine
        return [engine.image(self._service(known, number)) for number in range(1, len(known.ports) + 1)]

    def _answers(self, known: Cluster) -> bool:
        try:
            self._ask(known, {"do": "ready", "brokers": 1})
        except UnavailableError:
            return False
        return True

    def _ask(self, known: Cluster, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask_any(known, asked)[1]

    def _ask_any(self, known: Cluster, asked: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """What the first broker answers that does, with its number. Raises ``UnavailableError`` where none does."""
        refusal: UnavailableError | None = None
        for number in known.beside:
            try:
                return number, self._ask_one(known, number, asked)
            except UnavailableError as error:
                refusal = refusal or error
        raise refusal or UnavailableError("the cluster", "has no brokers")

    def _ask_one(self, known: Cluster, number: int, asked: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._place.engine.run(self._service(known, number), _ADMIN, json.dumps(asked), _USER)
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise UnavailableError(_ADMIN[0], "answered no JSON", "it is tried again") from None
        return found

    def _service(self, known: Cluster, number: int) -> str:
        return f"{self._place.service(known.id)}-{number}"

    def _instance(self, known: Cluster, images: Sequence[str] = ()) -> dict[str, Any]:
        """What ``components/addons/instance`` is told; ``images`` are the brokers'."""
        configuration = self._place.configuration
        elsewhere = {"hosts": list(known.hosts)} if any(known.hosts) else {}
        return {
            **elsewhere,
            "stack": configuration.stack,
            "addon": str(known.id),
            "service": data_services.KAFKA,
            "images": list(images) or [configuration.kafka_image] * len(known.ports),
            "network": self._place.engine.network_id(configuration.dyno_network),
            "address": configuration.data_address,
            "ports": [list(pair) for pair in known.ports],
            "cluster_id": kafka.cluster_name(known.id),
            "memory_mib": kafka.MEMORY_MIB,
            "heap_mib": kafka.HEAP_MIB,
            "constraints": list(configuration.data_constraints),
            "authority": dict(known.authority),
        }

    @contextlib.contextmanager
    def _alone(self, plan: KafkaPlan) -> Iterator[None]:
        """The shared cluster is made and taken away by one at a time."""
        with self._shared if plan.is_shared else contextlib.nullcontext():
            yield


_OUT = "BytesOutPerSec"
_RATES = {
    "messages_in_per_second": "MessagesInPerSec",
    "bytes_in_per_second": "BytesInPerSec",
    "bytes_out_per_second": _OUT,
}


def _names(session: Session, addon_id: uuid.UUID) -> tuple[str, ...]:
    """Of the users of an add-on that are to work."""
    return tuple(each.username for each in databases.all_credentials(session, addon_id))


def _secret(authority: Mapping[str, str]) -> Callable[[str], str]:
    """What makes the key and the certificate of a user."""
    return lambda user: client_certificates.new_client(dict(authority), user)
