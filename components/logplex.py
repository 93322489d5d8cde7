"""The log plane: an agent on every host, and Logplex, which keeps and hands out each app's lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.credentials import Certificate, CertificateArgs, CertificateAuthority
from components.platform_service import Mount, SecretFile, ServiceSpec, service_args
from components.secret import swarm_secret
from components.volume import stack_volume

SYSLOG_PORT = 6514
HTTP_PORT = 8001
"""Both in the container."""
USER = "802"
"""The control plane image's user."""
NAME = "logplex"
"""What its certificate is for, wherever it runs."""
AGENT_USER = "0"
"""The engine's log files belong to root; its capabilities are dropped all the same."""
LINES = "/var/lib/dynoform/lines"
AUTHORITY_FILE = "logplex-ca.crt"
AUTHORITY = f"/run/secrets/{AUTHORITY_FILE}"
"""Where all that send lines have the certificate of the log plane's authority."""


@dataclass(frozen=True)
class LogplexArgs:
    """Parameters of ``Logplex``.

    Parameters:
        stack: name of the stack.
        image: the control plane's image with tag.
        agent_image: the log agent's image with tag.
        syslog_port, http_port: where they are published.
        network_id: engine id of the platform's bridge.
        host_network_id: engine id of the network ``host``.
        docker_root: the engine's data directory on the hosts.
        address: the platform address, where it is reached.
        authority: signs its certificate, and nothing else.
        authority_secret: that authority's certificate as a Swarm secret.
        readers_secret: the certificate of the authority that signs for those who read lines, as a Swarm secret.
        environment: settings that all processes of the platform share.
        constraints: what the host has to be that Logplex runs on; none for any.
    """

    stack: str
    image: pulumi.Input[str]
    agent_image: pulumi.Input[str]
    syslog_port: int
    http_port: int
    network_id: pulumi.Input[str]
    host_network_id: pulumi.Input[str]
    docker_root: pulumi.Input[str]
    address: str
    authority: CertificateAuthority
    authority_secret: docker.Secret
    readers_secret: docker.Secret
    environment: dict[str, pulumi.Input[str]]
    constraints: Sequence[str] = ()


class Logplex(pulumi.ComponentResource):
    """Logplex, and the agents that read what dynos write."""

    def __init__(self, name: str, args: LogplexArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Logplex", name, None, opts)
        self._name, self._args = name, args
        own = pulumi.ResourceOptions(parent=self)
        trust = SecretFile("ca.crt", args.readers_secret, USER)
        lines = stack_volume(f"{name}-lines", args.stack, "lines", self, keep=True)
        plane = ServiceSpec(
            stack=args.stack,
            noun="logplex",
            image=args.image,
            args=["logplex"],
            network_id=args.network_id,
            environment={**args.environment, "DYNOFORM_LINES": LINES},
            secrets=[trust, *self._certificate()],
            mounts=[Mount(lines.name, LINES)],
            ports={SYSLOG_PORT: args.syslog_port, HTTP_PORT: args.http_port},
            user=USER,
            memory_mib=192,
            constraints=args.constraints,
        )
        self.service = docker.Service(f"{name}-service", service_args(plane), opts=own)
        state = stack_volume(f"{name}-agent-state", args.stack, "log-agent", self)
        agent = ServiceSpec(
            stack=args.stack,
            noun="log-agent",
            image=args.agent_image,
            network_id=args.host_network_id,
            environment=args.environment,
            mounts=[
                Mount(
                    pulumi.Output.concat(args.docker_root, "/containers"),
                    "/var/lib/docker/containers",
                    bind=True,
                    follows=True,
                    read_only=True,
                ),
                Mount(state.name, "/var/spool/rsyslog"),
            ],
            secrets=[SecretFile(AUTHORITY_FILE, args.authority_secret, AGENT_USER)],
            user=AGENT_USER,
            scratch=("/tmp", "/run"),  # noqa: S108 - private to the container
            memory_mib=128,
            everywhere=True,
        )
        docker.Service(f"{name}-agent", service_args(agent), opts=own)
        self.register_outputs({})

    def _certificate(self) -> list[SecretFile]:
        args = self._args
        certificate = Certificate(
            f"{self._name}-certificate",
            CertificateArgs(
                common_name=NAME,
                dns_names=[NAME],
                ip_addresses=[args.address],
                ca_cert_pem=args.authority.cert_pem,
                ca_key_pem=args.authority.key_pem,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return [
            SecretFile("logplex.crt", self._secret("crt", certificate.cert_pem), USER),
            SecretFile("logplex.key", self._secret("key", certificate.key_pem), USER),
        ]

    def _secret(self, noun: str, value: pulumi.Output[str]) -> docker.Secret:
        return swarm_secret(f"{self._name}-{noun}", self._args.stack, value, self)
