"""Three empty hosts until an app answers at each of them, by `up` from settings alone. Run by `bin/dynoform bench`."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import eventually
from tests.fleet import hosts
from tests.fleet.chaos import keep
from tests.fleet.hosts import Fleet
from tests.fleet.test_up import Operator
from tests.integration.conftest import base_image

__all__ = ["base_image"]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
GOAL_SECONDS = 600


class OfThree(Operator):
    """All three hosts manage, and one app has a dyno on each."""

    def declared(self) -> dict[str, Any]:
        """The stack's settings."""
        reached = {"keyFile": str(self.fleet.key_file), "knownHosts": str(self.fleet.known_hosts)}
        declared = super().declared() | {
            "hosts": {
                name: {"address": host.address, "zone": zone, "platform": name == "host1", **reached}
                for (name, host), zone in zip(self.fleet.hosts.items(), "abc", strict=True)
            }
        }
        app = {"source": "examples/apps/python", "formation": {"web": {"quantity": 3}}}
        return declared | {"apps": {"python": app}}


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    with hosts.fleet(base, "host1", "host2", "host3") as made:
        yield made


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with OfThree(fleet, tmp_path_factory.mktemp("operator")) as made:
        yield made


def test_three_empty_hosts_serve_an_app_in_time(operator: Operator) -> None:
    began = time.monotonic()
    operator.make()
    up = time.monotonic() - began
    for host in operator.fleet.hosts:
        eventually(lambda host=host: operator.asks(host).is_success, 60, f"the router on {host} serves")  # type: ignore[misc]
    took = time.monotonic() - began
    keep("fleet-up", took, up=up)
    print(f"three hosts: {took:.0f} s")
    assert took < GOAL_SECONDS
