"""What a change of a network, volume, secret, config or image does: the recorded rules."""

from typing import Any

import pytest

from providers.docker.network import VXLAN_IDS, Network
from providers.docker.remote_image import RemoteImage
from providers.docker.resource import Resource
from providers.docker.secret import Secret
from providers.docker.service_config import ServiceConfig
from providers.docker.volume import Volume
from tests.unit.providers.docker_programs import compared, merged, verdict

LABEL = [{"label": "a", "value": "1"}]
LABELS = [*LABEL, {"label": "b", "value": "2"}]
RANGE = {"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}
BUILD = {"context": "."}
NETWORK, VOLUME, SECRET, CONFIG, IMAGE = Network(), Volume(), Secret(), ServiceConfig(), RemoteImage()
BASE: dict[Resource, dict[str, Any]] = {
    NETWORK: {"name": "n"},
    VOLUME: {"name": "v"},
    SECRET: {"name": "s", "data": "YQ=="},
    CONFIG: {"name": "c", "data": "YQ=="},
    IMAGE: {"name": "app:1"},
}

# type, path, before, after (None: not in the program), what Diff says
CHANGES: list[tuple[Resource, str, Any, Any, str]] = [
    (NETWORK, "name", "n", "m", "R"),
    (NETWORK, "name", "n", None, "-"),
    (NETWORK, "driver", None, "overlay", "R"),
    (NETWORK, "driver", "bridge", None, "-"),
    (NETWORK, "driver", None, "bridge", "-"),
    (NETWORK, "internal", False, True, "R"),
    (NETWORK, "internal", True, None, "-"),
    (NETWORK, "attachable", None, True, "R"),
    (NETWORK, "attachable", True, None, "R"),
    (NETWORK, "attachable", None, False, "-"),
    (NETWORK, "ipv6", None, True, "R"),
    (NETWORK, "labels", None, LABEL, "R"),
    (NETWORK, "labels", LABEL, None, "R"),
    (NETWORK, "labels", LABELS, LABELS[::-1], "-"),
    (NETWORK, "labels", None, [], "-"),
    (NETWORK, "options", {"a": "1"}, {"a": "2"}, "R"),
    (NETWORK, "options", {"a": "1"}, None, "-"),
    (NETWORK, "options", None, {}, "-"),
    (NETWORK, "options", {"a": "1", VXLAN_IDS: "4099"}, {"a": "1"}, "-"),
    (NETWORK, "ipamConfigs", [RANGE], [{**RANGE, "gateway": "10.1.0.2"}], "R"),
    (NETWORK, "ipamConfigs", [RANGE], [{"subnet": "10.2.0.0/24"}], "R"),
    (NETWORK, "ipamConfigs", [RANGE], None, "-"),
    (NETWORK, "ipamConfigs", [RANGE], [{"subnet": "10.1.0.0/24"}], "-"),
    (NETWORK, "ipamConfigs", [RANGE, {"subnet": "fd00::/64"}], [{"subnet": "fd00::/64"}], "-"),
    (NETWORK, "ipamConfigs", [RANGE, {"subnet": "10.3.0.0/24"}], [RANGE], "R"),
    (NETWORK, "ipamDriver", None, "other", "R"),
    (NETWORK, "ipamOptions", None, {"a": "b"}, "R"),
    (VOLUME, "name", "v", "w", "R"),
    (VOLUME, "driver", "local", None, "-"),
    (VOLUME, "driver", "local", "other", "R"),
    (VOLUME, "driverOpts", {"type": "tmpfs"}, None, "R"),
    (VOLUME, "driverOpts", None, {}, "-"),
    (VOLUME, "labels", LABEL, None, "R"),
    (VOLUME, "labels", LABELS, LABELS[::-1], "-"),
    (SECRET, "data", "YQ==", "Yg==", "R"),
    (SECRET, "name", "s", "t", "R"),
    (SECRET, "labels", LABEL, None, "R"),
    (SECRET, "labels", LABELS, LABELS[::-1], "-"),
    (CONFIG, "data", "YQ==", "Yg==", "R"),
    (CONFIG, "labels", LABEL, LABELS, "R"),
    (IMAGE, "name", "app:1", "app:2", "R"),
    (IMAGE, "platform", None, "linux/arm64", "R"),
    (IMAGE, "pullTriggers", ["1"], ["2"], "R"),
    (IMAGE, "triggers", {"hash": "1"}, {"hash": "2"}, "R"),
    (IMAGE, "triggers", {"hash": "1"}, None, "R"),
    (IMAGE, "build", None, BUILD, "R"),
    (IMAGE, "build", BUILD, None, "R"),
    (IMAGE, "build", BUILD, {**BUILD, "tags": ["app:2"]}, "R"),
    (IMAGE, "build", BUILD, {**BUILD, "label": {"a": "1"}}, "R"),
    (IMAGE, "build", BUILD, {**BUILD, "remove": False}, "R"),
    (IMAGE, "build", BUILD, {**BUILD, "buildArgs": {"A": "1"}}, "R"),
    (IMAGE, "build", BUILD, {**BUILD, "noCache": False, "target": ""}, "-"),
    (IMAGE, "keepLocally", None, True, "U"),
    (IMAGE, "forceRemove", True, None, "U"),
]


@pytest.mark.parametrize(("resource", "path", "before", "after", "expected"), CHANGES)
def test_change_replaces_updates_or_does_nothing(
    resource: Resource, path: str, before: Any, after: Any, expected: str
) -> None:
    base = BASE[resource]
    found = compared(resource, merged(base, path, before), merged(base, path, after))
    assert verdict(found) == expected, found


def test_data_of_a_config_in_another_form_is_another_config() -> None:
    assert verdict(compared(CONFIG, {"name": "c", "data": "YQ=="}, {"name": "c", "dataRaw": "a"})) == "R"


@pytest.mark.parametrize("resource", [NETWORK, VOLUME, SECRET, CONFIG])
def test_a_given_name_is_deleted_before_it_is_made_again_and_a_made_up_one_after(resource: Resource) -> None:
    assert resource.deletes_first({"name": "given", "__defaults": []})
    assert resource.deletes_first({"name": "imported"})
    assert not resource.deletes_first({"name": "web-1234567", "__defaults": ["name"]})


def test_an_image_is_never_deleted_before_the_next_one_is_there() -> None:
    assert not IMAGE.deletes_first({"name": "app:1"})
