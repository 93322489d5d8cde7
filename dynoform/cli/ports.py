"""Whether the ports that a stack needs are free: the router's, and those of the platform's own services."""

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError

from dynoform.cli.engine import Engine
from dynoform.cli.settings import StackSettings
from dynoform.domain import stack_settings
from dynoform.domain.dyno_container import SERVICE_LABEL
from dynoform.errors import DynoformError

IP_FREEBIND = 15  # of <linux/in.h>; Python's socket module has no name for it
ROUTER, AGENT = "router", "router-agent"
PUBLISHED = ("registry", "postgres", "api", "logplex", "logplex")
"""Services behind the first of the platform's ports; the last two are the router agent's."""
ON_THE_HOST = {
    ROUTER: ("DYNOFORM_HTTP_PORT", "DYNOFORM_HTTPS_PORT"),
    AGENT: ("DYNOFORM_RENDEZVOUS_PORT", "DYNOFORM_RENDEZVOUS_DYNO_PORT"),
}
"""Services on the host's own network, and the variables that tell which ports they open there."""


@dataclass(frozen=True)
class Wanted:
    """A port that a stack needs.

    Parameters:
        key: the setting that chooses it.
        service: noun of the stack's service that has it.
        ours: the address is that of a bridge, which `up` makes.
    """

    key: str
    address: str
    port: int
    service: str
    ours: bool = False


def check(stack: str, settings: StackSettings, engine: Engine | None) -> DynoformError | None:
    """The first port that the stack cannot have. One that its own service of that port holds is free to it."""
    held = _held(stack, engine) if engine else set()
    others = _published_by_others(engine) if engine else {}
    for one in wanted(settings):
        problem = _problem(one)
        if problem and not (problem.errno == errno.EADDRINUSE and (one.service, one.port) in held):
            return _told(one, problem, settings.file.name)
        # Swarm gives a port of a host away once, whatever the address.
        if one.service in PUBLISHED and one.port in others:
            why = f"is published by the service {others[one.port]}"
            return DynoformError(_what(one), why, f"choose another: set dynoform:{one.key} in {settings.file.name}")
    return None


def check_exec(stack: str, settings: StackSettings, engine: Engine | None) -> DynoformError | None:
    """What is wrong with where `heroku ps:exec` connects to. The platform comes up without it."""
    address = settings.text("execAddress")
    if not address:
        return None
    one = Wanted("execAddress", address, stack_settings.EXEC_PORT, AGENT)
    problem = _problem(one)
    if problem is None or (problem.errno == errno.EADDRINUSE and engine and _runs(stack, engine, AGENT)):
        return None
    return _told(one, problem, settings.file.name)


def _runs(stack: str, engine: Engine, noun: str) -> bool:
    """Whether the stack's own service has a container."""
    label = f"{SERVICE_LABEL}={stack}_{noun}"
    return bool(engine.client.api.containers(filters={"label": label}))


def wanted(settings: StackSettings) -> Iterator[Wanted]:
    """All ports of a stack, the router's first."""
    listen = settings.text("listenAddress")
    gateway, platform = (
        stack_settings.gateway(stack_settings.subnet(key, settings.text(key)))
        for key in ("dynoSubnet", "platformSubnet")
    )
    for key in ("httpPort", "httpsPort"):
        yield Wanted(key, listen, settings.port(key), ROUTER)
        yield Wanted(key, gateway, settings.port(key), ROUTER, ours=True)
    first = settings.port("platformPort")
    for number, service in enumerate(PUBLISHED):
        yield Wanted("platformPort", platform, first + number, service, ours=True)
    yield Wanted("platformPort", listen, first + len(PUBLISHED), AGENT)
    yield Wanted("platformPort", gateway, first + len(PUBLISHED), AGENT, ours=True)
    yield Wanted("platformPort", platform, first + len(PUBLISHED) + 1, AGENT, ours=True)


def _problem(one: Wanted) -> OSError | None:
    """Why the port cannot be bound, None when it can."""
    with socket.socket(socket.AF_INET6 if ":" in one.address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if one.ours:
            # The bridge may not be there yet: who listens on all addresses will be in its way nevertheless.
            probe.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        try:
            probe.bind((one.address, one.port))
        except OSError as error:
            return error
    return None


def _told(one: Wanted, problem: OSError, file: str) -> DynoformError:
    if problem.errno == errno.EADDRINUSE:
        why = f"is taken by {_holder(one.port) or 'another program'}"
        return DynoformError(_what(one), why, f"stop that, or choose another: set dynoform:{one.key} in {file}")
    if problem.errno == errno.EADDRNOTAVAIL:
        why = "is no address of this host"
        key = one.key if one.key == "execAddress" else "listenAddress"
        return DynoformError(f"{key} {one.address}", why, f"set dynoform:{key} in {file} to one (ip address)")
    if problem.errno in (errno.EACCES, errno.EPERM):
        return DynoformError(_what(one), f"user {os.geteuid()} has no right to bind it", "run it as root")
    why = f"cannot be bound: {problem.strerror or problem}"
    return DynoformError(_what(one), why, f"set another dynoform:{one.key} or dynoform:listenAddress in {file}")


def _what(one: Wanted) -> str:
    address = f"[{one.address}]" if ":" in one.address else one.address
    return f"{one.key} {address}:{one.port}"


def _held(stack: str, engine: Engine) -> set[tuple[str, int]]:
    """Service and port of all that the stack's containers hold.

    Asked of the containers, not of the services: one that was removed keeps its port until it has ended, and one that
    was given a port may never have got it.
    """
    held = set()
    for container in engine.client.api.containers():
        name = (container.get("Labels") or {}).get(SERVICE_LABEL, "")
        service = name.removeprefix(f"{stack}_")
        if service == name:
            continue
        held |= {(service, port["PublicPort"]) for port in container.get("Ports") or () if "PublicPort" in port}
        if service in ON_THE_HOST:
            held |= {(service, port) for port in _opened(engine, container["Id"], ON_THE_HOST[service])}
    return held


def _opened(engine: Engine, container: str, names: tuple[str, ...]) -> Iterator[int]:
    try:
        environment = engine.client.api.inspect_container(container)["Config"].get("Env") or ()
    except APIError:
        return  # it has just ended
    values = dict(one.partition("=")[::2] for one in environment)
    yield from (int(values[name]) for name in names if values.get(name, "").isdigit())


def _published_by_others(engine: Engine) -> dict[int, str]:
    """Port → name of each service of other stacks, or of nobody's, that publishes it."""
    try:
        services: list[dict[str, Any]] = engine.client.api.services()
    except APIError:
        return {}  # not in a swarm
    own = {service["ID"] for service in engine.services()}
    return {
        port["PublishedPort"]: service["Spec"]["Name"]
        for service in services
        for port in (service["Spec"].get("EndpointSpec") or {}).get("Ports") or ()
        if service["ID"] not in own and port.get("PublishedPort")
    }


def _holder(port: int) -> str | None:
    """Name and id of the process that listens on `port`, where /proc lets us see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="utf-8").splitlines()[1:] if Path(table).exists() else []:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                process = link.parents[1]
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (process {process.name})"
        except OSError:
            continue
    return None
