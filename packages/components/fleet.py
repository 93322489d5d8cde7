"""Hosts with engines that are one swarm: machines that SSH reaches."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi

from components import fleet
from components.settings import machines
from dynoform.domain import host_settings
from dynoform.errors import InvalidInputError


class HostArgs(TypedDict):
    """A host, as in the stack's setting ``hosts``."""

    address: str
    """Where SSH reaches it."""
    private_address: NotRequired[str]
    """IPv4 address for the other hosts; ``address`` when it is not said."""
    user: NotRequired[str]
    """Who logs in; root when it is not said."""
    port: NotRequired[int]
    """SSH's port; 22 when it is not said."""
    key_file: NotRequired[str]
    """Path of the private key; SSH finds one by itself when it is not said."""
    known_hosts: NotRequired[str]
    """Path of the file with its host key; the user's own when it is not said."""
    jump: NotRequired[str]
    """``user@host:port`` to go through."""
    role: NotRequired[str]
    """``manager`` or ``worker``; a manager when it is not said."""
    zone: NotRequired[str]
    """What fails together with it."""
    platform: NotRequired[bool]
    """True for the one that makes the swarm."""


class FleetArgs(TypedDict):
    """What is declared of a fleet."""

    hosts: dict[str, HostArgs]
    """Host by name. Managers are an odd number."""


class Fleet(pulumi.ComponentResource):
    """Hosts with a Docker engine each, nodes of one swarm, made so by roles of Ansible over SSH."""

    docker_host: pulumi.Output[str]
    """Where a provider of Docker finds the swarm's engine: ``ssh://user@address:port``."""
    ssh_opts: pulumi.Output[list[str]]
    """Words for SSH, as that provider takes them."""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform-components:index:Fleet", name, {}, opts)
        # Maps come in any order, another one each time.
        hosts = {each: _settings(host) for each, host in sorted(args["hosts"].items())}
        try:
            host_settings.check(hosts)
        except InvalidInputError as error:
            raise pulumi.RunError(f"fleet {name}: {error}") from error
        made = fleet.Fleet(name, machines(hosts), pulumi.ResourceOptions(parent=self))
        first = hosts[host_settings.platform_host(hosts)]
        # Once it is a host of the swarm, and not before.
        ready = made.manager.docker_root
        self.docker_host = ready.apply(lambda _: host_settings.ssh_address(first))
        self.ssh_opts = ready.apply(lambda _: host_settings.ssh_options(first))
        self.register_outputs({"dockerHost": self.docker_host, "sshOpts": self.ssh_opts})


_NAMES = {"private_address": "privateAddress", "key_file": "keyFile", "known_hosts": "knownHosts"}


def _settings(host: Mapping[str, Any]) -> dict[str, Any]:
    """A host as the setting has it; numbers come as the engine has them."""
    found = {_NAMES.get(key, key): value for key, value in host.items() if value is not None}
    return found | ({"port": int(found["port"])} if "port" in found else {})
