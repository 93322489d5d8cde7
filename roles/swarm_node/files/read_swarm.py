"""Reads this host's part in a swarm and prints it as JSON; changes nothing. Argument: the docker client."""

import json
import subprocess
import sys
from typing import Any

SECONDS = 20


def ask(*words: str) -> Any:
    """The JSON that the client prints."""
    command = [sys.argv[1], *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)  # noqa: S603 - fixed words
    return json.loads(done.stdout)


def main() -> None:
    """Prints state, id, whether it manages, and the node's labels."""
    swarm = ask("info", "--format", "{{json .Swarm}}")
    manages = bool(swarm.get("ControlAvailable"))
    labels = ask("node", "inspect", "self", "--format", "{{json .Spec.Labels}}") if manages else {}
    state = {"state": swarm.get("LocalNodeState", ""), "error": swarm.get("Error", ""), "id": swarm.get("NodeID", "")}
    print(json.dumps({**state, "manages": manages, "labels": labels or {}}))


if __name__ == "__main__":
    main()
