"""A service's properties to the engine's spec and back, and what an update leaves as it is."""

from typing import Any

from providers.docker.diff import difference, planned
from providers.docker.service import SCHEMA, Service
from providers.docker.service_spec import service_spec, updated_spec
from providers.docker.service_state import service_state
from providers.docker.shape import shaped
from tests.unit.providers.docker_programs import SERVICE, inputs, merged, state

SECOND = 1_000_000_000
LABEL = [{"label": "a", "value": "1"}]

FULL: dict[str, Any] = {
    "name": "web",
    "labels": LABEL,
    "mode": {"replicated": {"replicas": 2}},
    "endpointSpec": {"mode": "dnsrr", "ports": [{"targetPort": 80, "publishedPort": 8080, "publishMode": "host"}]},
    "updateConfig": {"order": "start-first", "maxFailureRatio": "0.25"},
    "taskSpec": {
        "containerSpec": {
            "image": "app:1",
            "labels": LABEL,
            "env": {"B": "2", "A": "x=y"},
            "hosts": [{"host": "h", "ip": "10.0.0.1"}],
            "stopGracePeriod": "30s",
            "capDrops": ["ALL"],
            "init": True,
            "healthcheck": {"tests": ["CMD", "true"], "interval": "5s", "retries": 3},
            "dnsConfig": {"nameservers": ["10.0.0.2"], "searches": ["a"]},
            "mounts": [
                {"target": "/v", "type": "volume", "source": "v", "volumeOptions": {"labels": LABEL, "noCopy": True}},
                {"target": "/t", "type": "tmpfs", "tmpfsOptions": {"mode": 0o755, "sizeBytes": 1024}},
                {"target": "/b", "type": "bind", "source": "/b", "bindOptions": {"propagation": "rshared"}},
            ],
            "secrets": [{"secretId": "i", "secretName": "n", "fileName": "f"}],
            "configs": [{"configId": "i", "configName": "n", "fileName": "/f", "fileMode": 0o400}],
            "privileges": {"seLinuxContext": {"disable": True}},
            "sysctl": {"net.ipv4.ip_forward": "1"},
        },
        "networksAdvanceds": [{"id": "n1", "aliases": ["web"], "driverOpts": ["a=b"]}],
        "placement": {
            "constraints": ["node.role==manager"],
            "prefs": ["spread=node.labels.zone"],
            "platforms": [{"architecture": "amd64", "os": "linux"}],
            "maxReplicas": 1,
        },
        "resources": {
            "limits": {"memoryBytes": 64 << 20, "nanoCpus": 500_000_000},
            "reservation": {
                "memoryBytes": 32 << 20,
                "genericResources": {"discreteResourcesSpecs": ["SSD=3"], "namedResourcesSpecs": ["GPU=1"]},
            },
        },
        "restartPolicy": {"condition": "on-failure", "delay": "2s", "maxAttempts": 3, "window": "10s"},
        "logDriver": {"name": "json-file", "options": {"max-size": "10m"}},
        "forceUpdate": 1,
        "runtime": "container",
    },
}


def test_minimal_service_says_little_to_the_engine() -> None:
    assert service_spec(inputs(Service(), SERVICE)) == {
        "Name": "web",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "app:1", "Command": ["serve"], "StopGracePeriod": 0, "Isolation": "default"}
        },
        "EndpointSpec": {"Mode": "dnsrr"},
    }


def test_state_of_a_minimal_service_has_every_property() -> None:
    found = state(Service(), inputs(Service(), SERVICE))
    assert {name: found[name] for name in ("auth", "convergeConfig", "updateConfig", "labels")} == {
        "auth": None,
        "convergeConfig": None,
        "updateConfig": None,
        "labels": [],
    }
    task, container = found["taskSpec"], found["taskSpec"]["containerSpec"]
    assert task["restartPolicy"] == {"condition": "any", "delay": "", "window": "", "maxAttempts": 0}
    assert task["placement"] == {"constraints": [], "prefs": [], "platforms": [], "maxReplicas": 0}
    assert task["resources"] == {"limits": None, "reservation": None}
    assert (task["forceUpdate"], task["runtime"], task["logDriver"]) == (0, "container", None)
    assert container["stopGracePeriod"] == "0s"
    assert container["dnsConfig"] == {"nameservers": None, "options": None, "searches": None}
    assert container["healthcheck"] == {
        "interval": "0s",
        "timeout": "0s",
        "startPeriod": "0s",
        "retries": 0,
        "tests": [],
    }
    assert set(container) == set(SCHEMA.fields["taskSpec"].fields["containerSpec"].fields)


def test_full_service_comes_back_from_the_engines_spec_as_it_went() -> None:
    given = inputs(Service(), FULL)
    once = state(Service(), given)
    assert shaped(SCHEMA, service_state(service_spec(once), once)) == once
    assert difference(SCHEMA, once, given).changes == {}


def test_full_service_uses_the_engines_words_and_units() -> None:
    spec = service_spec(inputs(Service(), FULL))
    task, container = spec["TaskTemplate"], spec["TaskTemplate"]["ContainerSpec"]
    assert container["Env"] == ["A=x=y", "B=2"]
    assert container["Hosts"] == ["10.0.0.1 h"]
    assert container["StopGracePeriod"] == 30 * SECOND
    assert container["Mounts"][1] == {
        "Type": "tmpfs",
        "Target": "/t",
        "TmpfsOptions": {"SizeBytes": 1024, "Mode": 0o755},
    }
    assert container["Secrets"][0]["File"] == {"Name": "f", "UID": "0", "GID": "0", "Mode": 0o444}
    assert task["Networks"] == [{"Target": "n1", "Aliases": ["web"], "DriverOpts": {"a": "b"}}]
    assert task["RestartPolicy"] == {
        "Condition": "on-failure",
        "Delay": 2 * SECOND,
        "MaxAttempts": 3,
        "Window": 10 * SECOND,
    }
    assert task["Resources"]["Limits"] == {"MemoryBytes": 64 << 20, "NanoCPUs": 500_000_000}
    assert spec["UpdateConfig"]["MaxFailureRatio"] == 0.25


def test_delay_and_window_of_a_given_restart_policy_are_zero_where_it_does_not_say_them() -> None:
    spec = service_spec(merged(SERVICE, "taskSpec.restartPolicy", {"condition": "any"}))
    assert spec["TaskTemplate"]["RestartPolicy"] == {"Condition": "any", "Delay": 0, "MaxAttempts": 0, "Window": 0}


def test_empty_blocks_say_nothing() -> None:
    program = merged(merged(SERVICE, "taskSpec.restartPolicy", {}), "taskSpec.resources", {"limits": {}})
    program = merged(program, "taskSpec.containerSpec.privileges", {})
    spec = service_spec(program)["TaskTemplate"]
    assert "RestartPolicy" not in spec
    assert "Resources" not in spec
    assert "Privileges" not in spec["ContainerSpec"]


def test_update_leaves_what_the_program_does_not_name_as_the_engine_has_it() -> None:
    given = inputs(Service(), merged(SERVICE, "taskSpec.containerSpec.env", {"A": "1"}))
    current = service_spec(inputs(Service(), FULL))
    spec = updated_spec(planned(SCHEMA, state(Service(), given), given), given, current)
    task, container = spec["TaskTemplate"], spec["TaskTemplate"]["ContainerSpec"]
    assert spec["Labels"] == {"a": "1"}
    assert spec["Mode"] == {"Replicated": {"Replicas": 2}}
    assert spec["EndpointSpec"] == {"Mode": "dnsrr"}
    for part in ("RestartPolicy", "Resources", "Placement"):
        assert task[part] == current["TaskTemplate"][part]
    assert container["Healthcheck"] == current["TaskTemplate"]["ContainerSpec"]["Healthcheck"]
    assert container["StopGracePeriod"] == 30 * SECOND
    assert container["Env"] == ["A=1"]
    assert "Mounts" not in container
    assert "LogDriver" not in task


def test_update_of_a_service_without_a_restart_policy_does_not_give_it_one() -> None:
    given = inputs(Service(), SERVICE)
    current = service_spec(given)
    assert updated_spec(planned(SCHEMA, state(Service(), given), given), given, current) == current


def test_going_global_says_both_modes_which_the_engine_refuses() -> None:
    before = state(Service(), inputs(Service(), SERVICE))
    before["mode"] = {"global": False, "replicated": {"replicas": 1}}
    given = inputs(Service(), merged(SERVICE, "mode", {"global": True}))
    spec = updated_spec(planned(SCHEMA, before, given), given, service_spec(before))
    assert spec["Mode"] == {"Global": {}, "Replicated": {"Replicas": 1}}
