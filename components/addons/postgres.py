"""PostgreSQL as the platform runs it for itself and for add-ons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from components.addons.server_certificate import ServerCertificate
from components.credentials import Password, PasswordArgs
from components.platform_service import Mount, SecretFile, ServiceSpec, service_args
from components.secret import swarm_secret
from components.volume import stack_volume

PORT = 5432
"""In the container."""
USER = "800"
"""The image's user."""
REPOSITORY = "repository.conf"
"""The secret file that opens the repository of backups."""
SOCKET_PATH = "/run/postgresql"
"""Where its socket is in the containers."""
REPOSITORY_PATH = "/var/lib/pgbackrest"
"""Where the repository is in the containers, if it is on a volume."""


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
        user: role that owns the database, and the database's name; empty where others see to roles and databases.
        constraints: what the host has to be that it runs on; none for any.
        certificate: what it shows to clients, who then have to encrypt; None for clear text.
        memory_mib: hard limit.
        cache_mib, connections: its shared buffers, and how many clients it takes; None for the image's own.
        repository: what opens its repository of backups, pgBackRest's configuration; None where nothing is archived.
        elsewhere: whether that repository is not on a volume beside it.
        restored: whether its data are made by a restore, which it waits for.
        shares_socket: whether its socket is on a volume, for a pool beside it.
        keep: whether the data outlive it.
        labels: further labels of all that it has.
        filed: by what its log's lines are filed in an app's log; nothing where they are not.
    """

    stack: str
    noun: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    address: str
    port: int
    user: str
    constraints: Sequence[str] = ()
    certificate: ServerCertificate | None = None
    memory_mib: int = 256
    cache_mib: int | None = None
    connections: int | None = None
    repository: pulumi.Input[str] | None = None
    elsewhere: bool = False
    restored: bool = False
    shares_socket: bool = False
    keep: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    filed: Mapping[str, str] = field(default_factory=dict)


class Postgres(pulumi.ComponentResource):
    """One PostgreSQL 17 server on a volume of its own."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    database_password: docker.Secret
    """The password as a Swarm secret, for services that connect; only where there is a ``user``."""
    socket: pulumi.Output[str] | None = None
    """The volume with its socket, where it shares that."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Postgres", name, None, opts)
        self._name = name
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        secrets = list(args.certificate.files) if args.certificate else []
        if args.user:
            password = Password(f"{name}-password", PasswordArgs(), self._own)
            self.database_password = swarm_secret(f"{name}-secret", args.stack, password.value, self)
            secrets.append(SecretFile("database_password", self.database_password, uid=USER))
        mounts = [Mount(self._volume("data", args.noun).name, "/var/lib/postgresql")]
        if args.repository is not None:
            opens = swarm_secret(f"{name}-repository", args.stack, args.repository, self, args.labels)
            secrets.append(SecretFile(REPOSITORY, opens, uid=USER))
            # There also where it is not used: Swarm keeps the last containers, and what they had cannot be removed.
            volume = self._volume("backups", f"{args.noun}-backups")
            if not args.elsewhere:
                mounts.append(Mount(volume.name, REPOSITORY_PATH))
        shared = self._volume("socket", f"{args.noun}-socket") if args.shares_socket else None
        if shared is not None:
            mounts.append(Mount(shared.name, SOCKET_PATH))
        service = docker.Service(f"{name}-service", self._service(mounts, secrets), opts=self._own)
        if shared is not None:
            # The server comes first: what is on a volume that is new is whose it is in the first image that has it.
            self.socket = pulumi.Output.all(shared.name, service.id).apply(lambda both: str(both[0]))
        # Known only once the service runs, so whoever uses the address waits for it.
        self.host = service.id.apply(lambda _: args.address)
        self.port = service.id.apply(lambda _: args.port)
        self.register_outputs({"host": self.host, "port": self.port})

    def _volume(self, what: str, noun: str) -> docker.Volume:
        args = self._args
        return stack_volume(f"{self._name}-{what}", args.stack, noun, self, keep=args.keep, labels=args.labels)

    def _environment(self) -> dict[str, pulumi.Input[str]]:
        args = self._args
        found: dict[str, pulumi.Input[str]] = {"POSTGRES_USER": args.user}
        if args.certificate:
            found["POSTGRES_CERTIFICATE"] = args.certificate.path
        if args.repository is not None:
            found["POSTGRES_REPOSITORY"] = f"/run/secrets/{REPOSITORY}"
        if args.restored:
            found["POSTGRES_AWAITS"] = "yes"
        if args.cache_mib is not None:
            found["POSTGRES_SHARED_BUFFERS"] = f"{args.cache_mib}MB"
        if args.connections is not None:
            found["POSTGRES_MAX_CONNECTIONS"] = str(args.connections)
        return found

    def _service(self, mounts: Sequence[Mount], secrets: Sequence[SecretFile]) -> docker.ServiceArgs:
        args = self._args
        return service_args(
            ServiceSpec(
                stack=args.stack,
                noun=args.noun,
                image=args.image,
                network_id=args.network_id,
                environment=self._environment(),
                secrets=secrets,
                mounts=mounts,
                ports={PORT: args.port},
                scratch=("/tmp", *([] if args.shares_socket else [SOCKET_PATH])),  # noqa: S108 - private to the container
                # Those of apps are seen to by who makes them: the first look at a container takes a whole interval,
                # and until then its service is not up.
                healthcheck=["pg_isready", "--quiet"] if args.user else [],
                memory_mib=args.memory_mib,
                stop_grace="30s",
                constraints=args.constraints,
                labels=args.labels,
                filed=args.filed,
            )
        )
