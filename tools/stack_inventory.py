#!/usr/bin/env python3
"""Ansible's inventory of a stack's hosts, from the stack's outputs.

Usage, in a shell that has evaluated ``bin/dynoform env``: ``ansible-playbook --inventory tools/stack_inventory.py …``
"""

import json
import os
import subprocess
import sys
from typing import Any

SECONDS = 120


def main(words: list[str]) -> None:
    """Prints what Ansible asks for: ``--list``, or ``--host NAME``, whose answer is in the list already."""
    if words[:1] == ["--host"]:
        print("{}")
        return
    stack = os.environ.get("DYNOFORM_STACK")
    if not stack:
        sys.exit('DYNOFORM_STACK: is not set — run: eval "$(bin/dynoform env)"')
    command = ["pulumi", "stack", "output", "inventory", "--json", "--show-secrets", "--stack", stack]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words
    if done.returncode:
        sys.exit(f"stack {stack}: {' '.join(done.stderr.split())} — run 'bin/dynoform up --stack {stack}' first")
    print(json.dumps(listed(json.loads(done.stdout))))


def listed(inventory: dict[str, Any]) -> dict[str, Any]:
    """An inventory as a script has to print it: https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html"""
    hosts = inventory["all"]["hosts"]
    groups = {name: {"hosts": sorted(group["hosts"])} for name, group in inventory["all"]["children"].items()}
    return {"_meta": {"hostvars": hosts}, "all": {"hosts": list(hosts)}, **groups}


if __name__ == "__main__":
    main(sys.argv[1:])
