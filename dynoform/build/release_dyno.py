"""The one-off dyno of a release command, on the host's engine: found again by whoever takes the job over."""

import shlex
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import requests
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from dynoform.build.container import APP_LABEL, STACK_LABEL, Engine, engine_errors, files_tar
from dynoform.domain import dyno_container

RELEASE_LABEL = "dynoform.release-phase"
_TIMEOUT = 120
_PORT = 5000
_READABLE_LOG = {"max-size": "20m", "max-file": "1"}
"""What is kept of the output on the host, from where an attempt that takes over reads it: more than is ever stored."""


@dataclass(frozen=True)
class Phase:
    """What a release command runs as."""

    release_id: uuid.UUID
    app_id: uuid.UUID
    app_name: str
    version: int
    dyno: str
    """``release.1234``"""
    email: str
    command: str
    image: str
    own_image: bool
    size: str
    config: Mapping[str, str]


class ReleaseDyno:
    """The container of one release command. Its calls raise ``UnavailableError`` when the engine does not answer."""

    def __init__(self, container: Container) -> None:
        """Made by ``find`` or ``create``."""
        self._container = container

    @property
    def started(self) -> bool:
        """Whether its process has begun, and perhaps ended."""
        return bool(self._container.status != "created")

    def start(self) -> None:
        """Let the command begin."""
        with engine_errors("release dyno"):
            self._container.start()

    def output(self) -> Iterator[bytes]:
        """All that it has written, from the beginning on, and what it writes until it ends."""
        with engine_errors("release dyno"):
            yield from self._container.logs(stream=True, follow=True)

    def wait(self) -> int:
        """Its exit code."""
        with engine_errors("release dyno"):
            return int(self._container.wait(timeout=_TIMEOUT)["StatusCode"])

    def kill(self) -> None:
        """End it now; it may have ended."""
        with suppress(DockerException, requests.RequestException):
            self._container.kill()

    def remove(self) -> None:
        """Remove it; it may be gone."""
        with engine_errors("removal of the release dyno"), suppress(NotFound):
            self._container.remove(force=True, v=True)


def find(engine: Engine, release_id: uuid.UUID) -> ReleaseDyno | None:
    """The dyno that an earlier attempt has made, if there is one on this host."""
    labels = [f"{STACK_LABEL}={engine.configuration.stack}", f"{RELEASE_LABEL}={release_id}"]
    with engine_errors("list of release dynos"):
        found = engine.client.containers.list(all=True, ignore_removed=True, filters={"label": labels})
    return ReleaseDyno(found[0]) if found else None


def create(engine: Engine, phase: Phase) -> ReleaseDyno:
    """Make it as any other dyno is made: same image, config vars, limits, network. It is not started."""
    stack, limits = engine.configuration.stack, dyno_container.limits(phase.size)
    _pull(engine, phase.image)
    with engine_errors(f"release dyno {phase.dyno}"):
        container = engine.client.containers.create(
            phase.image,
            [phase.command],
            entrypoint=dyno_container.launcher(phase.dyno, own_image=phase.own_image),
            name=f"{stack}_release_{phase.release_id}",
            labels={STACK_LABEL: stack, APP_LABEL: str(phase.app_id), RELEASE_LABEL: str(phase.release_id)},
            environment={"PORT": str(_PORT), "DYNO": phase.dyno},
            user="1000:1000",
            network=engine.configuration.dyno_network,
            cap_drop=["ALL"],
            security_opt=[dyno_container.NO_NEW_PRIVILEGES],
            oom_score_adj=dyno_container.OOM_SCORE,
            mem_limit=limits.memory_bytes,
            mem_reservation=limits.quota_bytes,
            memswap_limit=limits.memory_bytes,
            cpu_shares=limits.cpu_shares,
            cpu_period=dyno_container.CPU_PERIOD,
            cpu_quota=limits.cpus * dyno_container.CPU_PERIOD,
            pids_limit=limits.pids,
            ulimits=[Ulimit(**limit) for limit in limits.ulimits],
            init=True,
            # Without the labels by which the log agent files lines: the worker has them, in order with its own.
            log_config=LogConfig(type="json-file", config=_READABLE_LOG),
        )
        container.put_archive("/run", b"".join(_secrets(phase.config)))
    return ReleaseDyno(container)


def left(engine: Engine) -> list[tuple[str, str]]:
    """(container id, release id) of this stack's release dynos on this host."""
    labels = [f"{STACK_LABEL}={engine.configuration.stack}", RELEASE_LABEL]
    with engine_errors("list of release dynos"):
        found = engine.client.api.containers(all=True, filters={"label": labels})
    return [(item["Id"], item["Labels"][RELEASE_LABEL]) for item in found]


def _pull(engine: Engine, image: str) -> None:
    with engine_errors(f"image {image}"):
        try:
            engine.client.images.get(image)
        except ImageNotFound:
            engine.client.images.pull(image)


def _secrets(config: Mapping[str, str]) -> Iterator[bytes]:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(config.items())]
    return files_tar({"secrets/config": "".join(lines).encode()})
