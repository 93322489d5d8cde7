"""What the role dyno_runtime makes of networks as different engines describe them."""

from types import ModuleType
from typing import Any

import pytest

from tests import role_scripts

WANTED = {
    "name": "local_dynos",
    "bridge": "dyn-local",
    "subnet": "172.29.96.0/22",
    "binding": "127.0.0.1",
    "isolated": True,
}
OPTIONS = {
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
    "com.docker.network.bridge.name": "dyn-local",
}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return role_scripts.load("dyno_runtime", "inspect_host")


def known(subnet: str | None, label: str | None) -> dict[str, dict[str, Any]]:
    """Both networks, as 20.10 and 26 have them with a ``subnet``, and 29 without."""
    labels = {"dynoform.stack": "local"} | ({"dynoform.subnet": label} if label else {})
    ipam: dict[str, Any] = {"Driver": "default", "Options": {}, "Config": [{"Subnet": subnet}] if subnet else None}
    config = {"IPAM": ipam, "Options": OPTIONS, "Labels": labels}
    network = {"Id": "n", "Scope": "swarm", "ConfigFrom": {"Network": "local_dynos_config"}}
    return {"local_dynos_config": config, "local_dynos": network}


@pytest.mark.parametrize(
    ("subnet", "label", "why"),
    [
        ("172.29.96.0/22", None, ""),
        (None, "172.29.96.0/22", ""),
        (None, None, ""),
        ("172.29.64.0/22", None, "has the subnet 172.29.64.0/22"),
        (None, "172.29.64.0/22", "has the subnet 172.29.64.0/22"),
    ],
    ids=["told", "labelled", "neither", "told another", "labelled another"],
)
def test_a_subnet_is_known_by_the_engine_or_by_the_label(
    module: ModuleType, subnet: str | None, label: str | None, why: str
) -> None:
    found = module.state_of(WANTED, known(subnet, label), True)
    assert (found["replace"], found["create"]) == (why, ["config", "network"] if why else [])
