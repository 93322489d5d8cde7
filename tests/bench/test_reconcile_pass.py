"""A thousand dynos on a simulated Swarm of fifty hosts: what a pass takes. Run by `bin/dynoform bench`."""

import json
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.many_dynos import ADDRESS_LABEL
from tests.postgres import cluster
from tests.simulated_swarm import Cluster, serving
from tests.store_fixtures import write_secrets

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]
HOSTS = 50


def simulate(socket: Path, ready: Any) -> None:
    with serving(Cluster(ADDRESS_LABEL, HOSTS), socket):
        ready.set()
        Event().wait()


def test_a_pass_over_a_thousand_dynos(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    write_secrets(tmp_path / "secrets")
    # Each in a process of its own: the reconciler's memory and time are to be its own.
    processes = get_context("spawn")
    ready, socket = processes.Event(), tmp_path / "engine"
    simulation = processes.Process(target=simulate, args=(socket, ready), daemon=True)
    simulation.start()
    try:
        assert ready.wait(30)
        with cluster() as url:
            command = [
                sys.executable,
                "-m",
                "tests.bench.reconciler",
                url,
                str(tmp_path / "secrets"),
                f"unix://{socket}",
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    finally:
        simulation.terminate()
        simulation.join(10)
    found = json.loads(done.stdout.splitlines()[-1])
    if result := os.environ.get("BENCH_RESULT"):
        Path(result).write_text(json.dumps(found), encoding="utf-8")
    assert found["unchanged"] < 2
    assert found["memory"] < 200
