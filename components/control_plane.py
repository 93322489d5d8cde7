"""The control plane: one image, several processes, any of which can be killed at any moment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_docker as docker

from components.addons.postgres import Postgres
from components.addons.postgres_ha import PostgresHA
from components.credentials import Certificate, CertificateArgs, CertificateAuthority, Password, PasswordArgs
from components.logplex import AUTHORITY_FILE
from components.platform_service import Mount, SecretFile, ServiceSpec, service_args
from components.registry import Registry
from components.router import USER as ROUTER_USER
from components.router import Router
from components.secret import swarm_secret
from components.settings import NO_ACME, AcmeSettings
from components.volume import stack_volume

API_PORT = 8000
"""In the container."""
USER = "802"
"""The image's user."""
ENGINE = Mount("/var/run/docker.sock", "/var/run/docker.sock", bind=True)
AS_ROUTER = (
    *("setpriv", f"--reuid={ROUTER_USER}", f"--regid={ROUTER_USER}", "--clear-groups", "--no-new-privs"),
    *("--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service", "python3", "-m", "dynoform"),
)
"""The image's entrypoint as the router's user, with the one capability that a user can be given in no other way."""
CGROUPS = Mount("/sys/fs/cgroup", "/host/cgroup", bind=True, read_only=True)
"""What the kernel counts of each dyno."""
SOURCES = "/var/lib/dynoform/sources"
BUILDS = "/var/lib/dynoform/builds"
"""What a build needs on disk: a source that is fetched, layers on their way to the registry."""
MANAGERS = "node.role==manager"
HOST_NAME = "{{.Node.Hostname}}"
"""Swarm puts the name of the host there that a task is on."""
STORE_AUTHORITY = "store-ca.crt"
"""Of the authority that signed the store's certificate."""
REPOSITORIES = "/var/lib/dynoform/repositories"
BACKUPS = "/var/lib/dynoform/backups"


@dataclass(frozen=True)
class ControlPlaneArgs:
    """Parameters of ``ControlPlane``.

    Parameters:
        stack: name of the stack.
        image: the control plane's image with tag.
        run_image, build_image: the stack's images with tag: what slugs are laid on, and what builds run in.
        addons_image: the image that add-ons are made by.
        postgres_image, postgres_ha_image, valkey_image, kafka_image: what databases run from.
        network_id: engine id of the platform's bridge.
        api_port: where the API is published.
        host_network_id: engine id of the network ``host``.
        docker_root: the engine's data directory on the hosts.
        environment: settings that all processes share.
        authority: signs the client certificates of builder and API for the registry.
        authority_secret: the authority's certificate as a Swarm secret.
        logplex_secret: the certificate of the log plane's authority as a Swarm secret.
        postgres, registry, router: what the processes work with.
        store_address: where each host has the store; empty for the platform's address.
        constraints: what the host has to be that has the platform's data; none for any.
        builder_constraints: what each host has to be on which there is a builder; none for one builder beside the
            platform's data. The stack's images then have names that all hosts can get them by.
        everywhere_image: the same image as ``image``, by a name that all hosts can get it by; None on a single host.
        acme: where automated certificates come from.
        backup_repository: where backups of databases are, see ``dynoform.domain.backup_repositories``.
        backup_repository_key: what opens it, a secret; empty for none.
    """

    stack: str
    image: pulumi.Input[str]
    run_image: pulumi.Input[str]
    build_image: pulumi.Input[str]
    addons_image: pulumi.Input[str]
    postgres_image: pulumi.Input[str]
    valkey_image: pulumi.Input[str]
    kafka_image: pulumi.Input[str]
    postgres_ha_image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    api_port: int
    host_network_id: pulumi.Input[str]
    docker_root: pulumi.Input[str]
    environment: dict[str, pulumi.Input[str]]
    authority: CertificateAuthority
    authority_secret: docker.Secret
    logplex_secret: docker.Secret
    postgres: Postgres | PostgresHA
    registry: Registry
    router: Router
    store_address: str = ""
    constraints: Sequence[str] = ()
    builder_constraints: Sequence[str] = ()
    everywhere_image: pulumi.Input[str] | None = None
    acme: AcmeSettings = NO_ACME
    backup_repository: Mapping[str, Any] = field(default_factory=dict)
    backup_repository_key: str = field(default="", repr=False)


class ControlPlane(pulumi.ComponentResource):
    """API, reconciler, builder, runtime agent, router agent, and what makes databases."""

    api_key: pulumi.Output[str]
    """Token of the operator's account, secret."""

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:ControlPlane", name, None, opts)
        self._name = name
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        self.api_key = Password(f"{name}-api-key", PasswordArgs(length=40), self._own).value
        self._encryption_key = self._secret("encryption-key", self._kept_key())
        self._exec_host_key = self._secret("exec-host-key", self._host_key())
        self._certificate_key = self._secret("certificate-key", self._sealing_key())
        self._sources = self._volume("sources")
        self._repositories = self._volume("repositories")
        self._backups = self._volume("backups")
        self._api()
        self._reconciler()
        self._builder()
        self._runtime_agent()
        self._router_agent()
        self._databases()
        self.register_outputs({"apiKey": self.api_key})

    def _kept_key(self) -> pulumi.Output[str]:
        # Without this key the config vars in the store are lost: it stays in the state when `down` leaves the data.
        options = pulumi.ResourceOptions(parent=self, protect=True)
        return Password(f"{self._name}-encryption", PasswordArgs(encoding="urlsafe-base64-32"), options).value

    def _host_key(self) -> pulumi.Output[str]:
        return Password(f"{self._name}-exec", PasswordArgs(encoding="urlsafe-base64-32"), self._own).value

    def _sealing_key(self) -> pulumi.Output[str]:
        # As the encryption key, for keys of certificates alone: routers have it, and are to read nothing else.
        options = pulumi.ResourceOptions(parent=self, protect=True)
        return Password(f"{self._name}-certificates", PasswordArgs(encoding="urlsafe-base64-32"), options).value

    @property
    def _store(self) -> dict[str, pulumi.Input[str]]:
        """Where the store is, and how it is spoken to: on a fleet with TLS."""
        args = self._args
        told: dict[str, pulumi.Input[str]] = (
            {"DYNOFORM_STORE_ADDRESS": args.store_address} if args.store_address else {}
        )
        return told | ({"DYNOFORM_STORE_AUTHORITY": f"/run/secrets/{STORE_AUTHORITY}"} if args.constraints else {})

    def _api(self) -> None:
        # The host key for its public part, which clients are told.
        own = [self._encryption_key_file(), self._api_key_file(), self._exec_host_key_file(USER)]
        own.append(self._certificate_key_file(USER))
        secrets = [*own, *self._registry_client("api", USER), *self._acme_files()]
        mounts = [Mount(self._sources.name, SOURCES), Mount(self._repositories.name, REPOSITORIES)]
        mounts.append(Mount(self._backups.name, BACKUPS, read_only=True))
        ports = {API_PORT: self._args.api_port}
        # Room for git, which runs beside it for each push and fetch.
        acme: dict[str, pulumi.Input[str]] = {}
        if self._args.acme.directory:
            acme = {"DYNOFORM_ACME_DIRECTORY": self._args.acme.directory, "DYNOFORM_ACME_EMAIL": self._args.acme.email}
        self._process("api", secrets, mounts, ports=ports, user=USER, memory_mib=768, environment=acme)

    def _reconciler(self) -> None:
        # Root only to open the engine's socket: every capability is dropped. On the host's network, as only the host
        # itself (and no other bridge) can reach the dynos that it waits for.
        # On a fleet every manager has one, of which one leads: it asks the engine beside it.
        self._process(
            "reconcile",
            [self._encryption_key_file("0")],
            [ENGINE],
            network_id=self._args.host_network_id,
            everywhere=bool(self._args.constraints),
            managers=bool(self._args.constraints),
        )

    def _builder(self) -> None:
        secrets = [self._encryption_key_file("0"), *self._registry_client("builder", "0")]
        builds = stack_volume(f"{self._name}-builds", self._args.stack, "builds", self)
        mounts = [ENGINE, Mount(self._sources.name, SOURCES), Mount(builds.name, BUILDS)]
        environment: dict[str, pulumi.Input[str]] = {
            "DYNOFORM_RUN_IMAGE": self._args.run_image,
            "DYNOFORM_BUILD_IMAGE": self._args.build_image,
            "DYNOFORM_HOST": HOST_NAME,
            "TMPDIR": BUILDS,
        }
        self._process(
            "builder",
            secrets,
            mounts,
            memory_mib=512,
            environment=environment,
            depends_on=[self._args.registry],
            # Sources are on the platform's host: on any other this volume is empty, and they come by the API.
            everywhere=bool(self._args.builder_constraints),
            chosen=self._args.builder_constraints,
        )

    def _runtime_agent(self) -> None:
        # As the reconciler: root for the engine's socket alone, and on the host's network, whose name it goes by. Every
        # host has one: commands inside a dyno run where the dyno is.
        containers = Mount(
            pulumi.Output.concat(self._args.docker_root, "/containers"),
            "/host/containers",
            bind=True,
            follows=True,
            read_only=True,
        )
        self._process(
            "runtime-agent",
            [self._encryption_key_file("0")],
            [ENGINE, CGROUPS, containers],
            everywhere=True,
            network_id=self._args.host_network_id,
        )

    def _router_agent(self) -> None:
        # On the host's network, as the router: `heroku run` and `ps:exec` come to it from outside.
        self._process(
            "router-agent",
            [
                SecretFile("router.pem", self._args.router.pem, ROUTER_USER),
                self._exec_host_key_file(ROUTER_USER),
                self._certificate_key_file(ROUTER_USER),
            ],
            [Mount(self._args.router.state.name, "/var/lib/dynoform/router")],
            user=ROUTER_USER,
            low_ports=True,
            everywhere=True,
            network_id=self._args.host_network_id,
            depends_on=[self._args.router],
        )

    def _databases(self) -> None:
        # Root for the engine's socket alone, as the builder. It signs the certificates of add-ons' servers.
        secrets = [
            self._encryption_key_file("0"),
            SecretFile("ca.crt", self._args.authority_secret, "0"),
            SecretFile("ca.key", self._secret("authority-key", self._args.authority.key_pem), "0"),
        ]
        environment: dict[str, pulumi.Input[str]] = {
            "DYNOFORM_DATA_CONSTRAINTS": " ".join(self._args.constraints),
            "DYNOFORM_POSTGRES_IMAGE": self._args.postgres_image,
            "DYNOFORM_VALKEY_IMAGE": self._args.valkey_image,
            "DYNOFORM_KAFKA_IMAGE": self._args.kafka_image,
            "DYNOFORM_POSTGRES_HA_IMAGE": self._args.postgres_ha_image,
        }
        if self._args.backup_repository:
            environment["DYNOFORM_BACKUP_REPOSITORY"] = json.dumps(dict(self._args.backup_repository), sort_keys=True)
            key = pulumi.Output.secret(self._args.backup_repository_key)
            secrets.append(SecretFile("backup_repository_key", self._secret("backup-repository-key", key), "0"))
        # Room for two Pulumis with their plugins; while nothing changes it has none.
        mounts = [ENGINE, Mount(self._backups.name, BACKUPS)]
        self._process(
            "databases", secrets, mounts, memory_mib=1024, environment=environment, image=self._args.addons_image
        )

    def _process(
        self,
        command: str,
        secrets: Sequence[SecretFile],
        mounts: Sequence[Mount],
        *,
        ports: dict[int, int] | None = None,
        user: str = "0",
        low_ports: bool = False,
        memory_mib: int = 256,
        everywhere: bool = False,
        managers: bool = False,
        chosen: Sequence[str] = (),
        network_id: pulumi.Input[str] | None = None,
        environment: dict[str, pulumi.Input[str]] | None = None,
        image: pulumi.Input[str] | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        spec = ServiceSpec(
            stack=self._args.stack,
            noun=command,
            image=image or (self._args.everywhere_image if everywhere else None) or self._args.image,
            # Port 80 is what the CLI's ps:exec has built in.
            command=AS_ROUTER if low_ports else (),
            capabilities=["NET_BIND_SERVICE", "SETGID", "SETUID"] if low_ports else (),
            args=[command],
            network_id=network_id or self._args.network_id,
            environment={**self._args.environment, **self._store, **(environment or {})},
            secrets=[
                SecretFile("database_password", self._args.postgres.database_password, user),
                SecretFile(AUTHORITY_FILE, self._args.logplex_secret, user),
                *([SecretFile(STORE_AUTHORITY, self._args.authority_secret, user)] if self._args.constraints else []),
                *secrets,
            ],
            mounts=mounts,
            ports=ports or {},
            user="0" if low_ports else user,
            memory_mib=memory_mib,
            everywhere=everywhere,
            constraints=chosen or ((MANAGERS,) if managers else () if everywhere else self._args.constraints),
        )
        options = pulumi.ResourceOptions(parent=self, depends_on=[self._args.postgres, *depends_on])
        docker.Service(f"{self._name}-{command}", service_args(spec), options)

    def _registry_client(self, process: str, uid: str) -> list[SecretFile]:
        """What opens the registry to a process, by a certificate in its name."""
        certificate = Certificate(
            f"{self._name}-{process}-certificate",
            CertificateArgs(
                common_name=process,
                client=True,
                ca_cert_pem=self._args.authority.cert_pem,
                ca_key_pem=self._args.authority.key_pem,
            ),
            self._own,
        )
        return [
            SecretFile("ca.crt", self._args.authority_secret, uid),
            SecretFile("registry.crt", self._secret(f"{process}-crt", certificate.cert_pem), uid),
            SecretFile("registry.key", self._secret(f"{process}-key", certificate.key_pem), uid),
        ]

    def _encryption_key_file(self, uid: str = USER) -> SecretFile:
        return SecretFile("encryption_key", self._encryption_key, uid)

    def _acme_files(self) -> list[SecretFile]:
        """What getting certificates needs besides the authority's address, if anything."""
        acme = self._args.acme
        account = f"{acme.account_key_id}\n{acme.account_key}" if acme.account_key else ""
        given = {"acme_authorities": acme.authorities, "acme_dns_hook": acme.dns_hook, "acme_account": account}
        found = ((name, text) for name, text in given.items() if text and acme.directory)
        return [
            SecretFile(name, self._secret(name.replace("_", "-"), pulumi.Output.secret(text)), USER)
            for name, text in found
        ]

    def _exec_host_key_file(self, uid: str) -> SecretFile:
        return SecretFile("exec_host_key", self._exec_host_key, uid)

    def _certificate_key_file(self, uid: str) -> SecretFile:
        return SecretFile("certificate_key", self._certificate_key, uid)

    def _api_key_file(self) -> SecretFile:
        return SecretFile("operator_api_key", self._secret("api-token", self.api_key), USER)

    def _secret(self, noun: str, value: pulumi.Output[str]) -> docker.Secret:
        return swarm_secret(f"{self._name}-{noun}", self._args.stack, value, self)

    def _volume(self, noun: str) -> docker.Volume:
        return stack_volume(f"{self._name}-{noun}", self._args.stack, noun, self, keep=True)
