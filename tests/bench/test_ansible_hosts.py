"""What would be patched on fifty simulated hosts, beside ten: what a host more costs. Run by `bin/dynoform bench`."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.ansible.machines import Machines, machines

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="root is missing: mount namespaces need it"),
]
FEW, MANY = 10, 50
MANAGERS = {"one": "Leader", "two": "Reachable", "three": "Reachable"}


def dry_run(hosts: Machines) -> float:
    """Seconds of a dry run over all hosts."""
    began = time.monotonic()
    done = hosts.play("patch_kernels", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": drain, upgrade ") == len(hosts.processes)
    return time.monotonic() - began


def test_time_grows_with_the_hosts_or_slower(tmp_path: Path) -> None:
    workers = {f"worker-{number}": "" for number in range(MANY - len(MANAGERS))}
    taken = {}
    for number in (FEW, MANY):
        (tmp_path / str(number)).mkdir()
        with machines(tmp_path / str(number), dict([*MANAGERS.items(), *workers.items()][:number])) as hosts:
            taken[number] = dry_run(hosts)
    if result := os.environ.get("BENCH_RESULT"):
        Path(result).write_text(json.dumps({"few": taken[FEW], "many": taken[MANY]}), encoding="utf-8")
    assert taken[MANY] / MANY <= taken[FEW] / FEW
