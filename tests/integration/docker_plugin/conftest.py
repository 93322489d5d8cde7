"""The engine and the plugin of these tests; nothing of an earlier, killed run is left when they begin."""

from collections.abc import Iterator

import docker
import pytest

from tests.integration.docker_plugin.harness import (
    LABEL,
    LABEL_VALUE,
    Plugin,
    build_image,
    clean,
    plugin,
)


@pytest.fixture(scope="package")
def engine() -> Iterator[docker.APIClient]:
    client = docker.APIClient(version="auto")
    clean(client)
    joined = client.info()["Swarm"]["LocalNodeState"] == "active"
    if not joined:
        client.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    build_image(client)
    yield client
    clean(client)
    if not joined:
        client.leave_swarm(force=True)
    client.close()


@pytest.fixture(scope="package")
def pulumi(engine: docker.APIClient) -> Iterator[Plugin]:
    with plugin() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(engine: docker.APIClient) -> Iterator[None]:
    yield
    for service in engine.services(filters={"label": f"{LABEL}={LABEL_VALUE}"}):
        engine.remove_service(service["ID"])
