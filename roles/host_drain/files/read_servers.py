"""Reads how databases stand that have a server on this host and another one elsewhere, and prints them as JSON.

Changes nothing. Asked on the host itself: each server says how all of them stand. So does a broker of a Kafka that has
others elsewhere. Argument: the docker client.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

SECONDS = 60
SERVICE = "com.docker.swarm.service.name"
STATE = ("/opt/dynoform/ha", "state")
READY = ("timeout", "10", "/opt/dynoform/kafka-admin", "ready")
MIB = 2**20
Described = Mapping[str, Any]


def ask(*words: str) -> str | None:
    """What the client prints; None where it fails."""
    command = [sys.argv[1], *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words
    return None if done.returncode else done.stdout


def must(*words: str) -> str:
    """The same; ends the program where it fails."""
    if (said := ask(*words)) is None:
        sys.exit(f"{sys.argv[1]} {' '.join(words)}: failed")
    return said


def environment(container: Described) -> dict[str, str]:
    """What a container was told."""
    return dict(each.split("=", 1) for each in container["Config"].get("Env") or () if "=" in each)


def hosts(told: Mapping[str, str]) -> tuple[str, str]:
    """Addresses of this host and of the other server's, as a server was told; empty where it has none elsewhere."""
    here = told["MEMBER_POSTGRES"].rpartition(":")[0]
    others = {each.rpartition(":")[0] for each in told.get("MEMBER_OTHERS", "").split()} - {here}
    return here, min(others, default="")


def stands(service: str, told: Mapping[str, str], said: str | None) -> dict[str, Any] | None:
    """How a database stands by what one of its servers says; None of one that has no server elsewhere.

    Its ``name``; whether its ``primary`` is here, as it may be where nobody says; why its ``standby`` could not take
    over, nothing where it could; what a person is ``told`` while either is in the way.
    """
    here, elsewhere = hosts(told)
    if not elsewhere:
        return None
    name = called(service)
    members = known(said)
    leaders = [each["name"] for each in members if each.get("role") == "leader"]
    primary = not leaders or told["MEMBER_NAME"] in leaders
    problem = lacks([each for each in members if each.get("role") != "leader"])
    where = elsewhere if primary else here
    standby = f"its standby at {where} {problem}" if problem else ""
    if not leaders:
        standby = "its servers do not say which of them is primary"
    why = standby or f"its standby at {where} has not taken over"
    return {"name": name, "primary": primary, "standby": standby, "told": f"{name}: {why}"}


def called(service: str) -> str:
    """What a person calls the add-on that has a service, one of several."""
    return f"add-on {service.rpartition('addon-')[2].rpartition('-')[0]}"


def voters(told: Mapping[str, str]) -> int:
    """Of how many brokers a broker's cluster is, as it was told; 0 where all are on this host."""
    addresses = [each.partition("@")[2].rpartition(":")[0] for each in told["KAFKA_VOTERS"].split(",")]
    return len(addresses) if len({*addresses}) > 1 else 0


def follows(service: str, ready: bool) -> dict[str, Any]:
    """How a cluster stands: leaders of partitions move by themselves, replicas have to be in sync for that."""
    name, why = called(service), "not all its brokers are there, or one of them is behind"
    return {"name": name, "primary": False, "standby": "" if ready else why, "told": f"{name}: {why}"}


def known(said: str | None) -> list[Described]:
    """The servers, by what Patroni says of them."""
    try:
        return list(json.loads(said or "")["members"])
    except (ValueError, KeyError, TypeError):
        return []


def lacks(standbys: Iterable[Described]) -> str:
    """Why none of them has all that is acknowledged; nothing where one has."""
    found = [each for each in standbys if each.get("state") != "stopped"]
    if any(each.get("role") == "sync_standby" and each.get("state") == "streaming" for each in found):
        return ""
    if not found:
        return "is away"
    behind = found[0].get("lag")
    return f"is {max(behind // MIB, 1)} MiB behind" if isinstance(behind, int) and behind else "catches up"


def main() -> None:
    """Prints the list."""
    running = must("ps", "--quiet", "--filter", f"label={SERVICE}").split()
    described: list[Described] = json.loads(must("inspect", *running)) if running else []
    found = []
    for container in described:
        told = environment(container)
        if "MEMBER_POSTGRES" in told and "MEMBER_NAME" in told:
            said = ask("exec", "--user", "postgres", container["Id"], *STATE)
            found.append(stands(container["Config"]["Labels"][SERVICE], told, said))
        if "KAFKA_VOTERS" in told and (count := voters(told)):
            ready = ask("exec", container["Id"], *READY, str(count)) is not None
            found.append(follows(container["Config"]["Labels"][SERVICE], ready))
    print(json.dumps(sorted((each for each in found if each), key=lambda each: each["name"])))


if __name__ == "__main__":
    main()
