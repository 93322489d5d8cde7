"""The hosts as Ansible's inventory has them, from the program to what Ansible reads."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.components.test_ec2 import EC2, HOSTS, configuration

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/stack_inventory.py"


@pytest.fixture(scope="module")
def inventory(export: Callable[[dict[str, str]], dict[str, Any]]) -> dict[str, Any]:
    exported: dict[str, Any] = export(configuration(EC2, HOSTS))["inventory"]
    return exported


@pytest.fixture
def shell(tmp_path: Path, inventory: dict[str, Any]) -> dict[str, str]:
    """A shell with a pulumi that answers with the inventory, for the stack ``mine`` only."""
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))
    pulumi = tmp_path / "pulumi"
    text = f'[ "$7" = mine ] && exec cat {tmp_path}/inventory.json; echo "error: no stack named $7" >&2; exit 255'
    pulumi.write_text(f"#!/bin/sh\n{text}\n")
    pulumi.chmod(stat.S_IRWXU)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "DYNOFORM_STACK": "mine", "LC_ALL": "C.UTF-8"}


def test_ansible_reads_how_hosts_are_reached_and_what_roles_are_told(shell: dict[str, str]) -> None:
    command = ["ansible-inventory", "--inventory", str(SCRIPT), "--list"]
    done = subprocess.run(command, env=shell, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["manager"]["hosts"]) == {"one", "two", "three"}
    assert found["worker"]["hosts"] == ["four"]
    assert found["platform"]["hosts"] == ["one"]
    two = found["_meta"]["hostvars"]["two"]
    wanted = {
        "ansible_host": "198.51.100.1",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": "/keys/ec2",
        "swarm_node_manager": "one",
        "kernel_patching_manager": "one",
        "host_drain_manager": "one",
        "host_zone": "eu-central-1b",
        "dyno_runtime_stack": "local",
        "registry_trust_client_key": "a-key",
        "host_hardening_public_ports": [80, 443, 7405],
    }
    assert {name: two[name] for name in wanted} == wanted
    assert len(two["host_hardening_fleet_addresses"]) == 3
    assert found["_meta"]["hostvars"]["one"]["kernel_patching_manager"] == ""


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ("", 'DYNOFORM_STACK: is not set — run: eval "$(bin/dynoform env)"'),
        ("other", "stack other: error: no stack named other — run 'bin/dynoform up --stack other' first"),
    ],
)
def test_script_says_what_it_lacks(shell: dict[str, str], stack: str, message: str) -> None:
    done = subprocess.run(
        [SCRIPT, "--list"], env={**shell, "DYNOFORM_STACK": stack}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.strip()) == (1, message)
    asked = subprocess.run([SCRIPT, "--host", "one"], env=shell, capture_output=True, text=True, timeout=60)
    assert asked.stdout == "{}\n"
