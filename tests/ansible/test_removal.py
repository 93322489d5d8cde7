"""remove_host.yml on hosts whose swarm is a file: what it does, what it refuses, and that it can be run again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.machines import Machines, machines
from tests.ansible.test_draining import tied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mount namespaces"),
]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Machines]:
    with machines(tmp_path, {"one": "Leader", "two": "", "three": ""}) as found:
        yield found


def verbs(hosts: Machines) -> list[str]:
    """What was done to nodes, in order."""
    calls = [call[1:3] for call in hosts.state["calls"] if call[1:3] not in (["node", "ls"], ["node", "inspect"])]
    return [" ".join(words) for words in calls if words[0] in ("node", "swarm")]


def test_a_host_is_drained_leaves_and_is_forgotten(hosts: Machines) -> None:
    done = hosts.play("remove_host", "--limit", "two")
    assert done.returncode == 0, done.stdout
    assert hosts.node("two") is None
    assert verbs(hosts) == ["node update", "node update", "swarm leave", "node rm"]
    again = hosts.play("remove_host", "--limit", "two")
    assert again.returncode == 0, again.stdout
    assert "two: is no node of the swarm (any more)" in again.stdout


def test_data_of_add_ons_stay(hosts: Machines) -> None:
    parts = [tied("test_postgres", host="one"), tied("a-1", "4f1c", host="one"), tied("a-2", "4f1c"), tied("b-2", "7d")]
    hosts.set(hosts.state | {"services": parts})
    done = hosts.play("remove_host", "--limit", "two")
    assert done.returncode != 0
    said = "two: has data of add-on 4f1c, 7d, which do not move to another host — copy such a database (heroku addons:"
    assert said in " ".join(done.stdout.split())
    assert verbs(hosts) == []


@pytest.mark.fleet
@pytest.mark.parametrize(
    ("name", "change", "variables", "message"),
    [
        ("one", {}, {"host_removal_manager": "two"}, "one: has the platform's PostgreSQL, registry and sources"),
        (
            "two",
            {"one": {"Status": {"State": "down"}}, "three": {"Status": {"State": "down"}}},
            {},
            "two: is the last host of the runtime common that takes dynos — add another one first",
        ),
        (
            "two",
            {"two": {"manager": "Reachable"}, "three": {"manager": "Reachable"}},
            {},
            "two: is one of 3 managers; with one less, no more may be lost than with two less — add a manager first",
        ),
        ("two", {}, {"host_removal_dead": True}, "two: answers, it is not dead — use playbooks/remove_host.yml"),
    ],
    ids=["platform", "last of its runtime", "even managers", "not dead"],
)
def test_what_the_swarm_cannot_do_without_stays(
    hosts: Machines, name: str, change: dict[str, object], variables: dict[str, object], message: str
) -> None:
    changes = {host: values | _role(values) for host, values in change.items() if isinstance(values, dict)}
    hosts.change(**changes)
    done = hosts.play("remove_host", "--limit", name, **variables)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split())
    assert verbs(hosts) == []


def _role(values: dict[str, object]) -> dict[str, object]:
    labels = {"dynoform.test.runtime": "common"}
    return {"Spec": {"Role": "manager", "Availability": "active", "Labels": labels}} if "manager" in values else {}


@pytest.mark.fleet
def test_a_dead_host_is_forgotten_without_being_asked(hosts: Machines) -> None:
    hosts.change(two={"Status": {"State": "down"}})
    hosts.cut("two")
    done = hosts.play("remove_host", "--limit", "two", host_removal_dead=True)
    assert done.returncode == 0, done.stdout
    assert hosts.node("two") is None
    assert verbs(hosts) == ["node rm"]
