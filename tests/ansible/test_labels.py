"""How the role swarm_node labels a node that somebody else labels at the same moment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: swarm_node, tasks_from: labels}
"""
DOCKER = """#!/bin/sh
echo "$*" >> "$0.calls"
[ "$(wc -l < "$0.calls")" -gt 1 ] && exit 0
echo 'Error response from daemon: rpc error: code = %s' >&2
exit 1
"""


@pytest.mark.parametrize(
    ("said", "calls"),
    [("Unknown desc = update out of sequence", 2), ("NotFound desc = node one not found", 1)],
)
def test_who_comes_second_tries_again(tmp_path: Path, said: str, calls: int) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    (docker := tmp_path / "docker").write_text(DOCKER % said)
    docker.chmod(0o755)
    variables = {
        "ansible_python_interpreter": sys.executable,
        "swarm_node_docker": str(docker),
        "swarm_node_labels": {"a": "1"},
        "__swarm_node_found": {"manages": True, "labels": {}, "id": "one"},
        "__swarm_node_returns": False,
    }
    command = [BIN / "ansible-playbook", "--inventory", "localhost,", "--extra-vars", json.dumps(variables)]
    done = subprocess.run([*command, tmp_path / "play.yml"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (calls == 2), done.stdout
    assert Path(f"{docker}.calls").read_text() == calls * "node update --label-add a=1 one\n"
