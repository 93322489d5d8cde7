"""Valkey as the platform runs it for add-ons: the Redis of Heroku's users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from components.addons.server_certificate import ServerCertificate
from components.platform_service import Mount, ServiceSpec, service_args
from components.volume import stack_volume

PORT = 6379
"""In the container."""
USER = "803"
"""The image's user."""


@dataclass(frozen=True)
class ValkeyArgs:
    """Parameters of ``Valkey``.

    Parameters:
        stack: name of the stack.
        noun: what the instance is called in the stack.
        image: image with tag.
        network_id: engine id of the bridge it joins; the port is published on the host's address there.
        port: published port.
        certificate: what it shows to clients.
        memory_mib: hard limit of all, ``data_mib`` what it keeps data in.
        connections: how many clients it takes.
        constraints: what the host has to be that it runs on; none for any.
        keep: whether the data outlive it.
        labels: further labels of all that it has.
    """

    stack: str
    noun: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    port: int
    certificate: ServerCertificate
    memory_mib: int
    data_mib: int
    connections: int
    constraints: Sequence[str] = ()
    keep: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


class Valkey(pulumi.ComponentResource):
    """One Valkey 8 server on a volume of its own; users and settings are made in it."""

    def __init__(self, name: str, args: ValkeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Valkey", name, None, opts)
        volume = stack_volume(f"{name}-data", args.stack, args.noun, self, keep=args.keep, labels=args.labels)
        spec = ServiceSpec(
            stack=args.stack,
            noun=args.noun,
            image=args.image,
            network_id=args.network_id,
            environment={
                "VALKEY_CERTIFICATE": args.certificate.path,
                "VALKEY_MAXMEMORY": f"{args.data_mib}mb",
                "VALKEY_MAXCLIENTS": str(args.connections),
            },
            secrets=args.certificate.files,
            mounts=[Mount(volume.name, "/var/lib/valkey")],
            ports={PORT: args.port},
            scratch=("/tmp", "/run/valkey"),  # noqa: S108 - private to the container
            memory_mib=args.memory_mib,
            stop_grace="30s",
            constraints=args.constraints,
            labels=args.labels,
        )
        docker.Service(f"{name}-service", service_args(spec), opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
