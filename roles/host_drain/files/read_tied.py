"""Reads which services no other node of the swarm can run, and prints them as JSON; changes nothing.

Asked of a manager. Arguments: the docker client, the node's id. An add-on's services are told as one; dynos, which are
moved, and what runs on every host are left out.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

SECONDS = 60
ADDON = "dynoform.addon"
DYNO = "dynoform.dyno"
CONSTRAINT = re.compile(r"\s*(\S+?)\s*(==|!=)\s*(.*?)\s*")
Described = Mapping[str, Any]


def ask(*words: str) -> str:
    """What the client prints."""
    command = [sys.argv[1], *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def inspected(noun: str, names: Iterable[str]) -> list[Any]:
    """What the client knows of each."""
    known = list(names)
    return list(json.loads(ask(noun, "inspect", *known))) if known else []


def fits(node: Described, service: Described) -> bool:
    """Whether a service's constraints let a node run it. One of a kind that is not known here says nothing."""
    spec = node["Spec"]
    known = {"node.id": node["ID"], "node.hostname": node["Description"]["Hostname"], "node.role": spec.get("Role", "")}
    labels = spec.get("Labels") or {}
    for text in (service["Spec"]["TaskTemplate"].get("Placement") or {}).get("Constraints") or ():
        name, sign, wanted = match.groups() if (match := CONSTRAINT.fullmatch(text)) else ("", "", "")
        own = name.startswith("node.labels.")
        found = labels.get(name.removeprefix("node.labels."), "") if own else known.get(name)
        if found is not None and (found == wanted) != (sign == "=="):
            return False
    return True


def takes(node: Described) -> bool:
    """Whether a node takes tasks."""
    return bool(node["Status"]["State"] == "ready" and node["Spec"].get("Availability", "active") == "active")


def tied(
    own: str, nodes: Iterable[Described], services: Iterable[Described], running: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """Of each its name, why, whether it ``runs`` now, and whether the ``whole`` of it stands still without the node.

    An add-on does with the part that its clients are led to, but not one whose clients are led to it on every host; one
    that has all its parts for that, as brokers are, does with more than half of them.

    Parameters:
        own: the node's id.
        nodes, services: as the engine describes them.
        running: service's name → whether all its tasks run.
    """
    known = list(nodes)
    here = next(node for node in known if node["ID"] == own)
    others = [node for node in known if node["ID"] != own and takes(node)]
    found: dict[str, list[Described]] = {}
    parts: dict[str, list[str]] = {}
    everywhere: set[str] = set()
    for service in services:
        spec = service["Spec"]
        addon = (spec.get("Labels") or {}).get(ADDON)
        name = f"add-on {addon}" if addon else spec["Name"]
        parts.setdefault(name, []).append(spec["Name"])
        if "Global" in (spec.get("Mode") or {}):
            everywhere.add(name)
        elif fits(here, service) and not any(fits(node, service) for node in others):
            found.setdefault(name, []).append(service)
    return [
        {
            "name": name,
            "why": why(mine, parts[name]),
            "runs": all(running.get(part["Spec"]["Name"], False) for part in mine),
            "whole": name not in everywhere and stands_still({part["Spec"]["Name"] for part in mine}, parts[name]),
        }
        for name, mine in sorted(found.items())
    ]


def led_to(names: list[str]) -> str | None:
    """The part that clients are led to, which is called as the add-on is, the others after it; None for all of them."""
    first = min(names, key=len)
    return first if all(name == first or name.startswith(f"{first}-") for name in names) else None


def stands_still(here: set[str], names: list[str]) -> bool:
    """Whether all that consists of the parts ``names`` does without those that are ``here``."""
    first = led_to(names)
    return first in here if first else 2 * len(here) > len(names)


def why(parts: list[Described], names: list[str]) -> str:
    """Why it cannot run elsewhere; ``names`` are all parts that it has."""
    if len(parts) < len(names):
        return "its address is here" if led_to(names) else f"{len(parts)} of its {len(names)} parts are here"
    mounts = [mount for part in parts for mount in part["Spec"]["TaskTemplate"]["ContainerSpec"].get("Mounts") or ()]
    if not any(mount.get("Type") == "volume" for mount in mounts):
        return "it is to run here alone"
    return "its data are here" if len(parts) == 1 else f"its data are here, and all its {len(parts)} parts"


def main() -> None:
    """Prints the list."""
    nodes = inspected("node", ask("node", "ls", "--quiet").split())
    # By name: of ids a list shows the beginning alone.
    told = (line.split() for line in ask("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines())
    listed = {words[0]: words[1] for words in told if words}
    dynos = set(ask("service", "ls", "--format", "{{.Name}}", "--filter", f"label={DYNO}").split())
    running = {name: len(set(count.split("/"))) == 1 for name, count in listed.items()}
    services = inspected("service", [name for name in listed if name not in dynos])
    print(json.dumps(tied(sys.argv[2], nodes, services, running)))


if __name__ == "__main__":
    main()
