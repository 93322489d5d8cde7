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
    return {"ID": f"id-of-{service}", "on": "node1", "Spec": spec}


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


def database(*hosts: str, primary: int = 2, lag: int = 0) -> dict[str, Any]:
    """The servers of a database, by their hosts."""
    return {"hosts": hosts, "primary": primary, "lag": lag}


def test_a_standby_elsewhere_takes_over_before_the_host_goes_and_the_next_one_waits_for_it(pair: Machines) -> None:
    parts = [
        tied(f"test_addon-7c{each}", "7c", host=host) for each, host in (("", "one"), ("-1", "one"), ("-2", "two"))
    ]
    pair.set(
        pair.state | {"services": parts, "databases": {"7c": database("one", "two"), "8d": database("two", "two")}}
    )
    looked = pair.play("drain_host", "--limit", "two", "--check")
    assert looked.returncode == 0, looked.stdout
    told = "two: has the primaries of add-on 7c; their standbys elsewhere take over first"
    assert told in looked.stdout and pair.state["databases"]["7c"]["primary"] == 2
    done = pair.play("drain_host", "--limit", "two")
    assert done.returncode == 0, done.stdout
    assert told in done.stdout and "no other host can run" not in done.stdout, "its address is on another host"
    assert pair.state["databases"]["7c"]["primary"] == 1

    pair.set(pair.state | {"databases": {"7c": database("one", "two", primary=1, lag=5 << 20)}})
    back = pair.play("undrain_host", "--limit", "two", host_drain_seconds=2)
    assert back.returncode != 0
    assert (
        "two: takes dynos again, and after 2 s not all standbys could take over: add-on 7c: its standby at two is "
        "5 MiB behind — drain no other host before they could: see 'heroku pg:info' or 'heroku kafka:info', "
        "and 'docker service ps NAME' on a manager"
    ) in " ".join(back.stdout.split())


def test_a_host_stays_with_the_primary_of_a_standby_that_is_behind_unless_that_is_wanted(pair: Machines) -> None:
    pair.set(pair.state | {"databases": {"7c": database("one", "two", lag=5 << 20)}})
    done = pair.play("drain_host", "--limit", "two", host_drain_seconds=2)
    assert done.returncode != 0
    assert (
        "two: has primaries still after 2 s, which would stand still with it: add-on 7c: its standby at one is 5 MiB "
        "behind — see 'heroku pg:info', and 'docker service ps NAME' on a manager; then run this again, or "
        "playbooks/undrain_host.yml, or with --extra-vars host_drain_primaries=leave have them stand still"
    ) in " ".join(done.stdout.split())
    assert availability(pair) == PAUSED
    gone = pair.play("drain_host", "--limit", "two", host_drain_primaries="leave")
    assert gone.returncode == 0, gone.stdout
    assert availability(pair) == "drain"


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
