"""Reads what a stack's networks meet on this host and prints it as JSON; changes nothing.

Argument: a JSON object ``{"docker": client, "script": path, "makes": true, "networks": {"dynos": {…}, "platform": {…}},
"files": []}`` with for each network its name, bridge, subnet, gateway, the address that ports are published on
(``binding``), and whether its containers are kept apart (``isolated``). ``makes`` says whether this host makes the
swarm's networks.
"""

import hashlib
import ipaddress
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SECONDS = 20
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
TOOLS = {"nft": "nftables", "ip": "iproute2", "unshare": "util-linux"}
SUBNET = "dynoform.subnet"
OPTION = "com.docker.network.bridge."


def output(*command: str) -> str:
    """What a command prints; raises ``CalledProcessError`` when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)  # noqa: S603 - fixed words
    return done.stdout


def docker_networks(docker: str) -> dict[str, dict[str, Any]]:
    """Every network the engine knows, by name."""
    identifiers = output(docker, "network", "ls", "--quiet", "--no-trunc").split()
    if not identifiers:
        return {}
    # A network may go between the two calls: those that are left are printed all the same.
    command = [docker, "network", "inspect", *identifiers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words
    return {network["Name"]: network for network in json.loads(done.stdout or "[]")}


def subnets(network: dict[str, Any]) -> list[str]:
    """The IPv4 and IPv6 subnets of a network."""
    return [entry["Subnet"] for entry in (network["IPAM"].get("Config") or []) if entry.get("Subnet")]


def subnets_of_config(network: dict[str, Any]) -> list[str]:
    """Those of a config-only network; none when nobody tells. Docker 29 does not, and is asked for the label."""
    label = (network.get("Labels") or {}).get(SUBNET)
    return subnets(network) or ([label] if label else [])


def manages(docker: str) -> bool:
    """Whether this host is a manager of its swarm: a worker neither makes networks of the swarm nor knows them all."""
    return output(docker, "info", "--format", "{{.Swarm.ControlAvailable}}").strip() == "true"


def state_of(wanted: dict[str, Any], known: dict[str, dict[str, Any]], manager: bool) -> dict[str, Any]:
    """What has to be done to a network: ``create`` lists parts that lack, ``replace`` says why it has to go first."""
    config, network = known.get(f"{wanted['name']}_config"), known.get(wanted["name"])
    replace = ""
    has = subnets_of_config(config) if config else []
    if has and has != [wanted["subnet"]]:
        replace = f"has the subnet {', '.join(has)}"
    elif config and not options_match(wanted, config["Options"]):
        replace = "has other options"
    elif network and (network["Scope"] != "swarm" or network["ConfigFrom"]["Network"] != f"{wanted['name']}_config"):
        replace = "was not made from its config-only network"
    parts = (("network", network), ("config", config)) if manager else (("config", config),)
    create = [part for part, found in reversed(parts) if replace or not found]
    there = [part for part, found in parts if found]
    return {"create": create, "replace": replace, "there": there, "id": network["Id"] if network else ""}


def options_match(wanted: dict[str, Any], options: dict[str, str]) -> bool:
    """Whether a config-only network has the options that are wanted."""
    expected = {f"{OPTION}name": wanted["bridge"], f"{OPTION}host_binding_ipv4": wanted["binding"]}
    expected[f"{OPTION}enable_icc"] = str(not wanted["isolated"]).lower()
    return options == expected


def clashes(wanted: dict[str, Any], own: set[str], known: Iterable[dict[str, Any]]) -> list[str]:
    """Networks and routes of others that overlap a wanted subnet."""
    subnet = ipaddress.ip_network(wanted["subnet"])
    found = [
        f"{wanted['subnet']} overlaps Docker's network {network['Name']} ({other})"
        for network in known
        if network["Name"] not in own
        for other in subnets(network)
        if subnet.overlaps(ipaddress.ip_network(other))
    ]
    routes = [line.split() for line in output("ip", "-4", "route", "show").splitlines()]
    return found + [
        f"{wanted['subnet']} overlaps the route to {route[0]} on {device(route)}"
        for route in routes
        if route[0] != "default" and device(route) != wanted["bridge"] and not route_of_docker(route, known)
        if subnet.overlaps(ipaddress.ip_network(route[0].removeprefix("local ")))
    ]


def device(route: list[str]) -> str:
    """The interface that a route of ``ip route`` names."""
    return route[route.index("dev") + 1] if "dev" in route else "no interface"


def route_of_docker(route: list[str], known: Iterable[dict[str, Any]]) -> bool:
    """Whether the route is that of a Docker network, which was compared already."""
    return any(route[0] in subnets(network) for network in known)


def nameservers() -> list[str]:
    """IPv4 addresses of the host's name servers; those on loopback are asked from the host, not from a dyno."""
    lines = [line.split() for path in RESOLVERS if Path(path).is_file() for line in Path(path).read_text().splitlines()]
    named = {words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and ":" not in words[1]}
    return sorted(address for address in named if not ipaddress.ip_address(address).is_loopback)


def digest(path: str) -> str:
    """Mode, owner and SHA-256 of a file; empty when there is none."""
    try:
        status = os.stat(path, follow_symlinks=False)
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""
    return f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid} {content}"


def live(script: str) -> str:
    """What the installed script says is not as it should be; empty when all is well."""
    if not os.access(script, os.X_OK):
        return "not installed"
    done = subprocess.run([script, "status"], capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - ours
    return "" if done.returncode == 0 else (done.stdout or done.stderr or "failed").strip()


def main() -> None:
    """Prints what was found."""
    wanted = json.loads(sys.argv[1])
    packages = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    # The swarm's networks are made once, by its first host.
    known, manager = docker_networks(wanted["docker"]), wanted["makes"] and manages(wanted["docker"])
    own = {f"{network['name']}{end}" for network in wanted["networks"].values() for end in ("", "_config")}
    found: dict[str, Any] = {
        "packages": packages,
        "systemd": Path("/run/systemd/system").is_dir(),
        "nameservers": nameservers(),
        "networks": {noun: state_of(network, known, manager) for noun, network in wanted["networks"].items()},
        "clashes": [text for network in wanted["networks"].values() for text in clashes(network, own, known.values())],
        "live": live(wanted["script"]) if not packages else "tools are missing",
        "files": {path: digest(path) for path in wanted["files"]},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
