"""Containers, networks and services that a test makes on the engine, and their end."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parents[2]
LABEL = "dynoform.test.dyno-plane"


class EngineParts:
    """Makes things with our label; ``clean`` removes all of them, also those of a run that was killed.

    What two runs of the tests make beside each other has another ``owner``: neither removes the other's.
    """

    def __init__(self, engine: docker.DockerClient, base: str, owner: str) -> None:
        self.engine = engine
        self.base = base
        self.labels = {LABEL: owner}
        self._built: dict[str, str] = {}

    def image(self, noun: str) -> str:
        """Build ``images/<noun>``, once (from the engine's cache when nothing changed); returns its name."""
        if noun in self._built:
            return self._built[noun]
        name = f"dynoform-test/{noun}:dyno-plane"
        self.engine.images.build(
            path=str(ROOT),
            dockerfile=f"images/{noun}/Dockerfile",
            buildargs={"BASE": self.base},
            tag=name,
            rm=True,
            forcerm=True,
        )
        self._built[noun] = name
        return name

    def run(self, noun: str, command: list[str] | None = None, **options: Any) -> Container:
        """A container of ``images/<noun>`` in the background."""
        labels = self.labels | options.pop("labels", {})
        return self.engine.containers.run(self.image(noun), command, detach=True, labels=labels, **options)

    def clean(self) -> None:
        """Remove services, containers, secrets, networks and volumes with our label."""
        filters = {"label": [f"{name}={owner}" for name, owner in self.labels.items()]}
        found = [*self.engine.services.list(filters=filters), *self.engine.secrets.list(filters=filters)]
        for thing in found:
            with suppress(NotFound):
                thing.remove()
        for container in self.engine.containers.list(all=True, filters=filters):
            with suppress(APIError):
                container.remove(force=True, v=True)
        for thing in [*self.engine.networks.list(filters=filters), *self.engine.volumes.list(filters=filters)]:
            with suppress(APIError):
                thing.remove()


@pytest.fixture(scope="module")
def parts(request: pytest.FixtureRequest) -> Iterator[EngineParts]:
    """Parts on the local engine; test modules import this fixture."""
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    engine = docker.from_env(timeout=120)
    made = EngineParts(engine, base, request.path.parent.name)
    made.clean()
    yield made
    made.clean()
    engine.close()
