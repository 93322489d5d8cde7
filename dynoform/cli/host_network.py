"""What the host has of a stack: bridges, firewall, the node's label. Pulumi makes and removes it; here, if its state is
lost.
"""

import ipaddress
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from dynoform.cli.console import Console
from dynoform.cli.drift import HOST_PLAYBOOK
from dynoform.cli.places import Places
from dynoform.cli.process import Command, stream
from dynoform.errors import DynoformError

FOLDERS = Path("/etc/dynoform")
TRUST = Path("/etc/docker/certs.d")
PLAYBOOK = "playbooks/dyno_runtime_absent.yml"
SECONDS = 600
BRIDGE = re.compile(r"\b(?:dyn|plt)-\S*?=([0-9.]+/[0-9]+)")


def is_left(stack: str) -> bool:
    """Whether the host has something of the stack."""
    return (FOLDERS / stack).exists()


def remove(places: Places, stack: str, console: Console) -> None:
    """Has the role that made it remove it. Raises `DynoformError` naming the task that failed."""
    _play(places, PLAYBOOK, variables(stack), console, stack, f"removing what the host has of stack {stack}")


def bring_engine(places: Places, stack: str, console: Console) -> None:
    """Has the host's Docker engine run, as `up` does. Raises `DynoformError` naming the task that failed."""
    told = {**_local(), "host_builds_images": False}
    _play(places, HOST_PLAYBOOK, told, console, stack, "starting the Docker engine")


def _play(places: Places, playbook: str, told: Mapping[str, object], console: Console, stack: str, title: str) -> None:
    failures: list[str] = []
    argv = [str(places.venv / "bin" / "ansible-playbook"), "--inventory", "localhost,", playbook]
    argv += ["--extra-vars", json.dumps(told)]
    with console.step(title) as step:

        def note(line: str) -> None:
            event = json.loads(line) if line.startswith("{") else {}
            step.detail = event.get("task") or step.detail
            if event.get("event") == "failed":
                failures.append(f"{event['task']}: {event['message']}")

        done = stream(Command(argv, timeout=SECONDS, cwd=places.root, env=_environment(places)), note)
    if done.code:
        why = failures[-1] if failures else done.last_words
        raise DynoformError(
            f"host of stack {stack}", why, f"mend that, then run bin/dynoform down --purge --stack {stack}"
        )


def variables(stack: str) -> dict[str, object]:
    """The role's variables, read from what it has left: settings may have changed since, or be gone."""
    known: dict[str, object] = {
        **_local(),
        "dyno_runtime_stack": stack,
        "docker_client": shutil.which("docker") or "/usr/bin/docker",
    }
    script = FOLDERS / stack / "host-network"
    found = BRIDGE.findall(script.read_text(encoding="utf-8")) if script.exists() else []
    if len(found) == 2:
        dynos, platform = (ipaddress.IPv4Interface(one) for one in found)
        known |= {"dyno_runtime_dyno_subnet": str(dynos.network), "dyno_runtime_platform_subnet": str(platform.network)}
        trusted = sorted(TRUST.glob(f"{platform.ip}:*"))
        if trusted:
            address, _, port = trusted[0].name.rpartition(":")
            known |= {"registry_trust_address": address, "registry_trust_port": int(port)}
    return known


def _local() -> dict[str, object]:
    """How Ansible reaches this machine."""
    return {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}


def _environment(places: Places) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(places.root / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(places.root / "providers" / "dynoform" / "callbacks"),
        "ANSIBLE_STDOUT_CALLBACK": "dynoform_events",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
