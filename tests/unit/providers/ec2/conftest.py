"""A cloud for each test, and an operation in it."""

from collections.abc import Iterator

import pytest

from providers.dynoform.ec2 import aws as aws_module
from providers.dynoform.ec2 import host_launch, host_parts, load_balancer, load_balancer_parts, network_parts
from providers.dynoform.engine import Operation
from tests.unit.providers.conftest import Lines
from tests.unit.providers.ec2 import cloud as clouds
from tests.unit.providers.ec2.cloud import Cloud

SECONDS = (
    (aws_module, "ANSWER_SECONDS"),
    (host_launch, "LAUNCH_SECONDS"),
    (host_parts, "STATE_SECONDS"),
    (host_parts, "VOLUME_SECONDS"),
    (load_balancer, "ACTIVE_SECONDS"),
    (load_balancer, "GONE_SECONDS"),
    (load_balancer_parts, "LEAVING_SECONDS"),
    (network_parts, "LEAVING_SECONDS"),
)
PATIENCE = 60.0
"""Seconds; every wait ends by its condition, and that one does not hold shows after this, on a busy machine too."""


@pytest.fixture(scope="session")
def served() -> Iterator[Cloud]:
    cloud, server = clouds.serve()
    yield cloud
    server.shutdown()
    server.server_close()


@pytest.fixture
def cloud(served: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    served.reset()
    for name, value in {**clouds.KEYS, "AWS_ENDPOINT_URL": served.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(aws_module, "pause", lambda tries: 0.01)
    for module, name in SECONDS:
        monkeypatch.setattr(module, name, PATIENCE)
    monkeypatch.setattr(aws_module, "LOOK_SECONDS", 0.03)
    return served


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def operation(lines: Lines) -> Operation:
    return Operation("urn:pulumi:prod::dynoform::dynoform:index:Ec2Network::prod-net", lines)
