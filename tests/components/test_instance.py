"""The program of add-ons under mocks: a small stack for each, of the platform's own components."""

from collections.abc import Callable
from typing import Any

import pytest

ADDON = "0a1b2c3d-0000-4000-8000-000000000001"
TOLD: dict[str, Any] = {
    "stack": "local",
    "addon": ADDON,
    "service": "heroku-postgresql",
    "image": "dynoform/postgres:0123456789ab",
    "network": "dyno-network-id",
    "address": "172.29.0.1",
    "port": 15000,
    "memory_mib": 256,
    "cache_mib": 32,
    "connections": 28,
    "constraints": [],
    "repository": "what opens it",
    "restored": False,
    "authority": {"cert_pem": "a-certificate", "key_pem": "a-key"},
}
Declare = Callable[[dict[str, Any]], list[dict[str, Any]]]


def test_a_postgres_is_what_was_recorded(instance: Declare, same_as_recorded: Callable[[str, Any], None]) -> None:
    same_as_recorded("instance_postgres", instance(TOLD))


def test_a_redis_is_what_was_recorded(instance: Declare, same_as_recorded: Callable[[str, Any], None]) -> None:
    told = {**TOLD, "service": "heroku-redis", "image": "dynoform/valkey:0123456789ab", "address": "data.example.com"}
    same_as_recorded("instance_redis", instance({**told, "constraints": ["node.labels.dynoform.local.platform==true"]}))


@pytest.mark.parametrize("service", ["heroku-postgresql", "heroku-redis"])
def test_all_that_an_addon_has_bears_its_id_and_goes_with_it(instance: Declare, service: str) -> None:
    declared = instance({**TOLD, "service": service})
    on_the_engine = [each for each in declared if each["type"].startswith("docker:")]
    assert {each["type"].rpartition(":")[2] for each in on_the_engine} == {"Secret", "Service", "Volume"}
    for each in on_the_engine:
        labels = {label["label"]: label["value"] for label in each["inputs"]["labels"]}
        assert labels == {"dynoform.stack": "local", "dynoform.addon": ADDON}
    (server,) = [each["inputs"] for each in on_the_engine if each["type"].endswith("Service")]
    assert server["name"] == f"local_addon-{ADDON}"
    assert [port["publishedPort"] for port in server["endpointSpec"]["ports"]] == [15000]
    container = server["taskSpec"]["containerSpec"]
    assert (container["readOnly"], container["capDrops"], container.get("capAdds")) == (True, ["ALL"], None)
    own = {"repository.conf"} if service == "heroku-postgresql" else set()
    assert {secret["fileName"] for secret in container["secrets"]} == {"server.crt", "server.key"} | own


def test_a_copy_waits_for_its_data_and_what_opens_its_repository_is_nowhere_in_clear(instance: Declare) -> None:
    declared = instance({**TOLD, "restored": True})
    (server,) = [each["inputs"] for each in declared if each["type"].endswith("Service")]
    assert server["taskSpec"]["containerSpec"]["env"]["POSTGRES_AWAITS"] == "yes"
    assert "what opens it" not in str(declared)
    volumes = {each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")}
    assert volumes == {f"local_addon-{ADDON}", f"local_addon-{ADDON}-backups"}
