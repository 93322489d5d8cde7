"""PostgreSQL as the platform runs it for itself and for add-ons."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.credentials import Password, PasswordArgs
from components.platform_service import Mount, SecretFile, ServiceSpec, service_args
from components.secret import swarm_secret
from components.volume import stack_volume

PORT = 5432
"""In the container."""
USER = "800"
"""The image's user."""


@dataclass(frozen=True)
class PostgresArgs:
    """Parameters of ``Postgres``.

    Parameters:
        stack: name of the stack.
        noun: what the instance is called in the stack, ``postgres`` for the platform's own.
        image: image with tag.
        network_id: engine id of the bridge it joins.
        address: the host's address on that bridge, where the port is published.
        port: published port.
        user: role that owns the database, and the database's name.
        constraints: what the host has to be that it runs on; none for any.
    """

    stack: str
    noun: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    address: str
    port: int
    user: str
    constraints: Sequence[str] = ()


class Postgres(pulumi.ComponentResource):
    """One PostgreSQL 17 server with one database on a volume that outlives it."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    database_password: docker.Secret
    """The password as a Swarm secret, for services that connect."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Postgres", name, None, opts)
        self._name = name
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        password = Password(f"{name}-password", PasswordArgs(), self._own)
        self.database_password = swarm_secret(f"{name}-secret", args.stack, password.value, self)
        volume = self._volume()
        service = docker.Service(f"{name}-service", self._service(volume), opts=self._own)
        # Known only once the service runs, so whoever uses the address waits for it.
        self.host = service.id.apply(lambda _: args.address)
        self.port = service.id.apply(lambda _: args.port)
        self.register_outputs({"host": self.host, "port": self.port})

    def _volume(self) -> docker.Volume:
        return stack_volume(f"{self._name}-data", self._args.stack, self._args.noun, self, keep=True)

    def _service(self, volume: docker.Volume) -> docker.ServiceArgs:
        args = self._args
        return service_args(
            ServiceSpec(
                stack=args.stack,
                noun=args.noun,
                image=args.image,
                network_id=args.network_id,
                environment={"POSTGRES_USER": args.user},
                secrets=[SecretFile("database_password", self.database_password, uid=USER)],
                mounts=[Mount(volume.name, "/var/lib/postgresql")],
                ports={PORT: args.port},
                scratch=("/tmp", "/run/postgresql"),  # noqa: S108 - private to the container
                healthcheck=["pg_isready", "--quiet"],
                stop_grace="30s",
                constraints=args.constraints,
            )
        )
