"""A fleet at Amazon EC2, as a stack's settings name it: zones, addresses, ports, all known before anything is made."""

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynoform.domain import host_settings
from dynoform.domain.data_services import FIRST_PORT, LAST_PORT
from dynoform.errors import InvalidInputError

DEFAULTS: Mapping[str, Any] = {
    "network": "10.20.0.0/16",
    "imageOwner": "136693071363",
    "imageName": "debian-13-amd64-*",
    "instanceTypes": ["t3.large", "t3a.large"],
    "disk": {},
    "keyFile": "",
    "knownHosts": "",
    "backupBucket": "",
    "backupPrefix": "",
    "loadBalancer": False,
    "launchTemplate": "",
}
"""The image is Debian's own: https://wiki.debian.org/Cloud/AmazonEC2Image"""
REQUIRED: Mapping[str, type] = {"region": str, "zones": list, "adminNetworks": list, "publicKey": str}
HOST_KEYS = ("instanceTypes", "disk", "launchTemplate")
"""What a host may have of its own."""
ZONE_BITS = 4
"""A network has sixteen subnets, one for each letter that a zone may end with."""
FIRST_ADDRESS = 10
"""The first ones of a subnet are AWS's (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html)."""
SSH_PORT, SWARM_PORT, GOSSIP_PORT = 22, 2377, 7946
DYNO_PORTS = (20000, 29999)
ANYWHERE = "0.0.0.0/0"
NAMES: Mapping[Any, str] = {str: "text", list: "a list", dict: "a map", bool: "true or false", type(None): "a setting"}
HINTS: Mapping[str, str] = {
    "region": "say where, such as eu-central-1",
    "zones": "name one or more, such as [eu-central-1a, eu-central-1b, eu-central-1c]",
    "adminNetworks": "name the networks from which SSH may come, such as [203.0.113.0/24]",
    "publicKey": "give the line of a file such as id_ed25519.pub",
}
_ZONE = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+[a-p]")


@dataclass(frozen=True)
class Ports:
    """What the hosts of a stack listen at.

    Parameters:
        public: of the routers, open to everybody.
        platform: first and last of the platform's own services.
        standby: first and last of the platform's PostgreSQL on several hosts; None for one server.
    """

    public: tuple[int, ...]
    platform: tuple[int, int]
    standby: tuple[int, int] | None = None


def check(ec2: Mapping[str, Any], hosts: Mapping[str, Any]) -> None:
    """Raises ``InvalidInputError`` naming the key when these cannot be a fleet at EC2. None of both is none."""
    if not ec2:
        return
    for key, value in ec2.items():
        kind = REQUIRED.get(key) or type(DEFAULTS.get(key))
        if key not in REQUIRED and key not in DEFAULTS:
            raise _wrong(f"ec2.{key}", "is not a setting", f"there are {', '.join(sorted({*REQUIRED, *DEFAULTS}))}")
        if type(value) is not kind:
            raise _wrong(f"ec2.{key}", f"is {value!r}", f"give {NAMES[kind]}")
    for key in REQUIRED:
        if not ec2.get(key):
            raise _wrong(f"ec2.{key}", "is missing", HINTS[key])
    _check_networks(ec2)
    for zone in ec2["zones"]:
        if not _ZONE.fullmatch(str(zone)) or not zone.startswith(ec2["region"]):
            raise _wrong("ec2.zones", f"has {zone!r}", f"give zones of {ec2['region']}, such as {ec2['region']}a")
    if not hosts:
        raise _wrong("hosts", "is empty, and ec2 is not", "name the hosts: {one: {zone: …, platform: true}}")
    for name, host in hosts.items():
        _check_host(ec2, hosts, name, host)


def _check_networks(ec2: Mapping[str, Any]) -> None:
    network = _network("ec2.network", _setting(ec2, "network"))
    if not 16 <= network.prefixlen <= 20:
        raise _wrong("ec2.network", f"is {network}", "use one of /16 to /20")
    for text in ec2["adminNetworks"]:
        if _network("ec2.adminNetworks", text).prefixlen == 0:
            raise _wrong("ec2.adminNetworks", "is everybody", "name the networks that SSH comes from")


def _check_host(ec2: Mapping[str, Any], hosts: Mapping[str, Any], name: str, host: Any) -> None:
    if not isinstance(host, Mapping):
        raise _wrong(f"hosts.{name}", f"is {host!r}", "give a map, such as {platform: true}")
    if "address" in host:
        raise _wrong(f"hosts.{name}", "has an address, and EC2 gives it one", "leave address out")
    zone = host.get("zone", "")
    if not zone and len(ec2["zones"]) > 1:
        # Chosen here it would be another one when a host before it goes, and the host would be replaced.
        counts = {each: sum(other.get("zone") == each for other in hosts.values()) for each in ec2["zones"]}
        emptiest = min(counts, key=lambda each: counts[each])
        raise _wrong(f"hosts.{name}", "has no zone", f"give it zone: {emptiest}, which has the fewest")
    if zone and zone not in ec2["zones"]:
        raise _wrong(f"hosts.{name}", f"is in the zone {zone!r}", f"use one of {', '.join(ec2['zones'])}")
    private = host.get("privateAddress")
    if private and ipaddress.IPv4Address(private) not in ipaddress.IPv4Network(subnet(ec2, zone or ec2["zones"][0])):
        raise _wrong(f"hosts.{name}", f"has the address {private}", f"its zone has {subnet(ec2, zone)}")


def subnets(ec2: Mapping[str, Any]) -> dict[str, str]:
    """Zone → IPv4 network of its subnet, which does not change when other zones come or go."""
    return {zone: subnet(ec2, zone) for zone in ec2["zones"]}


def subnet(ec2: Mapping[str, Any], zone: str) -> str:
    """A zone's part of the network: the one of its letter."""
    network = ipaddress.IPv4Network(_setting(ec2, "network"))
    return str(list(network.subnets(prefixlen_diff=ZONE_BITS))[ord(zone[-1]) - ord("a")])


def addressed(ec2: Mapping[str, Any], hosts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The hosts as those of ``host_settings``, each with the private address that it will have.

    An address follows from the host's name: it is the same whichever other hosts there are.
    """
    if not ec2:
        return {name: dict(host) for name, host in hosts.items()}
    return {name: _addressed(ec2, name, host) for name, host in hosts.items()}


def _addressed(ec2: Mapping[str, Any], name: str, host: Mapping[str, Any]) -> dict[str, Any]:
    zone = host.get("zone") or ec2["zones"][0]
    network = ipaddress.IPv4Network(subnet(ec2, zone))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % (network.num_addresses - FIRST_ADDRESS - 1)
    private = host.get("privateAddress") or str(network[FIRST_ADDRESS + number])
    reached = {key: _setting(ec2, key) for key in ("keyFile", "knownHosts") if _setting(ec2, key)}
    own = {key: value for key, value in host.items() if key not in HOST_KEYS}
    return {"address": private, **reached, **own, "privateAddress": private, "zone": zone}


def instance(ec2: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """Instance types, disk, launch template and image of a host: its own, or those of all."""
    found = {key: host.get(key, _setting(ec2, key)) for key in HOST_KEYS}
    return {**found, "imageOwner": _setting(ec2, "imageOwner"), "imageName": _setting(ec2, "imageName")}


def groups(ec2: Mapping[str, Any], ports: Ports) -> dict[str, list[dict[str, Any]]]:
    """Security groups, one for each part that a host may have, with the traffic that this part needs and no other."""
    balanced = bool(_setting(ec2, "loadBalancer"))
    found = {
        "host": [
            *(_rule("tcp", SSH_PORT, SSH_PORT, network) for network in ec2["adminNetworks"]),
            _rule("tcp", GOSSIP_PORT, GOSSIP_PORT, "group:host"),
            _rule("udp", GOSSIP_PORT, GOSSIP_PORT, "group:host"),
            _rule("tcp", *DYNO_PORTS, "group:host"),
            _rule("tcp", FIRST_PORT, LAST_PORT, "group:host"),
            *([_rule("tcp", *ports.standby, "group:host")] if ports.standby else []),
        ],
        "manager": [_rule("tcp", SWARM_PORT, SWARM_PORT, "group:host")],
        "platform": [_rule("tcp", *ports.platform, "group:host")],
        "router": [_rule("tcp", port, port, "group:balancer" if balanced else ANYWHERE) for port in ports.public],
    }
    if balanced:
        found["balancer"] = [_rule("tcp", port, port, ANYWHERE) for port in ports.public]
    return found


def groups_of(host: Mapping[str, Any], *, platform: bool) -> list[str]:
    """Security groups of a host: every host has dynos and a router."""
    found = ["host", "router"]
    found += ["manager"] if host_settings.role(host) == "manager" else []
    return found + (["platform"] if platform else [])


def user_data(name: str) -> str:
    """All that a host is told before the roles come: its name, and that root may log in, with the key only."""
    return f"#cloud-config\nhostname: {name}\ndisable_root: false\nssh_pwauth: false\n"


def _rule(protocol: str, first: int, last: int, source: str) -> dict[str, Any]:
    return {"protocol": protocol, "fromPort": first, "toPort": last, "source": source}


def _setting(ec2: Mapping[str, Any], key: str) -> Any:
    return ec2.get(key, DEFAULTS.get(key))


def _network(key: str, text: Any) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError:
        raise _wrong(key, f"has {text!r}, which is no IPv4 network", "use one such as 203.0.113.0/24") from None


def _wrong(key: str, why: str, next_step: str) -> InvalidInputError:
    return InvalidInputError(key, why, next_step)
