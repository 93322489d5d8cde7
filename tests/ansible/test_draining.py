"""drain_host.yml and undrain_host.yml on hosts whose swarm is a file: what they refuse, and what they say then."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.machines import Machines, machines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mount namespaces"),
]
ACTIVE, PAUSED = "active", "pause"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Machines]:
    with machines(tmp_path, {"one": "Leader", "two": ""}) as found:
        yield found


def spec(availability: str) -> dict[str, Any]:
    """What a worker of a common runtime is set to."""
    labels = {"dynoform.test.runtime": "common", "dynoform.test.platform": "false"}
    return {"Role": "worker", "Availability": availability, "Labels": labels}


def availability(pair: Machines) -> str:
    node = pair.node("two")
    assert node is not None
    return str(node["Spec"]["Availability"])


def test_dynos_that_no_other_host_takes_are_told_and_the_host_can_be_had_back(pair: Machines) -> None:
    pair.change(one={"Spec": spec(PAUSED)})
    done = pair.play("drain_host", "--limit", "two", host_drain_seconds=2)
    told = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "two: 1 dyno is still here after 2 s, and the host takes no new ones: no other host takes them" in told
    assert "see 'heroku ps' and 'bin/dynoform status', then run this again, or playbooks/undrain_host.yml" in told
    assert availability(pair) == PAUSED
    back = pair.play("undrain_host", "--limit", "two")
    assert back.returncode == 0, back.stdout
    assert availability(pair) == ACTIVE


def tied(service: str, addon: str = "", *, data: bool = True, host: str = "two") -> dict[str, Any]:
    """A service that is to run on the second host, of this name."""
    mounts = [{"Type": "volume", "Source": "data", "Target": "/data"}] if data else []
    task = {"ContainerSpec": {"Mounts": mounts}, "Placement": {"Constraints": [f"node.hostname=={host}"]}}
    labels = {"dynoform.stack": "test"} | ({"dynoform.addon": addon} if addon else {})
    spec = {"Name": service, "Labels": labels, "Mode": {"Replicated": {"Replicas": 1}}, "TaskTemplate": task}
    return {"ID": service, "on": "node1", "Spec": spec}


def test_what_no_other_host_can_run_is_told_before_and_after(pair: Machines) -> None:
    services = [tied("test_postgres"), tied("test_api", data=False), tied("a-1", "4f1c"), tied("a-2", "4f1c")]
    pair.set(pair.state | {"services": services})
    done = pair.play("drain_host", "--limit", "two")
    assert done.returncode == 0, done.stdout
    assert (
        "two: no other host can run these, which stand still until it is undrained: "
        "add-on 4f1c (its data are here, and all its 2 parts), test_api (it is to run here alone), "
        "test_postgres (its data are here)"
    ) in " ".join(done.stdout.split())
    back = pair.play("undrain_host", "--limit", "two")
    assert back.returncode == 0, back.stdout
    assert "two: these stood still, and run again: add-on 4f1c, test_api, test_postgres" in back.stdout


def test_what_is_not_back_is_told(pair: Machines) -> None:
    pair.set(pair.state | {"services": [tied("test_postgres")]})
    assert pair.play("drain_host", "--limit", "two").returncode == 0
    # It is to run where nothing runs.
    pair.change(one={"Spec": spec("drain")})
    pair.set(pair.state | {"services": [tied("test_postgres") | {"on": "node0"}]})
    back = pair.play("undrain_host", "--limit", "two", host_drain_seconds=2)
    told = " ".join(back.stdout.split())
    assert back.returncode != 0
    assert "two: takes dynos again, and test_postgres does not run after 2 s, which no other host can run" in told
    assert "see 'docker service ls' and 'docker service ps NAME' on a manager" in told


@pytest.mark.parametrize(
    ("playbook", "set_there"),
    [("drain_host", "which was not set here"), ("undrain_host", "which was not set by draining it")],
)
def test_a_host_that_somebody_else_has_taken_out_stays_so(pair: Machines, playbook: str, set_there: str) -> None:
    pair.change(two={"Spec": spec(PAUSED)})
    done = pair.play(playbook, "--limit", "two")
    told = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert (
        f"two: has the availability pause, {set_there} — see why, then 'docker node update --availability active"
        in told
    )
    assert availability(pair) == PAUSED
