"""Valkey as the platform runs it for add-ons: the Redis of Heroku's users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
import pulumi_docker as docker

from components.addons.server_certificate import ServerCertificate
from components.platform_service import HAPROXY_STOP, Mount, SecretFile, ServiceSpec, everywhere_else, service_args
from components.secret import swarm_secret
from components.volume import data_mount

PORT, SENTINEL_PORT = 6379, 26379
"""In the container."""
USER = "803"
"""The image's user."""
ADDRESS = "address"
"""How what leads clients to the primary is called on all hosts but the platform's, after the group."""
FRONT = "/opt/dynoform/front"
FRONT_MIB = 64
OWN_CONNECTIONS = 16
"""Of a group's members and Sentinels with one member, and of who looks after it."""
FRONTS = 16
"""Hosts that a group is counted on to be found on, where that is each: what their clients may take together costs a
member nothing before they do."""


@dataclass(frozen=True)
class Member:
    """Where a member of a group is.

    Parameters:
        address: the host's address, where its ports are published; the other members reach it there.
        port, sentinel_port: published ports, of the server and of the Sentinel beside it.
        image: image with tag.
        host: name of the host, if that is not the one with the group's port.
    """

    address: str
    port: int
    sentinel_port: int
    image: pulumi.Input[str]
    host: str = ""


@dataclass(frozen=True)
class Group:
    """Several servers that have the same data.

    Parameters:
        members: where they are, the first one on no other host; an odd number of them, as a majority chooses the
            primary. With none, nothing but what leads clients to the primary is there: data are left alone.
        password: what they know each other by.
        look_password: of who may ask each of them whether it is the primary, and nothing else.
        authority_pem: the certificate of the authority that has signed theirs.
        everywhere: whether clients are led to the primary on each other host, too; ``constraints`` names the one that
            they are not.
    """

    members: Sequence[Member]
    password: pulumi.Input[str]
    look_password: pulumi.Input[str]
    authority_pem: pulumi.Input[str]
    everywhere: bool = False


@dataclass(frozen=True)
class ValkeyArgs:
    """Parameters of ``Valkey``.

    Parameters:
        stack: name of the stack.
        noun: what the instance is called in the stack; the members of a group are ``<noun>-1`` and so on.
        image: image with tag; of a group, of what leads clients to the primary.
        network_id: engine id of the bridge it joins; the port is published on the host's address there.
        port: published port.
        certificate: what it shows to clients.
        memory_mib: hard limit of all, ``data_mib`` what it keeps data in; both for each member of a group.
        connections: how many clients it takes; a group, on each host where it is found.
        constraints: what the host has to be that it runs on; none for any.
        group: the servers, where there are several. A server that becomes a group is its first member, and back.
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
    group: Group | None = None
    keep: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


class Valkey(pulumi.ComponentResource):
    """A Valkey 8 server on a volume of its own, or a group of them; users and settings are made in it."""

    def __init__(self, name: str, args: ValkeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Valkey", name, None, opts)
        self._name, self._args = name, args
        data = self._data()
        if args.group is None:
            spec = self._spec(args.image, args.memory_mib, ports={PORT: args.port}, mounts=[data])
            self._service(name, spec)
        else:
            self._group(args.group, data)
        self.register_outputs({})

    def _group(self, group: Group, first: Mount) -> None:
        args, name = self._args, self._name
        known = [f"{each.address}:{each.port}:{each.sentinel_port}" for each in group.members]
        members = {"VALKEY_MEMBERS": " ".join(known)}
        knows, looks = self._file("members", group.password), self._file("look", group.look_password)
        trusts = self._file("ca.crt", group.authority_pem, "ca")
        secrets = [knows, trusts]
        # Who looks after the group does so from here: it has the members' password, on a host that has a member.
        leads = self._spec(args.image, FRONT_MIB, command=[FRONT], ports={PORT: args.port}, secrets=secrets)
        front = replace(leads, stop_signal=HAPROXY_STOP)
        front.environment.update(members)
        # It had the first one's data, where it was the only server. Then one after the other: a change restarts no two.
        before = [self._service(name, front)]
        for number, each in enumerate(group.members, start=1):
            spec = self._spec(
                each.image,
                args.memory_mib,
                noun=f"{args.noun}-{number}",
                ports={PORT: each.port, SENTINEL_PORT: each.sentinel_port},
                mounts=[first if number == 1 else self._data(f"-{number}", each.host)],
                secrets=[*args.certificate.files, *secrets, looks],
                host=each.host,
            )
            spec.environment.update(members, VALKEY_NUMBER=str(number), VALKEY_MAXCLIENTS=str(self._clients(group)))
            before = [self._service(f"{name}-{number}", spec, before)]
        if group.everywhere:
            noun, others = f"{args.noun}-{ADDRESS}", everywhere_else(args.constraints)
            spec = replace(front, noun=noun, everywhere=True, constraints=others, secrets=[looks, trusts])
            self._service(f"{name}-{ADDRESS}", spec, before)

    def _clients(self, group: Group) -> int:
        """What a member takes: all that clients are led to it from anywhere, one look from there, and its own."""
        fronts = FRONTS if group.everywhere else 1
        return fronts * (self._args.connections + 1) + OWN_CONNECTIONS

    def _file(self, file_name: str, value: pulumi.Input[str], noun: str = "") -> SecretFile:
        args = self._args
        secret = swarm_secret(f"{self._name}-{noun or file_name}", args.stack, value, self, args.labels)
        return SecretFile(file_name, secret, USER)

    def _data(self, ending: str = "", host: str = "") -> Mount:
        args, name = self._args, f"{self._name}{ending}-data"
        noun, path = f"{args.noun}{ending}", "/var/lib/valkey"
        return data_mount(name, args.stack, noun, path, self, host=host, keep=args.keep, labels=args.labels)

    def _spec(
        self,
        image: pulumi.Input[str],
        memory_mib: int,
        *,
        ports: dict[int, int],
        noun: str = "",
        command: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        secrets: Sequence[SecretFile] | None = None,
        host: str = "",
    ) -> ServiceSpec:
        args = self._args
        return ServiceSpec(
            stack=args.stack,
            noun=noun or args.noun,
            command=command,
            image=image,
            network_id=args.network_id,
            environment={
                "VALKEY_CERTIFICATE": args.certificate.path,
                "VALKEY_MAXMEMORY": f"{args.data_mib}mb",
                "VALKEY_MAXCLIENTS": str(args.connections),
            },
            secrets=args.certificate.files if secrets is None else secrets,
            mounts=mounts,
            ports=ports,
            scratch=("/tmp", "/run/valkey"),  # noqa: S108 - private to the container
            memory_mib=memory_mib,
            stop_grace="30s",
            constraints=[f"node.hostname=={host}"] if host else args.constraints,
            labels=args.labels,
        )

    def _service(self, name: str, spec: ServiceSpec, before: Sequence[pulumi.Resource] = ()) -> docker.Service:
        options = pulumi.ResourceOptions(parent=self, depends_on=list(before) or None)
        return docker.Service(f"{name}-service", service_args(spec), opts=options)
