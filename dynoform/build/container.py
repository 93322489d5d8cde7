"""Build containers on the host's engine: unprivileged, limited, and never left behind."""

import itertools
import os
import socket
import tarfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig, Mount, Ulimit
from docker.utils.socket import frames_iter

from dynoform.attempts import attempts
from dynoform.build.slug import DYNO, TAR_END, ByteStream, member_bytes
from dynoform.configuration import Configuration
from dynoform.domain import builds
from dynoform.domain.images import EPOCH
from dynoform.errors import ConfigurationError, UnavailableError

STACK_LABEL = "dynoform.stack"
BUILD_LABEL = "dynoform.build"
APP_LABEL = "dynoform.app"
ASK_LABEL = "dynoform.asks"
GENERATION_LABEL = "dynoform.generation"
_ASKED_SECONDS = 600
_TIMEOUT = 120
_CHUNK = 512 * 1024
LARGEST_FILE = 2048 * builds.MIB
"""Bytes of the largest file that a build can write."""
_CORES = 2
_CONFLICT = 409
_UUID_CHARACTERS = 36
_REMOVAL_SECONDS = 30
CONFIG = "run/dynoform/env"
"""Where a build finds its config vars, a file each, relative to its container's root. It is in memory."""
BUILDPACKS = "run/dynoform/buildpacks"
"""Where it finds the buildpacks to use; none means those that detect the app."""
APP = "app"


@contextmanager
def engine_errors(action: str) -> Iterator[None]:
    """Turn what the engine's client raises into one line about ``action``."""
    try:
        yield
    except ImageNotFound as error:
        why = f"the image is not on this host ({error.explanation})"
        raise ConfigurationError(action, why, "run bin/dynoform up") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise UnavailableError(action, f"the engine says: {error}", "look at bin/dynoform doctor") from error


class Engine:
    """The host's Docker engine, as far as builds need it."""

    def __init__(self, configuration: Configuration) -> None:
        """Connects by ``DOCKER_HOST`` or the usual socket. Raises ``UnavailableError``."""
        self.configuration = configuration
        with engine_errors("engine"):
            self.client: docker.DockerClient = docker.from_env(timeout=_TIMEOUT)

    def image_id(self, image: str) -> str:
        """``sha256:…`` of an image, on this host when this returns: one in a registry is fetched."""
        with engine_errors(f"image {image}"):
            try:
                return str(self.client.images.get(image).id)
            except ImageNotFound:
                if not self._is_distributed(image):
                    raise
                return str(self.client.images.pull(image).id)

    def _is_distributed(self, image: str) -> bool:
        """Whether it has a name in the platform's registry, by which all hosts get it."""
        return image.startswith(f"{self.configuration.platform_address}:{self.configuration.registry_port}/")

    def image_file(self, image: str, path: str, limit: int) -> str | None:
        """A text file of an image, up to ``limit`` bytes; None when it has none. Nothing of the image runs."""
        with self._asked(image, ["true"], network_mode="none") as container:
            return BuildContainer(container).read(path, limit)

    def ask(self, image: str, command: Sequence[str], seconds: int) -> str:
        """What a command says, as root in a container of an image, on the dynos' network, for at most ``seconds``."""
        limits = {
            "network": self.configuration.dyno_network,
            "user": "0",
            "cap_drop": ["ALL"],
            "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],  # apt reads as a user of its own
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": builds.MEMORY_BYTES,
            "pids_limit": builds.PROCESSES,
            "log_config": LogConfig(type="none"),
        }
        with (
            self._asked(image, ["timeout", str(seconds), *command], **limits) as container,
            engine_errors(f"question in {image}"),
            closing(container.attach_socket(params={"stdout": 1, "stderr": 1, "stream": 1})) as connection,
        ):
            container.start()
            said = b"".join(data for _, data in frames_iter(connection, tty=False))
        return said.decode(errors="replace")

    @contextmanager
    def _asked(self, image: str, command: Sequence[str], **more: Any) -> Iterator[Container]:
        """A container that is gone at the end of the block; those that killed builders left go first."""
        stack = self.configuration.stack
        with engine_errors(f"container of {image}"):
            ended = {"label": f"{ASK_LABEL}={stack}", "status": ["created", "exited", "dead"]}
            for left in self.client.containers.list(all=True, filters=ended, ignore_removed=True):
                if time.time() - _created(left) > _ASKED_SECONDS:
                    self.remove(left.id)
            labels = {STACK_LABEL: stack, ASK_LABEL: stack}
            # The run image's own entrypoint would have a shell read all words as one.
            own = {"entrypoint": list(command[:1]), "command": list(command[1:])}
            container = self.client.containers.create(image, labels=labels, **own, **more)
        try:
            yield container
        finally:
            self.remove(container.id)

    def push(self, image: str, repository: str, tag: str) -> None:
        """Push an image on this host to ``repository:tag``; the engine's own client certificate opens the registry."""
        with engine_errors(f"push of {image}"):
            self.client.images.get(image).tag(repository, tag)
            for event in self.client.images.push(repository, tag, stream=True, decode=True):
                if "error" in event:
                    raise UnavailableError(f"push of {image}", event["error"], "look at bin/dynoform doctor")

    def containers(self, build_id: uuid.UUID | None = None) -> list[tuple[str, str]]:
        """(id, build id) of this stack's build containers on this host, of one build or of all."""
        labels = [f"{STACK_LABEL}={self.configuration.stack}", f"{BUILD_LABEL}={build_id}" if build_id else BUILD_LABEL]
        with engine_errors("list of build containers"):
            found = self.client.api.containers(all=True, filters={"label": labels})
        return [(item["Id"], item["Labels"][BUILD_LABEL]) for item in found]

    def remove(self, container_id: str) -> None:
        """Remove a container, running or not; it may be gone already, or somebody else may be removing it."""
        with engine_errors("removal of a build container"):
            remove_container(self.client, container_id)

    def cache_volume(self, app_id: uuid.UUID) -> str:
        """The name of an app's build cache."""
        return f"{self.configuration.stack}_cache_{app_id}"

    def cache(self, app_id: uuid.UUID, generation: int, suffix: str = "") -> str:
        """Have an app's cache, of this generation, or another one of the app's, told by the ``suffix``; its name."""
        name, wanted = f"{self.cache_volume(app_id)}{suffix}", str(generation)
        labels = {STACK_LABEL: self.configuration.stack, APP_LABEL: str(app_id), GENERATION_LABEL: wanted}
        with engine_errors(f"build cache {name}"):
            volume = self.client.volumes.create(name, labels=labels)
            if (volume.attrs.get("Labels") or {}).get(GENERATION_LABEL, "0") != wanted:
                self.client.api.remove_volume(name)
                self.client.volumes.create(name, labels=labels)
        return name

    def cache_volumes(self) -> list[tuple[str, str]]:
        """(name, app id) of this stack's build caches on this host."""
        labels = [f"{STACK_LABEL}={self.configuration.stack}", APP_LABEL]
        with engine_errors("list of build caches"):
            found = self.client.volumes.list(filters={"label": labels})
        prefix = f"{self.configuration.stack}_cache_"
        return [(volume.name, volume.attrs["Labels"][APP_LABEL]) for volume in found if volume.name.startswith(prefix)]

    def remove_volume(self, name: str) -> None:
        """Remove a volume; it may be gone already."""
        with engine_errors(f"removal of volume {name}"), suppress(NotFound):
            self.client.api.remove_volume(name)

    @property
    def build_repository(self) -> str:
        """What images are called on this host while they are built; their tags begin with the build's id."""
        return f"dynoform-builds/{self.configuration.stack}"

    def build_images(self) -> list[tuple[str, str]]:
        """(name, build id) of images on this host that are being built, or were, or were on their way out."""
        address = f"{self.configuration.platform_address}:{self.configuration.registry_port}"
        with engine_errors("list of images"):
            names = [name for image in self.client.api.images() for name in image["RepoTags"] or ()]
        ours = [name for name in names if name.startswith((f"{self.build_repository}:", f"{address}/apps/"))]
        return [(name, name.rpartition(":")[2][:_UUID_CHARACTERS]) for name in ours]

    @property
    def kept_repository(self) -> str:
        """What images on this host are called that builds of Dockerfiles take up again, by the app's id and a key."""
        return f"dynoform-kept/{self.configuration.stack}"

    def kept_images(self) -> list[tuple[str, str]]:
        """(name, app id) of those images."""
        with engine_errors("list of images"):
            names = [name for image in self.client.api.images() for name in image["RepoTags"] or ()]
        ours = [name for name in names if name.startswith(f"{self.kept_repository}:")]
        return [(name, name.rpartition(":")[2][:_UUID_CHARACTERS]) for name in ours]

    def remove_image(self, name: str) -> None:
        """Remove a name of an image, and the image when that was its last one; it may be gone already."""
        with engine_errors(f"removal of image {name}"), suppress(NotFound):
            self.client.api.remove_image(name, force=True)

    def build_container(
        self, build_id: uuid.UUID, app_id: uuid.UUID, *, version: str | None, generation: int, again: bool
    ) -> "BuildContainer":
        """Create the container of a build, not started. One that builds ``again`` may have left one: that is removed.

        ``version`` is what the source is called, ``generation`` that of the app's cache: an older one is removed.
        """
        for container_id, _ in self.containers(build_id) if again else ():
            self.remove(container_id)
        stack = self.configuration.stack
        cache = self.cache(app_id, generation)
        with engine_errors("build container"):
            container = self.client.containers.create(
                self.configuration.build_image,
                name=f"{stack}_build_{build_id}",
                labels={STACK_LABEL: stack, BUILD_LABEL: str(build_id), APP_LABEL: str(app_id)},
                environment={"SOURCE_VERSION": version or ""},
                mounts=[Mount("/cache", cache)],
                network=self.configuration.dyno_network,
                stdin_open=True,
                tmpfs={f"/{CONFIG}": f"rw,noexec,nosuid,nodev,size=64m,mode=0700,uid={DYNO},gid={DYNO}"},
                **limits(),
            )
        return BuildContainer(container)


def _created(container: Container) -> float:
    """When it was made, in seconds since 1970."""
    return datetime.fromisoformat(container.attrs["Created"][:19] + "+00:00").timestamp()


def limits() -> dict[str, Any]:
    """What every container of a build is held to, as the engine's client takes it."""
    return {
        "user": "dyno",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": builds.MEMORY_BYTES,
        "memswap_limit": builds.MEMORY_BYTES,
        "pids_limit": builds.PROCESSES,
        "nano_cpus": min(os.cpu_count() or 1, _CORES) * 10**9,
        # Dynos come first when the processors are busy.
        "cpu_shares": 128,
        # Only lower ones: a host may not allow to raise any.
        "ulimits": [
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=LARGEST_FILE, hard=LARGEST_FILE),
        ],
        # Reaps what a buildpack leaves running.
        "init": True,
        # The output goes to the store, and nowhere else: it may hold what an app should not have printed.
        "log_config": LogConfig(type="none"),
    }


class BuildContainer:
    """One build's container. Its calls raise ``UnavailableError`` when the engine does not do as told."""

    def __init__(self, container: Container) -> None:
        """Made by ``Engine.build_container``."""
        self._container = container
        self._connection: Any = None

    @property
    def identifier(self) -> str:
        """Its id on the engine."""
        return str(self._container.id)

    def start(self) -> None:
        """Let it run: a build's waits for what it is to build."""
        with engine_errors("build container"):
            streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            self._connection = self._container.attach_socket(params=streams)
            self._container.start()

    def give(self, config: Mapping[str, str], buildpacks: Sequence[str], source: Iterable[bytes]) -> None:
        """Let it build: ``source`` are members of a tar, below ``APP``.

        They come in by its standard input, so that config vars show neither in ``docker inspect`` nor on a disk.
        """
        files = {f"{CONFIG}/{name}": value.encode() for name, value in config.items()}
        files[BUILDPACKS] = "".join(f"{one}\n" for one in buildpacks).encode()
        with engine_errors("copy into the build container"):
            send(self._connection, itertools.chain(members(files), source, [TAR_END]))

    def output(self) -> Iterator[bytes]:
        """Its output in pieces, until it ends."""
        with engine_errors("build container"):
            yield from (data for _, data in frames_iter(self._connection, tty=False))

    def wait(self) -> tuple[int, bool]:
        """Its exit code, and whether it ran out of memory."""
        with engine_errors("build container"):
            code = int(self._container.wait(timeout=_TIMEOUT)["StatusCode"])
            self._container.reload()
            return code, bool(self._container.attrs["State"]["OOMKilled"])

    def kill(self) -> None:
        """End it now; it may have ended, or not have started."""
        with suppress(DockerException, requests.RequestException):
            self._container.kill()

    def read(self, path: str, limit: int = 2 * builds.MIB) -> str | None:
        """A small text file in it; None when there is none. What is beyond ``limit`` bytes is cut off."""
        try:
            with engine_errors(path), tarfile.open(fileobj=ByteStream(self._archive(path)), mode="r|") as archive:
                member = archive.next()
                file = archive.extractfile(member) if member and member.isreg() else None
                return file.read(limit).decode(errors="replace") if file else None
        except UnavailableError as error:
            if isinstance(error.__cause__, NotFound):
                return None
            raise

    def app(self) -> Iterator[bytes]:
        """A tar stream of ``/app``."""
        with engine_errors("copy out of the build container"):
            yield from self._archive("/app")

    def remove(self) -> None:
        """Remove it with all that was in it, except the cache."""
        if self._connection is not None:
            self._connection.close()
        with engine_errors("removal of the build container"):
            remove_container(self._container.client, self._container.id)

    def _archive(self, path: str) -> Iterator[bytes]:
        stream, _ = self._container.get_archive(path, chunk_size=_CHUNK)
        yield from stream


def remove_container(client: docker.DockerClient, container_id: str) -> None:
    """Remove a container, and return when it is gone, whoever has removed it.

    Its job and whoever sweeps up may come at once, and the engine refuses the second. Raises ``APIError`` when it
    refuses for longer than a removal takes.
    """
    refusal: APIError | None = None
    for _ in attempts(_REMOVAL_SECONDS):
        try:
            client.api.remove_container(container_id, force=True, v=True)
            return
        except NotFound:
            return
        except APIError as error:
            if error.status_code != _CONFLICT:
                raise
            refusal = error
    if refusal is not None:
        raise refusal


def members(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Small files that only ``dyno`` can read, for a tar."""
    for name, data in files.items():
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.uid, member.gid, member.mtime = len(data), 0o400, DYNO, DYNO, EPOCH
        yield member_bytes(member) + data + b"\0" * (-len(data) % tarfile.BLOCKSIZE)


def send(connection: Any, data: Iterable[bytes]) -> None:
    """Write all of it to a process that the engine has connected us with, and let it see the end.

    One that ends before its input does will have said why.
    """
    stream = getattr(connection, "_sock", connection)  # the client hands out a file for reading
    with suppress(BrokenPipeError, ConnectionResetError):
        for piece in data:
            stream.sendall(piece)
    with suppress(OSError):
        stream.shutdown(socket.SHUT_WR)
