"""The hosts: what exists, and the roles that make it a host of the platform."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.ansible import HostArgs as Inventory
from components.ansible import Playbook, PlaybookArgs

DOCKER_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class HostArgs:
    """Parameters of ``Host``.

    Parameters:
        inventory: its name, and how Ansible reaches it.
    """

    inventory: Inventory


class Host(pulumi.ComponentResource):
    """A host with a Docker engine that is a node of the swarm."""

    docker: docker.Provider
    """Provider for resources on this host's engine."""
    docker_root: pulumi.Output[str]
    """The engine's data directory."""
    docker_client: pulumi.Output[str]
    """Path of the docker client that speaks the engine's API version."""
    host_network_id: pulumi.Output[str]
    """Engine id of the predefined network ``host``."""
    base_image: pulumi.Output[str]
    """Name of the image that all others start from."""

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Host", name, None, opts)
        self.playbook = Playbook(
            f"{name}-roles",
            PlaybookArgs(playbook="playbooks/host.yml", host=args.inventory, variables={}),
            pulumi.ResourceOptions(parent=self),
        )
        self.inventory = args.inventory
        self.docker_root = self.playbook.fact("docker_root")
        self.docker_client = self.playbook.fact("docker_client")
        self.host_network_id = self.playbook.fact("host_network_id")
        self.base_image = self.playbook.fact("base_image")
        self.docker = docker.Provider(
            f"{name}-docker", host=DOCKER_HOST, opts=pulumi.ResourceOptions(parent=self, depends_on=[self.playbook])
        )
        self.register_outputs({"dockerRoot": self.docker_root, "hostNetworkId": self.host_network_id})


class Fleet(pulumi.ComponentResource):
    """All hosts of a stack: this machine."""

    hosts: list[Host]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Fleet", name, None, opts)
        local = Inventory(name="localhost", address="127.0.0.1", connection="local")
        self.hosts = [Host(f"{name}-localhost", HostArgs(local), pulumi.ResourceOptions(parent=self))]
        self.register_outputs({"hosts": [host.docker_root for host in self.hosts]})

    @property
    def manager(self) -> Host:
        """The host whose engine takes the platform's declarations."""
        return self.hosts[0]
