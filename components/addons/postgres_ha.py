"""PostgreSQL with a standby: two servers, etcd that says which of them is the primary, and one address of both.

Servers and members of etcd may be on other hosts. One more service has the repository of backups there is then, for
servers that do not have its volume, and is where programs are run beside those; and another one has the address on
each other host, for the clients there.

The platform's own store is such a set, too: it has one user, and no repository.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
import pulumi_docker as docker

from components.addons.postgres import PORT, REPOSITORY, REPOSITORY_PATH, SOCKET_PATH, USER
from components.addons.server_certificate import ServerCertificate
from components.credentials import (
    Certificate,
    CertificateArgs,
    CertificateAuthority,
    CertificateAuthorityArgs,
    Password,
    PasswordArgs,
)
from components.platform_service import (
    HAPROXY_STOP,
    PARTS_LABEL,
    Mount,
    SecretFile,
    ServiceSpec,
    everywhere_else,
    service_args,
)
from components.secret import swarm_secret
from components.volume import data_mount, stack_volume

REST_PORT, ETCD_PORT, PEER_PORT, SHELL_PORT = 8008, 2379, 2380, 2222
"""In the containers."""
MEMBER = "member"
"""Whom the certificate of all that belongs to the set names: the image lets it do everything."""
ADDRESS = "address"
"""Whom the certificate of addresses names, which ask servers who is primary, and may do nothing else."""
_DATA = "/var/lib/postgresql"
_ETCD_MIB, _ADDRESS_MIB, _REPOSITORY_MIB = 96, 64, 64


@dataclass(frozen=True)
class Part:
    """Where a server or a member of etcd is.

    Parameters:
        ports: published ports: of a server PostgreSQL's, and Patroni's REST API's; of a member of etcd for clients, and
            for the other members.
        address: the host's address, where they are published.
        host: name of the host, if that is not the one with the repository and the address.
    """

    ports: Sequence[int]
    address: str
    host: str = ""

    @property
    def first(self) -> str:
        """Where the first of its ports is reached."""
        return f"{self.address}:{self.ports[0]}"

    @property
    def second(self) -> str:
        """Where the other one is."""
        return f"{self.address}:{self.ports[1]}"


@dataclass(frozen=True)
class PostgresHAArgs:
    """Parameters of ``PostgresHA``.

    Parameters:
        stack: name of the stack.
        noun: what the database is called in the stack; its servers are ``<noun>-1`` and ``<noun>-2``.
        image: image with tag, of ``images/postgres-ha``.
        network_id: engine id of the bridge that all of it joins.
        address: the host's address, where the ports of all are published that are on no other.
        port: where clients find the primary, whichever that is.
        everywhere: whether clients find it on each other host, too; ``constraints`` names the one that they are not.
        servers, voters: where the servers and the members of etcd are. The first server is on no other host.
        shells: where some are on other hosts, published ports of two SSH servers: beside the repository, and beside the
            second server.
        certificate: what servers show to clients, and ``authority`` who signed it, PEM.
        repository: what opens the repository of backups, pgBackRest's configuration; None where nothing is archived.
        elsewhere: whether that repository is not on a volume beside them.
        restored: whether the data are made by a restore, which is waited for; the first server makes them otherwise.
        user: role that owns the database, and the database's name; empty where others see to roles and databases. With
            one, the first server goes on with the data of a ``Postgres`` of this name, and takes its place.
        keep: whether the data outlive it.
        memory_mib: hard limit of a server; ``cache_mib`` its shared buffers; ``connections`` how many clients it takes.
        constraints: what the host has to be, in Swarm's words; none for any.
        labels: further labels of all that it has.
        filed: by what the lines of its servers are filed in an app's log; nothing where they are not.
    """

    stack: str
    noun: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    address: str
    port: int
    servers: Sequence[Part]
    voters: Sequence[Part]
    certificate: ServerCertificate
    authority: pulumi.Input[str]
    memory_mib: int
    cache_mib: int
    connections: int
    repository: pulumi.Input[str] | None = None
    restored: bool = False
    user: str = ""
    keep: bool = False
    elsewhere: bool = False
    everywhere: bool = False
    shells: Sequence[int] = ()
    constraints: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    filed: Mapping[str, str] = field(default_factory=dict)


class PostgresHA(pulumi.ComponentResource):
    """A primary, and a standby that has all that was acknowledged. Their parts trust an authority of their own.

    What is on hosts that clients alone are on has a certificate of another one, which Patroni's REST API trusts, too.
    """

    database_password: docker.Secret
    """As ``Postgres`` has it."""

    def __init__(self, name: str, args: PostgresHAArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:PostgresHA", name, None, opts)
        self._name = name
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        self._identity = self._issue()
        asks, self._asker = self._issue_address()
        shown = [*args.certificate.files, self._file("authority.crt", "authority-crt", args.authority)]
        backups: docker.Volume | None = None
        if args.repository is not None:
            backups = stack_volume(f"{name}-backups", args.stack, f"{args.noun}-backups", self, labels=args.labels)
            shown.append(self._file(REPOSITORY, "repository", args.repository))
        if args.user:
            password = Password(f"{name}-password", PasswordArgs(), self._own)
            self.database_password = swarm_secret(f"{name}-secret", args.stack, password.value, self)
            shown.append(SecretFile("database_password", self.database_password, USER))
        shown.append(asks)
        # One after the other: a change restarts no two of them at once.
        before: list[pulumi.Resource] = []
        for number, part in enumerate(args.voters, start=1):
            before = [self._voter(number, part, before)]
        before = [self._repository(backups)] if backups and args.shells else []
        for number, part in enumerate(args.servers, start=1):
            before = [self._server(number, part, backups, shown, before)]
        # Servers let it ask by the time that it does.
        self._front(before)
        self.register_outputs({})

    def _issue(self) -> Sequence[SecretFile]:
        """The authority of the set, and the certificate that all of it shows: each is a client of the others, too."""
        signs = CertificateAuthority(
            f"{self._name}-members", CertificateAuthorityArgs(common_name=f"PostgreSQL {self._args.noun}"), self._own
        )
        certificate = CertificateArgs(
            common_name=MEMBER,
            ca_cert_pem=signs.cert_pem,
            ca_key_pem=signs.key_pem,
            ip_addresses=[*dict.fromkeys([self._args.address, *(part.address for part in self._parts)])],
            client=True,
        )
        shown = Certificate(f"{self._name}-member", certificate, self._own)
        return [
            self._file("members.crt", "members-crt", signs.cert_pem),
            self._file("member.crt", "member-crt", shown.cert_pem),
            self._file("member.key", "member-key", shown.key_pem),
        ]

    def _issue_address(self) -> tuple[SecretFile, Sequence[SecretFile]]:
        """What servers trust addresses by, and what addresses have: no certificate of the set's own authority."""
        signs = CertificateAuthority(
            f"{self._name}-addresses",
            CertificateAuthorityArgs(common_name=f"Address of {self._args.noun}"),
            self._own,
        )
        certificate = CertificateArgs(
            common_name=ADDRESS, ca_cert_pem=signs.cert_pem, ca_key_pem=signs.key_pem, client=True
        )
        shown = Certificate(f"{self._name}-address", certificate, self._own)
        trusts, *_ = self._identity
        return self._file("addresses.crt", "addresses-crt", signs.cert_pem), [
            trusts,
            self._file("address.crt", "address-crt", shown.cert_pem),
            self._file("address.key", "address-key", shown.key_pem),
        ]

    @property
    def _parts(self) -> Sequence[Part]:
        return [*self._args.servers, *self._args.voters]

    def _file(self, file_name: str, noun: str, value: pulumi.Input[str]) -> SecretFile:
        args = self._args
        return SecretFile(file_name, swarm_secret(f"{self._name}-{noun}", args.stack, value, self, args.labels), USER)

    def _data(self, noun: str, part: Part) -> Mount:
        """The volume of a part."""
        args, name = self._args, f"{self._name}-{noun}-data"
        own = args.noun if args.user and part is args.servers[0] else f"{args.noun}-{noun}"
        return data_mount(name, args.stack, own, _DATA, self, host=part.host, keep=args.keep, labels=args.labels)

    def _voter(self, number: int, part: Part, before: Sequence[pulumi.Resource]) -> docker.Service:
        args, noun = self._args, f"etcd-{number}"
        peers = [f"etcd-{index}=https://{each.second}" for index, each in enumerate(args.voters, start=1)]
        spec = self._spec(
            noun,
            command=["/opt/dynoform/etcd-member"],
            environment={
                "ETCD_NAME": noun,
                "ETCD_ADVERTISE_CLIENT_URLS": f"https://{part.first}",
                "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"https://{part.second}",
                "ETCD_INITIAL_CLUSTER": ",".join(peers),
                "ETCD_INITIAL_CLUSTER_TOKEN": args.noun,
                "ETCD_OTHERS": " ".join(each.first for each in args.voters if each != part),
            },
            mounts=[self._data(noun, part)],
            ports={ETCD_PORT: part.ports[0], PEER_PORT: part.ports[1]},
            memory_mib=_ETCD_MIB,
            host=part.host,
        )
        return self._service(noun, spec, before)

    def _server(
        self,
        number: int,
        part: Part,
        backups: docker.Volume | None,
        shown: Sequence[SecretFile],
        before: Sequence[pulumi.Resource],
    ) -> docker.Service:
        args, noun = self._args, str(number)
        environment: dict[str, pulumi.Input[str]] = {
            "MEMBER_NAME": f"member-{number}",
            "MEMBER_POSTGRES": part.first,
            "MEMBER_REST": part.second,
            "MEMBER_OTHERS": " ".join(each.second for each in args.servers if each != part),
            "MEMBER_ETCD": " ".join(each.first for each in args.voters),
            "POSTGRES_SHARED_BUFFERS": f"{args.cache_mib}MB",
            "POSTGRES_MAX_CONNECTIONS": str(args.connections),
        }
        if number == 1 and not args.restored:
            environment["MEMBER_MAKES"] = "yes"
        if args.user:
            environment["MEMBER_OWNER"] = args.user
        mounts, published = [self._data(noun, part)], {PORT: part.ports[0], REST_PORT: part.ports[1]}
        if backups and part.host:
            environment["MEMBER_REPOSITORY"] = f"{args.address}:{args.shells[0]}"
            published[SHELL_PORT] = args.shells[1]
        elif backups and not args.elsewhere:  # the volume is there also where it is not used, see ``Postgres``
            mounts.append(Mount(backups.name, REPOSITORY_PATH))
        spec = self._spec(
            noun,
            environment=environment,
            secrets=shown,
            mounts=mounts,
            ports=published,
            memory_mib=args.memory_mib,
            host=part.host,
            # A primary waits for a standby that can take over, and hands over all that is written.
            stop_grace="1m",
            filed=args.filed,
        )
        return self._service(noun, spec, before, self._before(part))

    def _before(self, part: Part) -> pulumi.ResourceOptions | None:
        """How a server takes the place of a ``Postgres``: that one goes first, as there is one server to a volume."""
        if not self._args.user or part is not self._args.servers[0]:
            return None
        single = pulumi.create_urn(self._name, "dynoform:index:Postgres")
        service = pulumi.create_urn(f"{self._name}-service", "docker:index/service:Service", single)
        return pulumi.ResourceOptions(aliases=[service], delete_before_replace=True)

    def _repository(self, backups: docker.Volume) -> docker.Service:
        """For servers on other hosts; what they are called here is their number."""
        args = self._args
        away = [
            f"{number}={part.address}:{args.shells[1]}"
            for number, part in enumerate(args.servers, start=1)
            if part.host
        ]
        spec = self._spec(
            "repository",
            command=["/opt/dynoform/repository"],
            environment={"AT_SERVERS": " ".join(away)},
            mounts=[Mount(backups.name, REPOSITORY_PATH)],
            ports={SHELL_PORT: args.shells[0]},
            memory_mib=_REPOSITORY_MIB,
        )
        return self._service("repository", spec, [])

    def _front(self, before: Sequence[pulumi.Resource]) -> None:
        """The address: a service for one host, and one for all others. Swarm would change neither into the other."""
        args = self._args
        members = [f"member-{number}={part.first}:{part.ports[1]}" for number, part in enumerate(args.servers, start=1)]
        leads = self._spec(
            "",
            command=["/opt/dynoform/address"],
            environment={"ADDRESS_MEMBERS": " ".join(members), "ADDRESS_CONNECTIONS": str(args.connections)},
            ports={PORT: args.port},
            memory_mib=_ADDRESS_MIB,
            identity=self._asker,
        )
        here = replace(leads, stop_signal=HAPROXY_STOP)
        self._service("address", here, before)
        if args.everywhere:
            noun, others = f"{args.noun}-{ADDRESS}", everywhere_else(args.constraints)
            self._service("addresses", replace(here, noun=noun, everywhere=True, constraints=others), before)

    def _spec(
        self,
        noun: str,
        *,
        environment: dict[str, pulumi.Input[str]],
        ports: dict[int, int],
        memory_mib: int,
        command: Sequence[str] = (),
        secrets: Sequence[SecretFile] = (),
        mounts: Sequence[Mount] = (),
        stop_grace: str = "10s",
        filed: Mapping[str, str] | None = None,
        host: str = "",
        identity: Sequence[SecretFile] | None = None,
    ) -> ServiceSpec:
        """What all of it has alike; ``noun`` is empty for the one that is called as the database is.

        ``identity`` is of one that is not a member of the set.
        """
        args = self._args
        parts = str(len(self._parts) + 1 + bool(args.shells) + args.everywhere)
        return ServiceSpec(
            stack=args.stack,
            noun=f"{args.noun}-{noun}" if noun else args.noun,
            image=args.image,
            network_id=args.network_id,
            command=command,
            environment=environment,
            secrets=[*(self._identity if identity is None else identity), *secrets],
            mounts=mounts,
            ports=ports,
            scratch=("/tmp", SOCKET_PATH),  # noqa: S108 - private to the container
            memory_mib=memory_mib,
            stop_grace=stop_grace,
            constraints=[f"node.hostname=={host}"] if host else args.constraints,
            labels={**args.labels, **({PARTS_LABEL: parts} if args.labels else {})},
            filed=filed or {},
        )

    def _service(
        self,
        noun: str,
        spec: ServiceSpec,
        before: Sequence[pulumi.Resource],
        further: pulumi.ResourceOptions | None = None,
    ) -> docker.Service:
        options = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self, depends_on=before), further)
        return docker.Service(f"{self._name}-{noun}-service", service_args(spec), opts=options)
