"""Kafka as the platform runs it for add-ons: a cluster of brokers that are their own controllers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from components.addons.server_certificate import ServerCertificate
from components.platform_service import PARTS_LABEL, SecretFile, ServiceSpec, service_args
from components.secret import swarm_secret
from components.volume import data_mount

BROKER_PORT, CONTROLLER_PORT = 9092, 9093
"""In the container."""
USER = "804"
"""The image's user."""
SUPERUSER = "broker"
"""Whom the brokers' certificates name: the image lets it do everything."""


@dataclass(frozen=True)
class Broker:
    """Where a broker is.

    Parameters:
        address: the host's address, where its ports are published; clients and the other brokers reach it there.
        port, controller_port: published ports, of the broker and of the controller in it.
        image: image with tag.
        host: name of the host, if that is not the platform's.
    """

    address: str
    port: int
    controller_port: int
    image: pulumi.Input[str]
    host: str = ""


@dataclass(frozen=True)
class KafkaArgs:
    """Parameters of ``Kafka``.

    Parameters:
        stack: name of the stack.
        noun: what the cluster is called in the stack; its brokers are ``<noun>-1`` and so on.
        network_id: engine id of the bridge that the brokers join.
        cluster_id: Kafka's own name of the cluster, 16 bytes in URL-safe base64, for its life.
        brokers: where they are. Three keep all in three replicas, two of which have what is acknowledged. The number
            cannot change later: each is a voter.
        authority: ``cert_pem`` and ``key_pem`` of the cluster's own authority: whoever has a certificate of it may
            connect, and may do what the cluster's access control lists say.
        memory_mib: hard limit of a broker, ``heap_mib`` what Java keeps its objects in.
        constraints: what the host has to be that brokers are on of which no ``host`` is said; none for any.
        keep: whether the data outlive it.
        labels: further labels of all that it has.
    """

    stack: str
    noun: str
    network_id: pulumi.Input[str]
    cluster_id: str
    brokers: Sequence[Broker]
    authority: Mapping[str, pulumi.Input[str]]
    memory_mib: int = 512
    heap_mib: int = 192
    constraints: Sequence[str] = ()
    keep: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


class Kafka(pulumi.ComponentResource):
    """A Kafka 4 cluster, each broker on a volume of its own; users, topics and limits are made in it."""

    def __init__(self, name: str, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Kafka", name, None, opts)
        self._name = name
        self._args = args
        trusted = swarm_secret(f"{name}-ca", args.stack, args.authority["cert_pem"], self, args.labels)
        # One after the other: a change restarts no two of them at once.
        before: list[pulumi.Resource] = []
        for number, broker in enumerate(args.brokers, start=1):
            before = [self._broker(number, broker, SecretFile("ca.crt", trusted, USER), before)]
        self.register_outputs({})

    def _broker(
        self, number: int, broker: Broker, trusted: SecretFile, before: Sequence[pulumi.Resource]
    ) -> docker.Service:
        args, name, noun = self._args, f"{self._name}-{number}", f"{self._args.noun}-{number}"
        path = "/var/lib/kafka"
        data = data_mount(
            f"{name}-data", args.stack, noun, path, self, host=broker.host, keep=args.keep, labels=args.labels
        )
        shown = ServerCertificate(
            name, args.stack, broker.address, args.authority, USER, args.labels, self, client_name=SUPERUSER
        )
        # Of a single one that is lost there is none at all.
        parts = {PARTS_LABEL: str(len(args.brokers))} if len(args.brokers) > 1 else {}
        voters = [f"{index}@{each.address}:{each.controller_port}" for index, each in enumerate(args.brokers, start=1)]
        spec = ServiceSpec(
            stack=args.stack,
            noun=noun,
            image=broker.image,
            network_id=args.network_id,
            environment={
                "KAFKA_CLUSTER": args.cluster_id,
                "KAFKA_NODE": str(number),
                "KAFKA_VOTERS": ",".join(voters),
                "KAFKA_ADVERTISED": f"{broker.address}:{broker.port}",
                "KAFKA_HEAP_MIB": str(args.heap_mib),
            },
            secrets=[*shown.files, trusted],
            mounts=[data],
            ports={BROKER_PORT: broker.port, CONTROLLER_PORT: broker.controller_port},
            scratch=("/tmp", "/run/kafka"),  # noqa: S108 - private to the container
            memory_mib=args.memory_mib,
            # Time to hand over what it leads.
            stop_grace="30s",
            constraints=[f"node.hostname=={broker.host}"] if broker.host else args.constraints,
            labels={**args.labels, **parts},
        )
        options = pulumi.ResourceOptions(parent=self, depends_on=before)
        return docker.Service(f"{name}-service", service_args(spec), opts=options)
