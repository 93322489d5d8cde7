"""The hosts of a stack, as its settings name them: what may be said of each, and what they have to be together."""

import ipaddress
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dynoform.domain.placement import COMMON
from dynoform.errors import InvalidInputError

ROLES = ("manager", "worker")
TEXTS = ("address", "privateAddress", "user", "keyFile", "knownHosts", "jump", "role", "zone", "runtime")
FLAGS = ("platform", "builder", "data")
KEYS = (*TEXTS, *FLAGS, "port")
SSH_SECONDS = 10
"""How long SSH may take to get in."""
SSH_ALIVE_SECONDS = 5
"""How long a connection may be silent before SSH asks whether the host is still there."""
_TOGETHER = 2
"""Hosts that are needed for one to take over from another."""
_STANDBY_HOSTS = 2
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def check(hosts: Mapping[str, Any]) -> None:
    """Raises ``InvalidInputError`` naming the host and the key when these cannot be the hosts of a stack.

    None at all is this machine. Of several one has the platform's own services and data; the managers among them are an
    odd number, since two agree on nothing when one is lost (https://docs.docker.com/engine/swarm/admin_guide/).
    """
    for name, host in hosts.items():
        _check_host(name, host)
    if not hosts:
        return
    marked = [name for name, host in hosts.items() if host.get("platform")]
    if len(hosts) > 1 and len(marked) != 1:
        raise _wrong("", f"{len(marked)} have the platform's services", "set platform: true for one of them")
    first = platform_host(hosts)
    if role(hosts[first]) != "manager":
        raise _wrong(first, "has the platform's services and is a worker", "make it a manager")
    if runtime(hosts[first]) != COMMON:
        raise _wrong(first, "has the platform's services and a runtime of its own", "leave its runtime out")
    managers = [name for name, host in hosts.items() if role(host) == "manager"]
    if len(managers) % 2 == 0:
        why = f"{len(managers)} are managers ({', '.join(managers)}), of which none may be lost more than of one less"
        raise _wrong("", why, "make it an odd number")
    for name, host in hosts.items():
        # Builds are on the network of the common runtime's dynos.
        if host.get("builder") and runtime(host) != COMMON:
            raise _wrong(name, "has builders and a runtime of its own", "leave one of the two out")
        # So are databases, which dynos of the common runtime have to reach.
        if host.get("data") and runtime(host) != COMMON:
            raise _wrong(name, "has databases and a runtime of its own", "leave one of the two out")
    known: dict[str, str] = {}
    for name, host in hosts.items():
        if (other := known.setdefault(private_address(host), name)) != name:
            raise _wrong(name, f"has the private address of {other}", "give each its own")


def role(host: Mapping[str, Any]) -> str:
    """Its part in the swarm: a manager unless it is said to be a worker."""
    return str(host.get("role", "manager"))


def private_address(host: Mapping[str, Any]) -> str:
    """Where the other hosts reach it."""
    return str(host.get("privateAddress") or host["address"])


def runtime(host: Mapping[str, Any]) -> str:
    """Whose dynos it runs: those of a space, or all others."""
    return str(host.get("runtime") or COMMON)


def platform_host(hosts: Mapping[str, Any]) -> str:
    """Name of the host that has the platform's own services and data."""
    return next((name for name, host in hosts.items() if host.get("platform")), next(iter(hosts)))


def ssh_address(host: Mapping[str, Any]) -> str:
    """Where SSH gets in: ``ssh://user@address:port``."""
    return f"ssh://{host.get('user') or 'root'}@{host['address']}:{host.get('port') or 22}"


def ssh_options(host: Mapping[str, Any]) -> list[str]:
    """Words for ``ssh``: never a question, and never a host whose key is not the one that was seen before."""
    known = str(host.get("knownHosts") or "")
    options = ["BatchMode=yes", f"ConnectTimeout={SSH_SECONDS}", f"ServerAliveInterval={SSH_ALIVE_SECONDS}"]
    options += [f"StrictHostKeyChecking={'yes' if known else 'accept-new'}"]
    options += [f"UserKnownHostsFile={known}"] if known else []
    options += [f"IdentityFile={host['keyFile']}"] if host.get("keyFile") else []
    options += [f"ProxyCommand={_through(host['jump'], options)}"] if host.get("jump") else []
    return _worded(options)


def _through(jump: str, options: Sequence[str]) -> str:
    """The command that goes through ``user@host:port`` with the same key and the same known keys.

    SSH's own ProxyJump would go by the user's settings alone; the last of several is the one that the host is behind.
    """
    *others, door = jump.split(",")
    before = ["-J", ",".join(others)] if others else []
    return shlex.join(["ssh", *_worded(options), *before, "-W", "[%h]:%p", f"ssh://{door}"])


def _worded(options: Sequence[str]) -> list[str]:
    return [word for option in options for word in ("-o", option)]


def check_reach(hosts: Mapping[str, Any], domain: str, listen_address: str) -> None:
    """Raises ``InvalidInputError`` naming the setting when nobody outside the hosts could reach what they serve."""
    if not hosts:
        return
    if domain == "localhost" or domain.endswith(".localhost"):
        why = f"{domain} is each machine itself, and the stack has hosts of its own"
        raise InvalidInputError("domain", why, "give one whose names lead to the hosts, such as apps.example.com")
    if ipaddress.ip_address(listen_address).is_loopback:
        why = f"{listen_address} is reached by each host alone, and the stack has hosts of its own"
        raise InvalidInputError("listenAddress", why, "give 0.0.0.0")


def router_addresses(value: str, hosts: Mapping[str, Any]) -> tuple[str, ...]:
    """The addresses that one of the hosts is to have for its router, of what the operator wrote.

    Raises ``InvalidInputError`` naming the setting for what is no such address, or nobody can take over.
    """
    addresses = tuple(each.strip() for each in value.split(",") if each.strip())
    own = {host.get(key) for host in hosts.values() for key in ("address", "privateAddress")}
    for each in addresses:
        try:
            ipaddress.IPv4Address(each)
        except ValueError:
            why = f"{each!r} is no IPv4 address"
            raise InvalidInputError("routerAddresses", why, "give one that no host has yet") from None
        if each in own:
            raise InvalidInputError("routerAddresses", f"{each} is a host's own", "give one that no host has yet")
    if addresses and len(hosts) < _TOGETHER:
        why = f"{len(hosts)} hosts are declared, and one has to take over from another"
        raise InvalidInputError("routerAddresses", why, "declare two or more, or leave it empty")
    return addresses


def store_standby(value: str, hosts: Mapping[str, Any]) -> tuple[str, ...]:
    """The hosts that the platform's own PostgreSQL has besides the platform's, of what the operator wrote.

    The first has the standby, and the second a third vote: with it, any one of the three hosts may be lost.

    Raises ``InvalidInputError`` naming the setting for what is no such host.
    """
    names = tuple(each.strip() for each in value.split(",") if each.strip())
    for name in names:
        if name not in hosts:
            raise InvalidInputError("storeStandby", f"{name!r} is none of the hosts", "name some of dynoform:hosts")
        if name == platform_host(hosts):
            why = f"{name} has the platform's services, and so the first server"
            raise InvalidInputError("storeStandby", why, "name other hosts")
    if len(names) != len(set(names)) or len(names) > _STANDBY_HOSTS:
        why = f"{value!r} is not one host, or two"
        raise InvalidInputError("storeStandby", why, "name the standby's host, and one more for a third vote")
    return names


def _check_host(name: str, host: Any) -> None:
    if not _NAME.fullmatch(name):
        raise _wrong(name, "is no host name", "use lower-case letters, digits and dashes")
    if not isinstance(host, Mapping) or not host.get("address"):
        raise _wrong(name, "has no address", "say where SSH reaches it")
    for key, value in host.items():
        if key not in KEYS:
            raise _wrong(name, f"has the key {key}", f"a host has {', '.join(sorted(KEYS))}")
        if key in TEXTS and not isinstance(value, str):
            raise _wrong(name, f"{key} is {value!r}", "give text")
    for key in FLAGS:
        if type(host.get(key, False)) is not bool:
            raise _wrong(name, f"{key} is {host[key]!r}", "use true or false")
    port = host.get("port", 22)
    if type(port) is not int or not 0 < port < 65536:
        raise _wrong(name, f"{port!r} is not a port", "use a number from 1 to 65535")
    if role(host) not in ROLES:
        raise _wrong(name, f"has the role {host['role']!r}", f"use {' or '.join(ROLES)}")
    if not _NAME.fullmatch(runtime(host)):
        raise _wrong(name, f"has the runtime {host['runtime']!r}", "use lower-case letters, digits and dashes")
    try:
        ipaddress.IPv4Address(private_address(host))
    except ValueError:
        why = f"{private_address(host)!r} is not an IPv4 address, by which the other hosts reach it"
        raise _wrong(name, why, "give one as privateAddress") from None


def _wrong(name: str, why: str, next_step: str) -> InvalidInputError:
    return InvalidInputError(f"hosts.{name}" if name else "hosts", why, next_step)
