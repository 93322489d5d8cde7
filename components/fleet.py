"""The hosts: what exists, and the roles that make it a host of the platform."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.ansible import HostArgs as Inventory
from components.ansible import Playbook, PlaybookArgs
from dynoform.domain import host_settings
from dynoform.domain.placement import COMMON

DOCKER_HOST = "unix:///var/run/docker.sock"
SWARM_PORT = 2377


@dataclass(frozen=True)
class HostArgs:
    """Parameters of ``Host``.

    Parameters:
        inventory: its name, and how Ansible reaches it.
        private_address: IPv4 address by which the fleet's other hosts reach it; empty for a single host.
        role: what it joins the swarm as, ``manager`` or ``worker``.
        zone: what fails together with it.
        runtime: whose dynos it runs.
        builder: whether apps are built on it.
        data: whether standbys of databases, replicas of Redises and brokers of Kafkas may be on it.
        joins: the host whose swarm it joins; None for the one that makes the swarm.
    """

    inventory: Inventory
    private_address: str = ""
    role: str = "manager"
    zone: str = ""
    runtime: str = COMMON
    builder: bool = False
    data: bool = False
    joins: "Host | None" = None


class Host(pulumi.ComponentResource):
    """A host with a Docker engine that is a node of the swarm."""

    playbook: Playbook
    """The run that made it a host."""
    docker: docker.Provider
    """Provider for resources on this host's engine; only of a host that joined no other."""
    docker_root: pulumi.Output[str]
    """The engine's data directory."""
    docker_client: pulumi.Output[str]
    """Path of the docker client that speaks the engine's API version."""
    host_network_id: pulumi.Output[str]
    """Engine id of the predefined network ``host``."""
    base_image: pulumi.Output[str]
    """Name of the image that all others start from; empty where none are built."""

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Host", name, None, opts)
        self.args, self.inventory = args, args.inventory
        self.beside = [args.joins.inventory] if args.joins else []
        self.playbook = Playbook(
            f"{name}-roles",
            PlaybookArgs(
                playbook="playbooks/host.yml", host=args.inventory, variables=self.swarm_variables(), beside=self.beside
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[args.joins.playbook] if args.joins else []),
        )
        self.docker_root = self.playbook.fact("docker_root")
        self.docker_client = self.playbook.fact("docker_client")
        self.host_network_id = self.playbook.fact("host_network_id")
        self.base_image = self.playbook.fact("base_image")
        if args.joins is None:
            self.docker = docker.Provider(
                f"{name}-docker",
                **_engine(args.inventory),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.playbook]),
            )
        self.register_outputs({"dockerRoot": self.docker_root, "hostNetworkId": self.host_network_id})

    def swarm_variables(self) -> dict[str, Any]:
        """What the role swarm_node has to know of a host of a fleet; nothing for a single one."""
        private = self.args.private_address
        if not private:
            return {}
        found = {"swarm_node_advertise_address": private, "swarm_node_listen_address": f"{private}:{SWARM_PORT}"}
        if self.args.joins is not None:
            found["swarm_node_role"] = self.args.role
            found["swarm_node_manager"] = self.args.joins.inventory.name
            found["swarm_node_join_address"] = f"{self.args.joins.args.private_address}:{SWARM_PORT}"
        return found


@dataclass(frozen=True)
class MachineArgs:
    """A host that is reached by SSH.

    Parameters:
        inventory: its name, and how SSH reaches it.
        private_address: IPv4 address by which the others reach it.
        role: ``manager`` or ``worker``.
        zone, runtime, builder, data: see ``HostArgs``.
    """

    inventory: Inventory
    private_address: str
    role: str = "manager"
    zone: str = ""
    runtime: str = COMMON
    builder: bool = False
    data: bool = False


class Fleet(pulumi.ComponentResource):
    """All hosts of a stack: machines that are reached by SSH, or else this machine."""

    hosts: list[Host]

    def __init__(
        self, name: str, machines: Sequence[MachineArgs] = (), opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """The first of ``machines`` makes the swarm, and has the platform's own services and data."""
        super().__init__("dynoform:index:Fleet", name, None, opts)
        self._name, self.hosts = name, []
        local = HostArgs(Inventory(name="localhost", address="127.0.0.1", connection="local"))
        for machine in machines:
            self._add(
                HostArgs(
                    machine.inventory,
                    machine.private_address,
                    machine.role,
                    machine.zone,
                    machine.runtime,
                    machine.builder,
                    machine.data,
                    joins=self.hosts[0] if self.hosts else None,
                )
            )
        if not machines:
            self._add(local)
        self.register_outputs({"hosts": [host.docker_root for host in self.hosts]})

    def _add(self, args: HostArgs) -> None:
        name = f"{self._name}-{args.inventory.name}"
        self.hosts.append(Host(name, args, pulumi.ResourceOptions(parent=self)))

    @property
    def manager(self) -> Host:
        """The host whose engine takes the platform's declarations."""
        return self.hosts[0]

    def of(self, runtime: str) -> list[Host]:
        """The hosts of a runtime."""
        return [host for host in self.hosts if host.args.runtime == runtime]

    @property
    def private_runtimes(self) -> list[str]:
        """Runtimes with apps of their own, besides the common one."""
        return sorted({host.args.runtime for host in self.hosts} - {COMMON})

    @property
    def has_builders(self) -> bool:
        """Whether it is said where apps are built."""
        return any(host.args.builder for host in self.hosts)

    @property
    def has_data_hosts(self) -> bool:
        """Whether a host besides the platform's may have standbys, replicas and brokers of add-ons."""
        return any(host.args.data for host in self.hosts[1:])

    @property
    def spread(self) -> bool:
        """Whether there is more than one host."""
        return len(self.hosts) > 1


def _engine(inventory: Inventory) -> dict[str, Any]:
    """Where the docker provider finds the engine, and how SSH gets there."""
    if inventory.connection == "local":
        return {"host": DOCKER_HOST}
    host = {
        "user": inventory.user,
        "port": inventory.port,
        "keyFile": inventory.key_file,
        "knownHosts": inventory.known_hosts,
        "jump": inventory.jump,
    }
    # The address may be known only after the host is made.
    address = pulumi.Output.from_input(inventory.address)
    return {
        "host": address.apply(lambda known: host_settings.ssh_address({**host, "address": known})),
        "ssh_opts": host_settings.ssh_options(host),
    }
