"""Hosts of a stack as the engine describes their nodes: what playbooks have written into labels."""

from collections.abc import Mapping
from typing import Any

from dynoform.domain.data_hosts import DataHost
from dynoform.domain.placement import COMMON, Host

DRAINING = "dynoform.draining"
"""Label, ``true`` on nodes whose dynos are to leave, of whichever stack: new ones elsewhere first."""
_SILENT = frozenset({"down", "disconnected"})


def labels(node: Mapping[str, Any], stack: str) -> Mapping[str, str]:
    """What the stack's labels of a node say, without the stack's part of their names; empty of a host of others."""
    prefix = f"dynoform.{stack}."
    found: Mapping[str, str] = node["Spec"].get("Labels") or {}
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def address(node: Mapping[str, Any], stack: str) -> str | None:
    """Where dynos publish their ports; None of a node that is no host of the stack."""
    return labels(node, stack).get("dyno-address")


def host(node: Mapping[str, Any], stack: str) -> Host:
    """The host that a node of the stack is."""
    spec, description, own = node["Spec"], node["Description"], labels(node, stack)
    availability = spec.get("Availability", "active")
    return Host(
        id=node["ID"],
        name=description["Hostname"],
        memory_bytes=int(description["Resources"]["MemoryBytes"]),
        zone=own.get("zone", ""),
        runtime=own.get("runtime", COMMON),
        ready=node["Status"]["State"] not in _SILENT,
        # After a change of leader, until it reports: no reason by itself to move anything (see reconcile/hearing.py).
        unknown=node["Status"]["State"] == "unknown",
        emptied=availability == "drain",
        open=availability == "active",
        draining=_is_draining(spec),
    )


def data_host(node: Mapping[str, Any], stack: str) -> DataHost:
    """The same host, as far as databases may be on it."""
    spec, own = node["Spec"], labels(node, stack)
    return DataHost(
        name=str(node["Description"]["Hostname"]),
        address=own.get("dyno-address", ""),
        zone=own.get("zone", ""),
        platform=own.get("platform") == "true",
        marked=own.get("data") == "true",
        ready=(node.get("Status") or {}).get("State") == "ready" and spec.get("Availability") == "active",
        draining=_is_draining(spec) and spec.get("Availability") != "drain",
    )


def _is_draining(spec: Mapping[str, Any]) -> bool:
    return (spec.get("Labels") or {}).get(DRAINING) == "true"
