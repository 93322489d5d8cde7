"""The one-off dyno of a release command or a postdeploy script, on the host's engine: found again by whoever takes the
job over.

It is started before its command: that begins when the dyno has its config vars, which come in through the engine and
stay in memory, never in its description, nor on a disk.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import requests
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit
from docker.utils.socket import frames_iter

from dynoform.build.container import APP_LABEL, STACK_LABEL, Engine, engine_errors, remove_container, send
from dynoform.domain import dyno_container
from dynoform.errors import UnavailableError

RELEASE_LABEL = "dynoform.release-phase"
_TIMEOUT = 120
_PORT = 5000
_USER = f"{dyno_container.DYNO_USER}:{dyno_container.DYNO_USER}"
_READABLE_LOG = {"max-size": "20m", "max-file": "1"}
"""What is kept of the output on the host, from where an attempt that takes over reads it: more than is ever stored."""


@dataclass(frozen=True)
class Phase:
    """What a release command runs as, or another command that a job is about."""

    release_id: uuid.UUID
    """The job's, which is the release's if it is about one."""
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

    def start(self) -> None:
        """Let it wait for its config vars; no more than that if it does already."""
        with engine_errors("release dyno"):
            self._container.start()

    def begin(self, config: Mapping[str, str]) -> None:
        """Let the command begin, with these config vars. One that has begun, or ended, goes on as it was."""
        api = self._container.client.api
        with engine_errors("release dyno"):
            self._container.reload()
            if self._container.status != "running":
                return
            command = ["/bin/sh", "-c", dyno_container.TAKE]
            made = api.exec_create(self._container.id, command, stdin=True, user=_USER)["Id"]
            connection = api.exec_start(made, socket=True)
            send(connection, [dyno_container.config_file(config)])
            said = b"".join(data for _, data in frames_iter(connection, tty=False))
            code = api.exec_inspect(made)["ExitCode"]
        if code:
            why = f"does not take its config vars (exit code {code}): {said[-200:].decode(errors='replace').strip()}"
            raise UnavailableError("release dyno", why)

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
        with engine_errors("removal of the release dyno"):
            remove_container(self._container.client, self._container.id)


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
            [*dyno_container.launcher(phase.dyno, own_image=phase.own_image), phase.command],
            entrypoint=dyno_container.WAIT,
            name=f"{stack}_release_{phase.release_id}",
            labels={
                **dyno_container.UNSERVED,
                STACK_LABEL: stack,
                APP_LABEL: str(phase.app_id),
                RELEASE_LABEL: str(phase.release_id),
            },
            environment={"PORT": str(_PORT), "DYNO": phase.dyno},
            user=_USER,
            tmpfs={dyno_container.SECRETS: dyno_container.SECRETS_OPTIONS},
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
