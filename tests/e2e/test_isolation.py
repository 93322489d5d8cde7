"""A hostile app on the whole platform: what it finds when it knocks at every door of host, platform and neighbours."""

import json
import re
from typing import Any

import pytest

from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_bad_luck import log, says

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
METADATA = "169.254.169.254"
KNOCK = """import json, socket, sys
found = {}
for door in sys.argv[1:]:
    try:
        if door.startswith("/"):
            socket.socket(socket.AF_UNIX).connect(door)
        else:
            host, _, port = door.rpartition(":")
            socket.create_connection((host, int(port)), 5).close()
        found[door] = "open"
    except OSError as error:
        found[door] = type(error).__name__
print("knocked", json.dumps(found))
"""


def knock(platform: Platform, doors: list[str]) -> dict[str, str]:
    """What a one-off dyno of ``python`` finds at addresses (``host:port``) and sockets."""
    platform.api.patch("/apps/python/config-vars", json={"KNOCK": KNOCK}).raise_for_status()
    asked = {"command": f'python3 -c "$KNOCK" {" ".join(doors)}', "attach": False}
    name = platform.api.post("/apps/python/dynos", json=asked).raise_for_status().json()["name"]
    says(platform, "python", f"app[{name}]: knocked", within=120)
    (found,) = re.findall(rf"app\[{re.escape(name)}\]: knocked (.*)", log(platform, "python"))
    return dict(json.loads(found))


def gateways(platform: Platform) -> tuple[str, str]:
    """The host's addresses on the dynos' and on the platform's bridge."""
    networks = (platform.engine.networks.get(f"{STACK}_{noun}_config") for noun in ("dynos", "platform"))
    dynos, own = (network.attrs["IPAM"]["Config"][0]["Gateway"] for network in networks)
    return str(dynos), str(own)


def dyno(platform: Platform) -> Any:
    """The container of the dyno of ``node``."""
    return eventually(lambda: platform.only_dyno("node"), 60, "one dyno of node")


def neighbour(platform: Platform) -> tuple[str, int]:
    """Address of the dyno of ``node`` on the dynos' bridge, and the host's port that it is published on."""
    container = dyno(platform)
    (published,) = container.attrs["NetworkSettings"]["Ports"].values()
    networks = container.attrs["NetworkSettings"]["Networks"]
    return str(networks[f"{STACK}_dynos"]["IPAddress"]), int(published[0]["HostPort"])


def test_a_dyno_reaches_the_router_and_nothing_else(platform: Platform) -> None:
    dynos, own = gateways(platform)
    address, published = neighbour(platform)
    inside = dyno(platform).attrs["Config"]["ExposedPorts"]
    (port,) = (key.partition("/")[0] for key in inside)
    router = f"{dynos}:18080"
    platform_ports = [f"{host}:{number}" for host in (dynos, own) for number in range(17400, 17407)]
    engine = [f"{dynos}:{number}" for number in (22, 2375, 2376, 2377, 7946)]
    sockets = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"]
    closed = [f"{METADATA}:80", *platform_ports, *engine, f"{address}:{port}", f"{dynos}:{published}", *sockets]
    found = knock(platform, [router, *closed])
    assert found.pop(router) == "open"
    assert {door: what for door, what in found.items() if what == "open"} == {}
    # Refused, and not left to run into the void: where there is a metadata service, it is closed.
    assert found[f"{METADATA}:80"] == "ConnectionRefusedError"
