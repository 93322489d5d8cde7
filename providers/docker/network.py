"""``docker:index/network:Network``."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import docker.types

from .compact import compact, label_map, label_set
from .engine import Engine
from .errors import EngineError, MissingError, OperationError
from .operation import Operation
from .properties import Property, block, block_set, boolean, labels, mapping, string
from .resource import Found, Resource, Values

VXLAN_IDS: Final = "com.docker.network.driver.overlay.vxlanid_list"
"""An option that the engine adds to every overlay network."""

RELEASE_SECONDS: Final = 30.0
"""How long the last containers of a service may hold their network after the service is gone."""

SCHEMA: Final = block(
    {
        "attachable": boolean(replaces=True),
        "driver": string(replaces=True, computed=True),
        "ingress": boolean(replaces=True),
        "internal": boolean(replaces=True, computed=True),
        "ipamConfigs": block_set(
            {"auxAddress": mapping(), "gateway": string(), "ipRange": string(), "subnet": string()},
            replaces=True,
            computed=True,
        ),
        "ipamDriver": string(replaces=True, default="default"),
        "ipamOptions": mapping(replaces=True),
        "ipv6": boolean(replaces=True),
        "labels": labels(replaces=True),
        "name": string(replaces=True, computed=True),
        "options": mapping(replaces=True, computed=True),
        "scope": string(output=True),
    }
)


class Network(Resource):
    """A Docker network. Every change makes a new one."""

    token: ClassVar[str] = "docker:index/network:Network"  # noqa: S105 - a type's name
    schema: ClassVar[Property] = SCHEMA

    def adapted(self, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without the address ranges and options that the engine chose itself."""
        return {
            **state,
            "options": _own_options(state.get("options") or {}, inputs.get("options")),
            "ipamConfigs": _own_ranges(state.get("ipamConfigs") or [], inputs.get("ipamConfigs")),
        }

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Makes it; a second of its name is refused."""
        try:
            with engine.api() as client:
                made = client.create_network(
                    inputs["name"],
                    driver=inputs.get("driver"),
                    options=inputs.get("options"),
                    ipam=_ipam(inputs),
                    check_duplicate=True,
                    internal=bool(inputs.get("internal")),
                    labels=label_map(inputs.get("labels")),
                    enable_ipv6=bool(inputs.get("ipv6")),
                    attachable=inputs.get("attachable"),
                    ingress=inputs.get("ingress"),
                )
        except EngineError as error:
            raise OperationError(f"Unable to create network: {error}") from error
        found = self.read(operation, engine, made["Id"], inputs)
        if found is None:
            raise OperationError(f"Unable to create network: {inputs['name']} vanished as soon as it was made")
        return found

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """By id, or by name for an import; then the name stays the id."""
        try:
            with engine.api() as client:
                return Found(identifier, network_state(client.inspect_network(identifier)))
        except MissingError:
            return None

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Waits a little for containers that are just ending."""
        problem: EngineError | None = None
        for _ in operation.attempts(RELEASE_SECONDS):
            try:
                with engine.api() as client:
                    client.remove_network(identifier)
                return
            except MissingError:
                return
            except EngineError as error:
                problem = error
                if not re.search(r"in use by task|active endpoints", str(error)):
                    break
        raise OperationError(f"Unable to delete network: {problem}")


def network_state(found: Mapping[str, Any]) -> Values:
    """Outputs for the engine's answer about a network."""
    ipam = found.get("IPAM") or {}
    return {
        "attachable": found.get("Attachable", False),
        "driver": found.get("Driver"),
        "ingress": found.get("Ingress", False),
        "internal": found.get("Internal", False),
        "ipamConfigs": [
            {
                "subnet": each.get("Subnet", ""),
                "gateway": each.get("Gateway", ""),
                "ipRange": each.get("IPRange", ""),
                "auxAddress": each.get("AuxiliaryAddresses") or each.get("AuxAddress") or {},
            }
            for each in ipam.get("Config") or ()
        ],
        "ipamDriver": ipam.get("Driver", "default"),
        "ipamOptions": ipam.get("Options") or None,
        "ipv6": found.get("EnableIPv6", False),
        "labels": label_set(found.get("Labels")),
        "name": found.get("Name"),
        "options": found.get("Options") or {},
        "scope": found.get("Scope"),
    }


def _ipam(inputs: Mapping[str, Any]) -> Any:
    pools = [
        compact(
            {
                "Subnet": each.get("subnet"),
                "IPRange": each.get("ipRange"),
                "Gateway": each.get("gateway"),
                "AuxiliaryAddresses": each.get("auxAddress"),
            }
        )
        for each in inputs.get("ipamConfigs") or ()
    ]
    return docker.types.IPAMConfig(
        driver=inputs.get("ipamDriver") or "default", pool_configs=pools, options=inputs.get("ipamOptions")
    )


def _own_options(state: Mapping[str, str], inputs: Any) -> Mapping[str, str]:
    wanted = inputs if isinstance(inputs, Mapping) else {}
    return {name: value for name, value in state.items() if name != VXLAN_IDS or name in wanted}


def _own_ranges(state: list[Any], inputs: Any) -> list[Any]:
    """What a program leaves open in a subnet is the engine's to fill in, as is an IPv4 range beside an IPv6 one."""
    wanted = (
        {each.get("subnet"): each for each in inputs if isinstance(each, Mapping)} if isinstance(inputs, list) else {}
    )
    if not wanted:
        return state
    only_ipv6 = all(_version(subnet) == 6 for subnet in wanted)
    ranges = []
    for each in state:
        own = wanted.get(each.get("subnet"))
        if own is not None:
            each = {name: value for name, value in each.items() if name in own}
        elif only_ipv6 and _version(each.get("subnet")) == 4:
            continue
        ranges.append(each)
    return ranges


def _version(subnet: Any) -> int | None:
    try:
        return ipaddress.ip_network(subnet, strict=False).version
    except ValueError:
        return None
