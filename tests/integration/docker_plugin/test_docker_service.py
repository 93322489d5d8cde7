"""Services on a real engine: life, drift, convergence, failures."""

import subprocess
import time
from typing import Any

import docker
import grpc
import pytest

from tests.integration.docker_plugin.harness import (
    LABELS,
    RESTART,
    C,
    Plugin,
    details,
    meanwhile,
    partial,
    started,
    web,
)

pytestmark = pytest.mark.engine


def test_service_lives(pulumi: Plugin, engine: docker.APIClient) -> None:
    made = pulumi.create("Service", "web", web("life", env={"A": "1"}))
    assert len(made.id) == 25
    assert pulumi.changes(made, web("life", env={"A": "1"})) == []
    assert pulumi.changes(pulumi.read(made), web("life", env={"A": "1"})) == []
    changed = pulumi.update(made, web("life", env={"A": "2"}, mode={"replicated": {"replicas": 2}}))
    assert changed.outputs["mode"]["replicated"] == {"replicas": 2}
    running = engine.tasks(filters={"service": made.id, "desired-state": "running"})
    assert [task["Spec"]["ContainerSpec"]["Env"] for task in running] == [["A=2"], ["A=2"]]
    assert all(task["Status"]["State"] == "running" for task in running)
    pulumi.delete(changed)
    containers = {"label": f"com.docker.swarm.service.id={made.id}"}
    assert engine.containers(all=True, filters=containers) == []
    pulumi.delete(changed)
    assert pulumi.read(changed).id == ""


def test_full_service_shows_no_difference_after_create_and_refresh(pulumi: Plugin) -> None:
    network = pulumi.create("Network", "full", {"driver": "bridge", "attachable": True, "labels": LABELS})
    secret = pulumi.create("Secret", "full", {"data": "aGVsbG8=", "labels": LABELS})
    program = web(
        "full",
        env={"A": "1", "B": ""},
        healthcheck={"tests": ["CMD", "sleep", "0"], "interval": "1000ms", "retries": 2},
        hosts=[{"host": "h", "ip": "10.0.0.1"}],
        mounts=[
            {"target": "/t", "type": "tmpfs", "tmpfsOptions": {"mode": 0o755, "sizeBytes": 65536}},
            {"target": "/b", "type": "bind", "source": "/etc", "readOnly": True},
        ],
        secrets=[{"secretId": secret.id, "secretName": secret.outputs["name"], "fileName": "s", "fileUid": "1000"}],
        capDrops=["ALL"],
        init=True,
        user="1000:1000",
        sysctl={"net.ipv4.ip_unprivileged_port_start": "0"},
    )
    program["endpointSpec"]["ports"] = [{"targetPort": 80, "publishMode": "host"}]
    program["taskSpec"] |= {
        "resources": {"limits": {"memoryBytes": 64 << 20, "nanoCpus": 100_000_000}},
        "placement": {"constraints": ["node.role==manager"], "maxReplicas": 2},
        "logDriver": {"name": "json-file", "options": {"max-size": "1m"}},
    }
    made = pulumi.create("Service", "full", program)
    assert pulumi.changes(made, program) == []
    assert pulumi.changes(pulumi.read(made), program) == []
    imported = pulumi.imported("Service", made.id)
    assert pulumi.changes(imported, {**imported.inputs, "convergeConfig": None}) == []
    assert pulumi.imported("Service", program["name"]).id == ""
    with pytest.raises(grpc.RpcError) as error:
        pulumi.delete(secret)
    assert f"is in use by the following service: {program['name']}" in details(error)
    for resource in (made, secret, network):
        pulumi.delete(resource)


def test_drift_shows_and_is_put_back(pulumi: Plugin, engine: docker.APIClient) -> None:
    program = web("drift", env={"A": "1"}, mode={"replicated": {"replicas": 1}})
    made = pulumi.create("Service", "drift", program)
    subprocess.run(
        ["docker", "service", "update", "-q", "-d", "--replicas=3", "--env-add=B=2", "--label-add=x=y", made.id],
        check=True,
        capture_output=True,
    )
    drifted = pulumi.read(made)
    assert drifted.inputs["mode"] == {"replicated": {"replicas": 3}}
    assert pulumi.changes(drifted, program) == ["labels[1]", "mode.replicated.replicas", f"{C}.env.B"]
    mended = pulumi.update(drifted, program)
    assert pulumi.changes(mended, program) == []
    assert engine.inspect_service(made.id)["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]
    engine.remove_service(made.id)
    assert pulumi.read(mended).id == ""
    with pytest.raises(grpc.RpcError) as error:
        pulumi.update(mended, web("drift"))
    assert f"updating {made.urn}: 1 error occurred:" in details(error)
    assert f"service {made.id} not found" in details(error)


def test_what_the_program_does_not_name_stays_as_it_was_set_elsewhere(pulumi: Plugin, engine: docker.APIClient) -> None:
    made = pulumi.create("Service", "scaled", web("scaled"))
    subprocess.run(["docker", "service", "scale", "-d", f"{made.id}=2"], check=True, capture_output=True)
    pulumi.update(made, web("scaled", env={"A": "1"}))
    assert engine.inspect_service(made.id)["Spec"]["Mode"] == {"Replicated": {"Replicas": 2}}


@pytest.mark.parametrize("policy", [RESTART, None], ids=["policy", "none"])
def test_label_alone_restarts_nothing(pulumi: Plugin, engine: docker.APIClient, policy: Any) -> None:
    made = pulumi.create("Service", "label", web("label", restartPolicy=policy))
    before = started(engine, made)
    labelled = web("label", restartPolicy=policy, labels=[*LABELS, {"label": "a", "value": "1"}])
    changed = pulumi.update(made, labelled)
    time.sleep(1)
    assert len(changed.outputs["labels"]) == 2
    assert started(engine, made) == before


def test_service_that_never_runs_is_removed_again(pulumi: Plugin, engine: docker.APIClient) -> None:
    # A program that cannot start: one that ends at once may be seen running.
    program = web("never", commands=["/nothing"], convergeConfig={"delay": "100ms", "timeout": "10s"})
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("Service", "never", program)
    text = details(error)
    assert text.startswith("1 error occurred:\n\t* Service with ID (")
    assert "did not converge after 10s: 0 of 1 tasks run: a task is failed: starting container failed: " in text
    assert engine.services(filters={"name": program["name"]}) == []


def test_failed_update_is_remembered_and_can_be_taken_back(pulumi: Plugin) -> None:
    good = web("fails", updateConfig={"monitor": "5s"})
    made = pulumi.create("Service", "fails", good)
    with pytest.raises(grpc.RpcError) as error:
        pulumi.update(made, web("fails", updateConfig={"monitor": "5s"}, commands=["false"]))
    assert "service update paused: update paused due to failure or early termination of task" in details(error)
    failed = partial(error.value)
    assert failed.id == made.id
    assert failed.properties["taskSpec"]["containerSpec"]["commands"][0] == "false"
    assert failed.inputs["taskSpec"]["containerSpec"]["commands"][0] == "sleep"
    made.outputs["taskSpec"]["containerSpec"]["commands"] = ["false"]
    assert pulumi.changes(made, good) == [f"{C}.commands[0]", f"{C}.commands[1]"]
    pulumi.update(made, good)


def test_update_gets_through_while_others_change_the_service(pulumi: Plugin, engine: docker.APIClient) -> None:
    made = pulumi.create("Service", "busy", web("busy", convergeConfig=None))
    labels = [*LABELS, {"label": "mine", "value": "1"}]

    def disturb() -> None:
        found = engine.inspect_service(made.id)
        url = f"{engine.base_url}/v{engine.api_version}/services/{made.id}/update"
        engine.post(url, json=found["Spec"], params={"version": found["Version"]["Index"]})

    with meanwhile(disturb):
        for number in range(5):
            value = {"label": "mine", "value": str(number)}
            made = pulumi.update(made, web("busy", convergeConfig=None, labels=[*LABELS, value]))
    assert len(made.outputs["labels"]) == len(labels)
    assert engine.inspect_service(made.id)["Spec"]["Labels"]["mine"] == "4"


def test_networks_by_name_stay_by_name(pulumi: Plugin) -> None:
    network = pulumi.create("Network", "byname", {"name": "dkptest_byname", "driver": "overlay", "labels": LABELS})
    program = web("byname", networksAdvanceds=[{"name": "dkptest_byname"}], convergeConfig=None)
    made = pulumi.create("Service", "byname", program)
    assert pulumi.changes(pulumi.read(made), program) == []
    pulumi.delete(made)
    pulumi.delete(network)
