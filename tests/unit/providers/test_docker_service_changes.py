"""What a change of a service does: the recorded table, row by row."""

from typing import Any

import pytest

from providers.docker.diff import difference
from providers.docker.service import SCHEMA, Service
from providers.docker.unknown import UNKNOWN
from tests.unit.providers.docker_programs import SERVICE, compared, merged, verdict

LABEL = [{"label": "a", "value": "1"}]
OTHER_LABEL = [{"label": "a", "value": "2"}]
MOUNT = {"target": "/data", "source": "v", "type": "volume"}
LABELLED = {**MOUNT, "volumeOptions": {"labels": LABEL}}
PORT = {"targetPort": 80, "publishMode": "host", "publishedPort": 8080, "name": "http"}
SECOND_PORT = {"targetPort": 81, "publishMode": "host"}
NETWORK = {"id": "n1", "aliases": ["a", "b"]}
C = "taskSpec.containerSpec."
T = "taskSpec."
LIMITS = {"limits": {"memoryBytes": 1}}
FILE = {"secretId": "s1", "secretName": "n", "fileName": "f"}

# path, before, after (None: not in the program), what Diff says
CHANGES: list[tuple[str, Any, Any, str]] = [
    ("name", "web", "other", "R"),
    ("name", "web", None, "-"),
    ("auth", None, {"serverAddress": "r"}, "R"),
    ("labels", LABEL, OTHER_LABEL, "U"),
    ("labels", LABEL, None, "-"),
    ("labels", LABEL, [], "-"),
    ("labels", [*LABEL, {"label": "b", "value": "2"}], [{"label": "b", "value": "2"}, *LABEL], "-"),
    ("mode.replicated.replicas", 1, 3, "U"),
    ("mode.replicated.replicas", 3, 0, "U"),
    ("mode", {"replicated": {"replicas": 3}}, None, "-"),
    ("mode", {"replicated": {"replicas": 3}}, {}, "-"),
    ("mode", {"replicated": {}}, {"global": True}, "U"),
    ("endpointSpec.mode", "dnsrr", "vip", "U"),
    ("endpointSpec.mode", "dnsrr", None, "-"),
    ("endpointSpec", {"mode": "dnsrr", "ports": [PORT]}, None, "-"),
    ("endpointSpec.ports", [PORT], None, "U"),
    ("endpointSpec.ports", [PORT], [{**PORT, "targetPort": 90}], "U"),
    ("endpointSpec.ports", [PORT, SECOND_PORT], [SECOND_PORT, PORT], "U"),
    ("endpointSpec.ports", [PORT], [merged(PORT, "publishedPort", None)], "-"),
    ("endpointSpec.ports", [PORT], [merged(PORT, "name", None)], "U"),
    ("updateConfig", {"parallelism": 1}, {"parallelism": 2}, "U"),
    ("updateConfig", {"parallelism": 1}, None, "U"),
    ("rollbackConfig", None, {}, "U"),
    ("rollbackConfig", {}, None, "U"),
    ("convergeConfig", {}, {"timeout": "1m"}, "U"),
    ("convergeConfig", {}, None, "U"),
    (C + "image", "app:1", "app:2", "U"),
    (C + "commands", ["serve"], ["serve", "-v"], "U"),
    (C + "commands", ["serve"], None, "U"),
    (C + "args", ["a", "b"], ["b", "a"], "U"),
    (C + "env", {"A": "1"}, {"A": "2"}, "U"),
    (C + "env", {"A": "1"}, None, "U"),
    (C + "env", {"A": "1", "B": ""}, {"B": "", "A": "1"}, "-"),
    (C + "dir", "/a", "/b", "U"),
    (C + "dir", "/a", None, "U"),
    (C + "user", "a", None, "U"),
    (C + "hostname", "a", "b", "U"),
    (C + "groups", ["a", "b"], ["b", "a"], "U"),
    (C + "stopSignal", "SIGINT", None, "U"),
    (C + "readOnly", True, None, "U"),
    (C + "readOnly", None, False, "-"),
    (C + "secrets", [FILE], [{**FILE, "secretId": "s2"}], "U"),
    (C + "secrets", [FILE], None, "U"),
    (C + "configs", None, [{"configId": "c", "configName": "n", "fileName": "f"}], "U"),
    (C + "capAdds", ["NET_ADMIN"], ["SYS_TIME"], "U"),
    (C + "capAdds", ["NET_ADMIN"], ["cap_net_admin"], "-"),
    (C + "capDrops", ["ALL"], None, "U"),
    (C + "privileges", None, {"seLinuxContext": {"disable": True}}, "U"),
    (C + "stopGracePeriod", "10s", "20s", "U"),
    (C + "stopGracePeriod", "10s", None, "-"),
    (C + "init", True, False, "U"),
    (C + "init", True, None, "-"),
    (C + "healthcheck", {"tests": ["CMD", "a"]}, {"tests": ["CMD", "b"]}, "U"),
    (C + "healthcheck", {"tests": ["CMD", "a"]}, None, "-"),
    (C + "healthcheck", {"tests": ["CMD", "a"], "retries": 3}, {"tests": ["CMD", "a"]}, "U"),
    (C + "dnsConfig", {"nameservers": ["1.1.1.1"]}, {"nameservers": ["9.9.9.9"]}, "U"),
    (C + "dnsConfig", {"nameservers": ["1.1.1.1"]}, None, "-"),
    (C + "dnsConfig", {"nameservers": ["1.1.1.1"], "searches": ["a"]}, {"nameservers": ["1.1.1.1"]}, "U"),
    (C + "isolation", "default", None, "-"),
    (C + "labels", LABEL, OTHER_LABEL, "R"),
    (C + "labels", LABEL, None, "R"),
    (C + "hosts", None, [{"host": "a", "ip": "10.0.0.1"}], "R"),
    (C + "hosts", [{"host": "a", "ip": "10.0.0.1"}], None, "R"),
    (C + "sysctl", {"a.b": "1"}, {"a.b": "2"}, "R"),
    (C + "sysctl", {"a.b": "1"}, None, "R"),
    (C + "mounts", [MOUNT], [{**MOUNT, "target": "/other"}], "U"),
    (C + "mounts", [MOUNT], None, "U"),
    (C + "mounts", [LABELLED], [{**LABELLED, "target": "/other"}], "R"),
    (C + "mounts", [MOUNT], [LABELLED], "R"),
    (T + "networksAdvanceds", None, [NETWORK], "R"),
    (T + "networksAdvanceds", [NETWORK], None, "R"),
    (T + "networksAdvanceds", [NETWORK], [{**NETWORK, "id": "n2"}], "R"),
    (T + "networksAdvanceds", [NETWORK], [{**NETWORK, "aliases": ["a"]}], "R"),
    (T + "networksAdvanceds", [NETWORK], [{**NETWORK, "aliases": ["b", "a"]}], "-"),
    (T + "networksAdvanceds", [NETWORK, {"id": "n2"}], [{"id": "n2"}, NETWORK], "-"),
    (T + "resources", {"limits": {"memoryBytes": 1}}, {"limits": {"memoryBytes": 2}}, "U"),
    (T + "resources", {"limits": {"memoryBytes": 1}}, None, "-"),
    (
        T + "resources",
        {**LIMITS, "reservation": {"nanoCpus": 1}},
        {"limits": {"memoryBytes": 1}},
        "U",
    ),
    (T + "resources", {"limits": {"memoryBytes": 1, "nanoCpus": 1}}, {"limits": {"memoryBytes": 1}}, "U"),
    (T + "restartPolicy", {"condition": "any", "delay": "1s"}, {"condition": "any", "delay": "2s"}, "U"),
    (T + "restartPolicy", {"condition": "none"}, {"delay": "1s"}, "U"),
    (T + "restartPolicy", {"condition": "none"}, None, "-"),
    (T + "placement", {"constraints": ["a==1"]}, {"constraints": ["a==2"]}, "U"),
    (T + "placement", {"constraints": ["a==1", "b==2"]}, {"constraints": ["b==2", "a==1"]}, "-"),
    (T + "placement", {"constraints": ["a==1"]}, None, "-"),
    (T + "placement", {"constraints": ["a==1"], "maxReplicas": 1}, {"constraints": ["a==1"]}, "U"),
    (T + "logDriver", {"name": "json-file"}, None, "U"),
    (T + "logDriver", {"name": "json-file"}, {"name": "json-file", "options": {"max-size": "1m"}}, "U"),
    (T + "forceUpdate", 1, 2, "U"),
    (T + "forceUpdate", 1, None, "U"),
    (T + "runtime", None, "plugin", "U"),
    (T + "runtime", "container", None, "-"),
]


@pytest.mark.parametrize(("path", "before", "after", "expected"), CHANGES)
def test_change_replaces_updates_or_does_nothing(path: str, before: Any, after: Any, expected: str) -> None:
    found = compared(Service(), merged(SERVICE, path, before), merged(SERVICE, path, after))
    assert verdict(found) == expected, found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("name", "R"),
        (C + "image", "U"),
        (C + "env", "U"),
        ("labels", "U"),
        ("mode.replicated.replicas", "U"),
    ],
)
def test_a_value_that_is_not_yet_known_is_a_change(path: str, expected: str) -> None:
    assert verdict(compared(Service(), SERVICE, merged(SERVICE, path, UNKNOWN))) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (T + "networksAdvanceds", [{"id": UNKNOWN}], "R"),
        (C + "secrets", [{**FILE, "secretId": UNKNOWN}], "U"),
    ],
)
def test_an_element_with_an_unknown_value_is_a_change(path: str, value: Any, expected: str) -> None:
    before = merged(merged(SERVICE, T + "networksAdvanceds", [{"id": "n"}]), C + "secrets", [FILE])
    assert verdict(compared(Service(), before, merged(before, path, value))) == expected


# Forms of the same thing, which the official plugin shows as a change for ever.
SAME: list[tuple[str, Any, Any]] = [
    (C + "image", "app", "app:latest"),
    (C + "image", "app:1", "app:1@sha256:0f"),
    (C + "stopGracePeriod", "60s", "1m"),
    (C + "stopGracePeriod", "1500ms", "1.5s"),
    (C + "mounts", [{**MOUNT, "tmpfsOptions": {"mode": 1777}}], [{**MOUNT, "tmpfsOptions": {"mode": 241}}]),
    ("updateConfig", {"maxFailureRatio": "0.10", "delay": "90s"}, {"maxFailureRatio": "0.1", "delay": "1m30s"}),
    (T + "restartPolicy", {"condition": "any"}, {"condition": "any", "delay": "0s", "window": "0s"}),
]


@pytest.mark.parametrize(("path", "program", "of_engine"), SAME)
def test_what_the_engine_spells_differently_is_no_change(path: str, program: Any, of_engine: Any) -> None:
    assert verdict(compared(Service(), merged(SERVICE, path, of_engine), merged(SERVICE, path, program))) == "-"


def test_detail_names_paths_as_pulumi_writes_them() -> None:
    before = merged(merged(SERVICE, C + "env", {"A": "1", "a.b": "1"}), "labels", LABEL)
    labels = [{"label": "b", "value": "1"}, *OTHER_LABEL]
    after = merged(merged(SERVICE, C + "env", {"A": "2", "C": "3"}), "labels", labels)
    assert compared(Service(), before, after).changes == {
        "labels[0]": "update",
        "labels[1]": "add",
        C + "env.A": "update",
        C + "env.C": "add",
        C + 'env["a.b"]': "delete",
    }


@pytest.mark.parametrize("ignored", ["mode.replicated.replicas", "mode", "*"])
def test_ignored_changes_are_none(ignored: str) -> None:
    found = compared(Service(), SERVICE, merged(SERVICE, "mode.replicated.replicas", 4))
    assert verdict(found.without([ignored])) == "-"
    assert verdict(found.without(["labels", "mode.replicated.replica"])) == "U"


def test_state_of_the_official_plugin_with_its_hidden_keys_is_no_change() -> None:
    hidden = {"__meta": '{"schema_version":"2"}', "__pulumi_raw_state_delta": {"obj": {}}}
    before = {"name": "web", **hidden, "labels": [{"label": "a", "value": "1", "__defaults": []}]}
    after = {"name": "web", "labels": LABEL, "__defaults": []}
    assert difference(SCHEMA, before, after).changes == {}
