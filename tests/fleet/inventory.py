"""Playbooks by hand: a static inventory of the fleet's hosts, and nothing of Pulumi."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from providers.dynoform.ansible_run import Host, connection
from tests.fleet.hosts import Fleet, FleetHost

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
Done = subprocess.CompletedProcess[str]


@dataclass
class Inventory:
    """The hosts as an operator would write them down; the first is the manager that the others ask.

    Parameters:
        fleet: whose hosts they are; those that are added later are in it too.
        folder: for the file.
        workers: names of hosts that are no managers.
        variables: of all hosts.
        of: host name → variables of that host alone.
    """

    fleet: Fleet
    folder: Path
    workers: tuple[str, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    of: dict[str, dict[str, Any]] = field(default_factory=dict)

    def play(self, playbook: str, *words: str, seconds: float = 900, **variables: Any) -> Done:
        """``ansible-playbook`` until it ends; ``variables`` are its --extra-vars."""
        return subprocess.run(
            self.command(playbook, *words, **variables), **self.how(), capture_output=True, timeout=seconds
        )

    def start(self, playbook: str, *words: str, **variables: Any) -> "subprocess.Popen[str]":
        """``ansible-playbook`` in a session of its own, of which nobody reads what it says."""
        return subprocess.Popen(
            self.command(playbook, *words, **variables),
            **self.how(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def command(self, playbook: str, *words: str, **variables: Any) -> list[str]:
        """argv; the inventory is written anew."""
        first, *_ = self.fleet.hosts.values()
        file = self.folder / "hosts.json"
        hosts = {host.name: self._host(host, first) for host in self.fleet.hosts.values()}
        file.write_text(json.dumps({"all": {"hosts": hosts, "vars": self.variables}}))
        program = [str(BIN / "ansible-playbook"), "--inventory", str(file), "--extra-vars", json.dumps(variables)]
        return [*program, *words, str(ROOT / f"playbooks/{playbook}.yml")]

    def how(self) -> dict[str, Any]:
        """How the program is run."""
        return {"cwd": ROOT, "env": environment(), "text": True}

    def _host(self, host: FleetHost, first: FleetHost) -> dict[str, Any]:
        files = (str(self.fleet.key_file), str(self.fleet.known_hosts))
        reached = connection(Host(host.name, host.address, "ssh", key_file=files[0], known_hosts=files[1]))
        manager = "" if host is first else first.name
        asked = ("swarm_node_manager", "host_drain_manager", "host_removal_manager", "kernel_patching_manager")
        return {
            **reached,
            **dict.fromkeys(asked, manager),
            "swarm_node_role": "worker" if host.name in self.workers else "manager",
            "swarm_node_advertise_address": host.address,
            "swarm_node_listen_address": f"{host.address}:2377",
            "swarm_node_join_address": f"{first.address}:2377",
            **self.of.get(host.name, {}),
        }


def environment() -> dict[str, str]:
    """Variables for ``ansible-playbook``."""
    own = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    return {**os.environ, **own, "PATH": f"{BIN}:{os.environ['PATH']}"}


def told(done: Done) -> str:
    """What a run said, on one line."""
    return " ".join(f"{done.stdout} {done.stderr}".split())


def changed(done: Done) -> dict[str, int]:
    """Host → how many tasks changed something, from the recap."""
    lines = [line.split() for line in done.stdout.splitlines() if " changed=" in line]
    return {words[0]: int(next(w for w in words if w.startswith("changed=")).partition("=")[2]) for words in lines}
