"""The hosts as Ansible's inventory has them: for playbooks that are run by hand (``tools/stack_inventory.py``)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.fleet import Host
from providers.dynoform import ansible_run


def inventory(
    hosts: Sequence[Host], told: Sequence[Mapping[str, Mapping[str, Any]]], public_ports: Sequence[int]
) -> pulumi.Output[dict[str, Any]]:
    """All hosts, how they are reached and what the roles are told of them, in groups. A secret: keys are in it.

    ``told`` are, of each component with roles, host → variables; ``public_ports`` are those of the routers, which are
    open to everybody.
    """
    variables: dict[str, dict[str, Any]] = {}
    for host in hosts:
        others = [other.args.private_address for other in hosts if other is not host]
        open_to = {"host_hardening_public_ports": list(public_ports), "host_hardening_fleet_addresses": others}
        name = host.inventory.name
        own = {key: value for each in told for key, value in each.get(name, {}).items()}
        variables[name] = {**own, **open_to}
    described = {host.inventory.name: _host(host, variables[host.inventory.name], hosts[0]) for host in hosts}
    children: dict[str, Any] = {
        part: {"hosts": {name: {} for name in _names(hosts, part)}} for part in ("manager", "worker")
    }
    children["platform"] = {"hosts": {hosts[0].inventory.name: {}}}
    return pulumi.Output.secret(pulumi.Output.all(**described).apply(lambda found: _whole(found, children)))


def _whole(described: Mapping[str, Any], children: Mapping[str, Any]) -> dict[str, Any]:
    return {"all": {"hosts": dict(described), "children": dict(children)}}


def _host(host: Host, variables: Mapping[str, Any], first: Host) -> pulumi.Output[dict[str, Any]]:
    manager = "" if host is first else first.inventory.name
    found = {**host.swarm_variables(), **variables, "host_builds_images": host is first}
    asked = ("swarm_node_manager", "host_drain_manager", "host_removal_manager", "kernel_patching_manager")
    found |= dict.fromkeys(asked, manager)
    reached = pulumi.Output.from_input(host.inventory.inputs())
    return pulumi.Output.all(reached, found).apply(lambda both: {**_reached(both[0]), **both[1]})


def _reached(values: Mapping[str, Any]) -> dict[str, Any]:
    """Ansible's own variables; the address may be known only after a host is made."""
    return ansible_run.connection(ansible_run.Host(**values))


def _names(hosts: Sequence[Host], part: str) -> list[str]:
    return [host.inventory.name for host in hosts if host.args.role == part]
