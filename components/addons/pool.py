"""A connection pool before a PostgreSQL: many clients on few connections, in transaction mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
import pulumi_docker as docker

from components.addons.postgres import PORT as SERVER_PORT
from components.addons.postgres import SOCKET_PATH
from components.addons.server_certificate import ServerCertificate
from components.platform_service import Mount, SecretFile, ServiceSpec, everywhere_else, service_args
from components.secret import swarm_secret
from dynoform.domain.data_services import PORT_LABEL

PORT = 6432
"""In the container, of one that is on a bridge."""
USER = "801"
"""Who it is in there: not the server's user, whom the server takes for its superuser at its socket."""
CLIENTS = 3000
"""How many it takes; Heroku's takes 10,000 (https://devcenter.heroku.com/articles/postgres-connection-pooling)."""


@dataclass(frozen=True)
class PoolArgs:
    """Parameters of ``Pool``.

    Parameters:
        stack: name of the stack.
        noun: what the pool is called in the stack.
        image: image with tag, PostgreSQL's.
        network_id: engine id of the bridge it joins; of the network ``host`` with a ``socket``.
        address: where clients reach the server by ``server_port``, and so does a pool without its ``socket``.
        port: published port of the pool.
        database: the only one that it leads to.
        password: of the role by which it looks up who may log in.
        size: how many connections it has to the server, for each user.
        authority: certificate of the authority that signed the server's.
        certificate: what it shows to clients, readable to ``USER``.
        socket: the volume with the server's socket, where that is a single one. Nothing is encrypted twice then, and no
            proxy of the engine's is between: it listens on the host's own network, and opens no connection there. None
            where it goes by the address.
        gateway: where each other host has the server; one pool more is on each then. Empty where it has none.
        memory_mib: hard limit.
        constraints: what the host has to be that it runs on; none for any.
        labels: further labels of all that it has.
    """

    stack: str
    noun: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    address: str
    server_port: int
    port: int
    database: str
    password: pulumi.Input[str]
    size: int
    authority: pulumi.Input[str]
    certificate: ServerCertificate
    socket: pulumi.Input[str] | None = None
    gateway: str = ""
    memory_mib: int = 256
    constraints: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Pool(pulumi.ComponentResource):
    """One pgbouncer, or one on each host; nothing in it is kept."""

    def __init__(self, name: str, args: PoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Pool", name, None, opts)
        password = swarm_secret(f"{name}-password", args.stack, args.password, self, args.labels)
        authority = swarm_secret(f"{name}-authority", args.stack, args.authority, self, args.labels)
        own = pulumi.ResourceOptions(parent=self)
        spec = _beside(_spec(args, password, authority), args)
        docker.Service(f"{name}-service", service_args(spec), opts=own)
        if args.gateway:
            elsewhere = replace(
                spec,
                noun=f"{args.noun}-address",
                environment={**spec.environment, "POOL_HOST": args.gateway},
                everywhere=True,
                constraints=everywhere_else(args.constraints),
            )
            docker.Service(f"{name}-address-service", service_args(elsewhere), opts=own)
        self.register_outputs({})


def _spec(args: PoolArgs, password: docker.Secret, authority: docker.Secret) -> ServiceSpec:
    """One that goes by the server's address."""
    return ServiceSpec(
        stack=args.stack,
        noun=args.noun,
        image=args.image,
        network_id=args.network_id,
        command=["/opt/dynoform/pool"],
        environment={
            "POOL_HOST": args.address,
            "POOL_PORT": str(args.server_port),
            "POOL_DATABASE": args.database,
            "POOL_SIZE": str(args.size),
            "POOL_CLIENTS": str(CLIENTS),
            "POOL_CERTIFICATE": args.certificate.path,
            "POOL_AUTHORITY": "/run/secrets/authority.crt",
        },
        secrets=[
            *(replace(file, uid=USER) for file in args.certificate.files),
            SecretFile("pool_password", password, uid=USER),
            SecretFile("authority.crt", authority, uid=USER),
        ],
        ports={PORT: args.port},
        user=USER,
        memory_mib=args.memory_mib,
        # The image's SIGINT: transactions that are under way are waited for.
        stop_grace="10s",
        constraints=args.constraints,
        labels=args.labels,
    )


def _beside(spec: ServiceSpec, args: PoolArgs) -> ServiceSpec:
    """The same beside a single server, by its socket."""
    if args.socket is None:
        return spec
    listens = {"POOL_LISTEN_ADDRESS": args.address, "POOL_LISTEN_PORT": str(args.port)}
    return replace(
        spec,
        environment={**spec.environment, **listens, "POOL_HOST": SOCKET_PATH, "POOL_PORT": str(SERVER_PORT)},
        mounts=[Mount(args.socket, SOCKET_PATH, read_only=True)],
        ports={},
        labels={**spec.labels, PORT_LABEL: str(args.port)},
    )
