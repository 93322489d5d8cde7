"""Reads this host's part in a swarm and prints it as JSON; changes nothing. Argument: the docker client."""

import http.client
import json
import socket
import subprocess
import sys
from typing import Any

SECONDS = 20
SECOND = 1_000_000_000
SOCKET = "/var/run/docker.sock"


def ask(*words: str) -> Any:
    """The JSON that the client prints."""
    command = [sys.argv[1], *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)  # noqa: S603 - fixed words
    return json.loads(done.stdout)


def host_network() -> str:
    """The swarm's id of the predefined network ``host``: the engine has another one, and services are known by this.

    The docker client cannot ask for it, the API can.
    """
    connection = http.client.HTTPConnection("localhost", timeout=SECONDS)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(SECONDS)
    connection.sock.connect(SOCKET)
    connection.request("GET", "/networks/host?scope=swarm")
    found = json.loads(connection.getresponse().read())
    connection.close()
    return str(found.get("Id", ""))


def main() -> None:
    """Prints state, id, whether it manages, the node's labels, the swarm's heartbeat and the network ``host``'s id."""
    swarm = ask("info", "--format", "{{json .Swarm}}")
    manages = bool(swarm.get("ControlAvailable"))
    labels = ask("node", "inspect", "self", "--format", "{{json .Spec.Labels}}") if manages else {}
    state = {"state": swarm.get("LocalNodeState", ""), "error": swarm.get("Error", ""), "id": swarm.get("NodeID", "")}
    network = host_network() if manages else ""
    period = swarm["Cluster"]["Spec"]["Dispatcher"]["HeartbeatPeriod"] if manages else 0
    told = {"labels": labels or {}, "host_network": network, "heartbeat": f"{period / SECOND:g}s"}
    asks = swarm.get("LocalNodeState") == "active" and not manages
    print(json.dumps({**state, "manages": manages, "asks_manager": asks, **told}))


if __name__ == "__main__":
    main()
