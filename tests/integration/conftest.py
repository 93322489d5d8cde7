"""What integration tests share: the engine and the base image, made by the roles that make a user's."""

import pytest

from providers.dynoform.ansible_run import Host, run_playbook
from providers.dynoform.engine import Operation
from tests import turns


def pytest_collection_finish() -> None:
    """Before the first test, which has a time limit."""
    turns.wait()


@pytest.fixture(scope="session")
def base_image() -> str:
    """Name of the base image; Docker, the swarm and the image are made here where they are not there yet."""
    operation = Operation("urn:pulumi:test::dynoform::dynoform:index:Playbook::host", lambda *_, **__: None)
    return str(
        run_playbook(operation, "playbooks/host.yml", Host("localhost", "127.0.0.1", "local"), {}).facts["base_image"]
    )


@pytest.fixture(scope="session", autouse=True)
def host_is_made(base_image: str) -> None:
    """All tests here need what the roles make: an engine that runs, in a swarm."""
