"""The log plane: an agent on every host, and Logplex, which keeps and hands out each app's lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.platform_service import Mount, ServiceSpec, service_args
from components.volume import stack_volume

SYSLOG_PORT = 6514
HTTP_PORT = 8001
"""Both in the container."""
USER = "802"
"""The control plane image's user."""


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
    environment: dict[str, pulumi.Input[str]]
    constraints: Sequence[str] = ()


class Logplex(pulumi.ComponentResource):
    """Logplex, and the agents that read what dynos write."""

    def __init__(self, name: str, args: LogplexArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Logplex", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        plane = ServiceSpec(
            stack=args.stack,
            noun="logplex",
            image=args.image,
            args=["logplex"],
            network_id=args.network_id,
            environment=args.environment,
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
            # The engine's log files belong to root; its capabilities are dropped all the same.
            user="0",
            scratch=("/tmp", "/run"),  # noqa: S108 - private to the container
            memory_mib=128,
            everywhere=True,
        )
        docker.Service(f"{name}-agent", service_args(agent), opts=own)
        self.register_outputs({})
