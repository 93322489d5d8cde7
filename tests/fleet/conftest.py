"""The test fleet as fixtures: ``fleet`` for bare hosts, ``platform`` for one that runs apps."""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.fleet import hosts
from tests.fleet import platform as platforms
from tests.fleet.hosts import Fleet
from tests.fleet.platform import Apps, FleetPlatform
from tests.integration.build_platform import build_image
from tests.integration.conftest import base_image

__all__ = ["base_image"]

NAMES = ("host1", "host2", "host3", "host4")
MANAGERS = 3


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Hosts that are nothing yet but reachable by SSH, with Docker: four, or those of a module's ``HOSTS``.

    Its ``DISKS`` says which are small.
    """
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    names = getattr(request.module, "HOSTS", NAMES)
    with hosts.fleet(base, *names, disks=getattr(request.module, "DISKS", None)) as made:
        yield made


@pytest.fixture(scope="module")
def running(
    fleet: Fleet, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FleetPlatform, Apps]]:
    """Three managers and a worker with the platform on them."""
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    folder = tmp_path_factory.mktemp("fleet")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)  # the services run as users of their own and have to reach the secrets in it
    engine = docker.from_env(timeout=900)
    images = {
        noun: build_image(engine, noun, base)
        for noun in ("postgres", "registry", "router", "control-plane", "stack-13")
    }
    with platforms.running(fleet, images, Path(folder), MANAGERS) as made:
        yield made
    engine.close()


@pytest.fixture(scope="module")
def platform(running: tuple[FleetPlatform, Apps]) -> FleetPlatform:
    """The platform's hosts and services."""
    return running[0]


@pytest.fixture(scope="module")
def apps(running: tuple[FleetPlatform, Apps]) -> Apps:
    """Apps on it."""
    return running[1]
