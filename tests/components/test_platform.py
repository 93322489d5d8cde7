"""The whole program under mocks: what it declares, and the rules that hold for each resource."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

SERVICE = "docker:index/service:Service"


@pytest.fixture(scope="module")
def platform(declare: Callable[[dict[str, str]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return declare(
        {
            "dynoform:domain": "localhost",
            "dynoform:httpPort": "8080",
            "dynoform:httpsPort": "8443",
            "dynoform:listenAddress": "127.0.0.1",
            "dynoform:execAddress": "127.0.0.80",
            "dynoform:platformPort": "7400",
            "dynoform:email": "operator@localhost",
            "dynoform:dynoSubnet": "172.29.0.0/22",
            "dynoform:platformSubnet": "172.29.4.0/24",
            "dynoform:apps": '{"python": {"source": "examples/apps/python", "config": {"GREETING": "Hello"}}}',
        }
    )


def services(platform: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each["inputs"] for each in platform if each["type"] == SERVICE]


def test_platform_declares_what_is_recorded(
    platform: list[dict[str, Any]], same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("platform", platform)


def test_no_two_resources_share_type_and_name(platform: list[dict[str, Any]]) -> None:
    names = Counter((each["type"], each["name"]) for each in platform)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_resource_is_named_after_the_stack(platform: list[dict[str, Any]]) -> None:
    assert [each["name"] for each in platform if not each["name"].startswith("local-")] == []


def test_every_docker_object_carries_the_stacks_label(platform: list[dict[str, Any]]) -> None:
    objects = [
        each for each in platform if each["type"].startswith("docker:index") and "image" not in each["type"].lower()
    ]
    assert len(objects) > 10
    for each in objects:
        assert {"label": "dynoform.stack", "value": "local"} in each["inputs"]["labels"], each["name"]


def test_services_write_what_is_unsafe_when_unset(platform: list[dict[str, Any]]) -> None:
    assert len(services(platform)) == 10
    for service in services(platform):
        task = service["taskSpec"]
        assert set(task["restartPolicy"]) >= {"condition", "delay", "window"}
        assert task["containerSpec"]["stopGracePeriod"] in {"10s", "30s"}
        assert task["containerSpec"]["capDrops"] == ["ALL"]
        assert task["containerSpec"]["readOnly"] is True
        assert task["resources"]["limits"]["memoryBytes"] > 0


def test_services_are_written_as_the_docker_plugin_reads_them_back(platform: list[dict[str, Any]]) -> None:
    """Each rule stands for a difference that the official plugin 5.2.0 would find at every run, or for a crash."""
    for service in services(platform):
        task = service["taskSpec"]
        container = task["containerSpec"]
        assert re.fullmatch(r"[^@]+:[\w.\[\]-]+", container["image"].rpartition("/")[2]), "an image without a tag"
        assert all(set(network) == {"id"} for network in task["networksAdvanceds"]), "a network not by its id alone"
        for mount in container.get("mounts", []):
            assert mount.get("tmpfsOptions", {}).get("mode", 0) <= 0o777
        for secret in container.get("secrets", []):
            assert {"secretId", "secretName"} <= set(secret)
        for port in service["endpointSpec"].get("ports", []):
            assert (service["endpointSpec"]["mode"], port["publishMode"]) == ("dnsrr", "host")
        assert {} not in (task["restartPolicy"], task["resources"]["limits"], container.get("privileges"))
        assert [text for text in durations(service) if not is_shortest(text)] == []


def durations(value: Any, key: str = "") -> list[str]:
    """All durations in a resource's inputs that are read back."""
    if isinstance(value, dict):
        return [text for name, each in value.items() if name != "convergeConfig" for text in durations(each, name)]
    if isinstance(value, list):
        return [text for each in value for text in durations(each, key)]
    timed = {"delay", "window", "monitor", "interval", "timeout", "startPeriod", "stopGracePeriod"}
    return [value] if key in timed else []


def is_shortest(text: str) -> bool:
    """Whether a duration is in Go's form, less the units that are zero: ``1m30s``, not ``90s``."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if match is None or not text:
        return False
    hours, minutes, seconds = match.groups()
    if text == "0s":
        return True
    return all(part is None or part.lstrip("0") == part for part in (hours, minutes, seconds)) and all(
        part is None or int(part) < 60 for part in (minutes, seconds)
    )


@pytest.mark.parametrize(
    ("text", "stable"), [("10s", True), ("1m30s", True), ("1h", True), ("0s", True), ("90s", False), ("1m0s", False)]
)
def test_durations_in_longer_forms_are_told(text: str, stable: bool) -> None:
    assert is_shortest(text) is stable


def test_no_secret_is_in_a_services_environment_or_arguments(platform: list[dict[str, Any]]) -> None:
    for service in services(platform):
        assert "[secret]" not in str(service["taskSpec"]["containerSpec"].get("env", {}))
        assert "password" not in str(service["taskSpec"]["containerSpec"].get("args", [])).lower()


def test_data_of_swarm_secrets_is_secret(platform: list[dict[str, Any]]) -> None:
    secrets = [each for each in platform if each["type"] == "docker:index/secret:Secret"]
    assert len(secrets) > 5
    assert {each["inputs"]["data"] for each in secrets} == {"[secret]"}
