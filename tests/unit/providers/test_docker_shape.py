"""What previews, refreshes and imports show; what goes over the wire as a secret; settings of the provider."""

import base64
import json
from typing import Any

import pytest

from providers.docker.configuration import DEFAULT_HOST, RegistryAuth, configuration, refusals
from providers.docker.network import Network, network_state
from providers.docker.registry_auth import auth_header, credentials
from providers.docker.secret import Secret
from providers.docker.service import Service
from providers.docker.shape import imported, previewed, refreshed, shaped
from providers.docker.unknown import UNKNOWN
from providers.docker.volume import Volume
from providers.docker.wire import SECRET, SIGNATURE, from_wire, to_wire
from tests.unit.providers.docker_programs import SERVICE, inputs, merged, state

C = "taskSpec.containerSpec."


def test_preview_of_a_create_echoes_inputs_and_leaves_open_what_the_engine_decides() -> None:
    shown = previewed(Volume.schema, {"name": "v", "labels": []})
    assert shown == {"name": "v", "driver": UNKNOWN, "driverOpts": None, "labels": [], "mountpoint": UNKNOWN}
    service = previewed(Service.schema, inputs(Service(), SERVICE))
    assert service["mode"] is UNKNOWN
    assert service["updateConfig"] is None
    assert service["taskSpec"]["restartPolicy"] is UNKNOWN
    assert service["taskSpec"]["containerSpec"]["image"] == "app:1"


def test_refresh_brings_drift_into_inputs_and_keeps_the_programs_spelling() -> None:
    given = inputs(Service(), merged(merged(SERVICE, C + "stopGracePeriod", "60s"), C + "env", {"A": "1"}))
    now = state(Service(), given)
    now["taskSpec"]["containerSpec"]["env"] = {"A": "1", "B": "2"}
    now["mode"] = {"global": False, "replicated": {"replicas": 5}}
    fresh = refreshed(Service.schema, given, now)
    assert fresh["taskSpec"]["containerSpec"]["stopGracePeriod"] == "60s"
    assert fresh["taskSpec"]["containerSpec"]["env"] == {"A": "1", "B": "2"}
    assert "mode" not in fresh
    assert fresh["__defaults"] == []


def test_import_gives_inputs_that_make_no_difference() -> None:
    engine = {
        "Name": "n",
        "Driver": "bridge",
        "Scope": "local",
        "Labels": {"a": "1"},
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.1.0.0/24"}]},
    }
    assert imported(Network.schema, shaped(Network.schema, network_state(engine))) == {
        "name": "n",
        "driver": "bridge",
        "labels": [{"label": "a", "value": "1"}],
        "ipamConfigs": [{"subnet": "10.1.0.0/24"}],
    }


def test_secret_data_is_a_secret_on_the_wire_and_nothing_else_is() -> None:
    wire = to_wire({"name": "s", "data": "YQ==", "labels": []}, Secret.schema)
    assert wire["data"][SIGNATURE] == SECRET
    assert wire["name"] == "s"
    assert from_wire(wire) == {"name": "s", "data": "YQ==", "labels": []}


@pytest.mark.parametrize("values", [{"a": UNKNOWN}, {"a": [1, {"b": UNKNOWN}], "c": None, "d": True, "e": 0.5}])
def test_values_come_back_from_the_wire(values: dict[str, Any]) -> None:
    assert from_wire(to_wire(values)) == values


def test_password_of_a_service_is_a_secret_on_the_wire() -> None:
    wire = to_wire({"auth": {"serverAddress": "r", "password": "p"}}, Service.schema)
    assert wire["auth"]["password"][SIGNATURE] == SECRET
    assert wire["auth"]["serverAddress"] == "r"


@pytest.mark.parametrize(
    ("settings", "environment", "host"),
    [
        ({"host": "tcp://a:1"}, {"DOCKER_HOST": "tcp://b:2"}, "tcp://a:1"),
        ({}, {"DOCKER_HOST": "tcp://b:2"}, "tcp://b:2"),
        ({}, {}, DEFAULT_HOST),
    ],
)
def test_engine_is_the_programs_then_the_environments_then_the_local_one(
    settings: dict[str, str], environment: dict[str, str], host: str
) -> None:
    assert configuration(settings, environment).host == host


def test_settings_that_are_not_served_are_refused_by_name() -> None:
    assert refusals({"host": "x", "version": "5.2.0", "registryAuth": "[]"}) == []
    (unknown,) = refusals({"bogus": "1"})
    assert unknown.startswith("`docker:bogus` is not a valid configuration key for the docker provider.")
    (refused,) = refusals({"certPath": "x"})
    assert refused.startswith("docker:certPath: is not served")


def test_words_for_ssh_come_as_json_text() -> None:
    read = configuration({"host": "ssh://root@one:22", "sshOpts": '["-o", "BatchMode=yes"]'}, {})
    assert (read.host, read.ssh_options) == ("ssh://root@one:22", ("-o", "BatchMode=yes"))


def test_credentials_are_those_of_the_images_registry() -> None:
    text = json.dumps({"auths": {"b.example": {"auth": base64.b64encode(b"u:p").decode()}}})
    entries = json.dumps(
        [
            {"address": "https://a.example/", "username": "me", "password": "pw"},
            {"address": "b.example", "configFileContent": text},
            {"address": "c.example", "authDisabled": True},
        ]
    )
    registries = configuration({"registryAuth": entries}, {}).registries
    assert credentials("a.example/app:1", registries) == {
        "username": "me",
        "password": "pw",
        "serveraddress": "https://a.example/",
    }
    assert credentials("b.example/app:1", registries)["password"] == "p"
    assert credentials("c.example/app:1", registries) == {}
    assert credentials("app:1", registries) == {}
    own = {"serverAddress": "r", "username": "u", "password": "p"}
    (header,) = auth_header(credentials("app:1", registries, own)).values()
    assert json.loads(base64.urlsafe_b64decode(header))["serveraddress"] == "r"
    assert auth_header({}) == {}


def test_passwords_are_not_shown() -> None:
    assert "hunter2" not in repr(RegistryAuth("a", "u", "hunter2"))
