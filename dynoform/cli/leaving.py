"""Whether what a stack's settings leave out can go, asked of the engine before `up` changes anything."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from docker.errors import APIError

from dynoform.cli import contents
from dynoform.cli.engine import ADDON, connect
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack
from dynoform.domain import dyno_names, ec2_settings, host_settings, leaving, swarm_nodes
from dynoform.domain.dyno_container import APP_LABEL, DYNO_ID_LABEL, DYNO_LABEL, SIZE_LABEL
from dynoform.domain.leaving import Member
from dynoform.domain.placement import Placed
from dynoform.errors import ConflictError

NODE, HOST = "node.id==", "node.hostname=="


def check(stack: Stack, known: StackSettings) -> None:
    """Raises `ConflictError` when a host is left out that the stack cannot do without, or the store's standby.

    While the engine does not answer nobody is asked: a drain that cannot end says so itself.
    """
    if not known.hosts:
        return
    hosts = ec2_settings.addressed(known.values["ec2"] or {}, known.hosts)
    declared = {host_settings.private_address(host): host_settings.runtime(host) for host in hosts.values()}
    platform = host_settings.private_address(hosts[host_settings.platform_host(hosts)])
    with connect(stack) as engine:
        if engine is None:
            return
        try:
            nodes = engine.client.api.nodes()
        except APIError:
            return  # it is in no swarm, or no manager of one
        services = engine.services()
        if not known.text("storeStandby") and contents.has_standby(engine, stack.name):
            why = "is left out, and one server of the two may not have all that the other one has"
            raise ConflictError(
                "storeStandby", why, f"put the hosts back: set dynoform:storeStandby in {known.file.name}"
            )
        leaving.check(list(_members(nodes, stack.name, services)), list(_placed(services)), declared, platform)


def _members(nodes: list[dict[str, Any]], stack: str, services: list[dict[str, Any]]) -> Iterator[Member]:
    for node in nodes:
        address = swarm_nodes.address(node, stack)
        if address is not None:
            has_data, host = swarm_nodes.labels(node, stack).get("platform") == "true", swarm_nodes.host(node, stack)
            yield Member(host, address, has_data, tuple(databases(services, host.name)))


def databases(services: list[dict[str, Any]], host: str) -> set[str]:
    """The add-ons that have a part on a host by its name alone, as those have that are on several."""
    pinned = [each for each in services if f"{HOST}{host}" in _constraints(each)]
    return {labels[ADDON] for each in pinned if ADDON in (labels := each["Spec"].get("Labels") or {})}


def _constraints(service: Mapping[str, Any]) -> list[str]:
    return list((service["Spec"]["TaskTemplate"].get("Placement") or {}).get("Constraints") or ())


def _placed(services: list[dict[str, Any]]) -> Iterator[Placed]:
    for service in services:
        labels: Mapping[str, str] = service["Spec"].get("Labels") or {}
        node = next((each for each in _constraints(service) if each.startswith(NODE)), "")
        if DYNO_ID_LABEL in labels and node:
            group = uuid.UUID(labels[APP_LABEL]), dyno_names.parse(labels[DYNO_LABEL])[0]
            yield Placed(uuid.UUID(labels[DYNO_ID_LABEL]), group, labels[SIZE_LABEL], node.removeprefix(NODE))
