"""Where an image is built on the engine: containers that were not started, to copy into and out of, and those that run
one instruction each. All that is made carries the build's id, so that whoever sweeps up finds it.
"""

import base64
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

import requests
from docker.errors import APIError, DockerException, NotFound

from dynoform.build import container
from dynoform.build.container import APP_LABEL, BUILD_LABEL, STACK_LABEL, BuildContainer, Engine, engine_errors
from dynoform.build.download import Address, is_public
from dynoform.build.slug import TAR_END
from dynoform.domain import dyno_container, image_settings
from dynoform.domain.image_names import HUB, ImageName
from dynoform.domain.image_settings import Settings
from dynoform.errors import InvalidInputError, UnavailableError

CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETFCAP", "SETGID", "SETUID"]
"""What root has in such a container: enough for package managers, and nothing of the network's or the devices'."""
_FOLDER, _LINK = 1 << 31, 1 << 27
"""As Go writes a file's kind."""
_CONNECT_SECONDS = 5
_NO_USER = "unable to find"
"""What the engine says, as if it were its own fault, of a user or a group that the image does not have."""
_TIMEOUT = 120
_CHUNK = 512 * 1024


@dataclass(frozen=True)
class Found:
    """A file in a container. ``link`` is where a symbolic link leads, within the container."""

    is_folder: bool
    link: str | None


class Running(Protocol):
    """What is under way in a build."""

    def kill(self) -> None:
        """End it now; it may have ended."""


class Workbench:
    """The containers and images of one build. Calls raise ``UnavailableError`` when the engine does not do as told."""

    def __init__(
        self,
        engine: Engine,
        build_id: uuid.UUID,
        app_id: uuid.UUID,
        generation: int = 0,
        allowed: Callable[[Address], bool] = is_public,
    ) -> None:
        """Nothing is made yet. What was kept for a cache of another ``generation`` is not used.

        Images are fetched from addresses that are ``allowed``.
        """
        self._generation = generation
        self._engine = engine
        self._allowed = allowed
        self._build_id = build_id
        self._app_id = app_id
        self._used: set[str] = set()
        self.labels = {
            **dyno_container.UNSERVED,
            STACK_LABEL: engine.configuration.stack,
            BUILD_LABEL: str(build_id),
            APP_LABEL: str(app_id),
        }
        """What each container of the build carries."""
        self._number = 0
        self._readers: dict[str, str] = {}
        self._lock = threading.Lock()
        self._running: Running | None = None
        self._ended = False

    def end(self) -> None:
        """Kill what runs, and start nothing more. Called from another thread."""
        with self._lock:
            self._ended = True
            running = self._running
        if running is not None:
            running.kill()

    def clear(self) -> None:
        """Remove all that was made."""
        for identifier, _ in self._engine.containers(self._build_id):
            self._engine.remove(identifier)
        names = [name for name, build_id in self._engine.build_images() if build_id == str(self._build_id)]
        for name in sorted(names, key=lambda name: (len(name), name), reverse=True):  # what is made of others first
            self._engine.remove_image(name)

    def stack_image(self, kind: str) -> tuple[str, Settings]:
        """The stack's ``run`` or ``build`` image; without its way to start, which is for slugs."""
        configuration = self._engine.configuration
        name = configuration.run_image if kind == "run" else configuration.build_image
        self._engine.image_id(name)  # fetched, where this host has not built it
        settings = self._settings(name)
        settings.entrypoint = settings.command = ()
        return name, settings

    def empty(self) -> tuple[str, Settings]:
        """An image with no files."""
        repository, tag = self._next()
        with engine_errors("empty image"):
            self._engine.client.api.import_image_from_data(TAR_END, repository=repository, tag=tag)
        return f"{repository}:{tag}", Settings()

    def pull(self, name: ImageName) -> tuple[str, Settings]:
        """Fetch an image from where its name says, even if the host has it: what is there may be somebody else's.

        Raises ``InvalidInputError`` when it cannot be had, or is at a private address.
        """
        self.check_place(name)
        client, repository_tag = self._engine.client, self._next()
        try:
            kept = self._has(name.full)
            self._fetch(name)
            client.api.tag(name.full, *repository_tag)
            if not kept:
                client.api.remove_image(name.full, noprune=True)
        except (APIError, requests.RequestException) as error:
            raise _not_to_be_had(name, str(getattr(error, "explanation", None) or error)) from error
        own = ":".join(repository_tag)
        return own, self._settings(own)

    def _fetch(self, name: ImageName) -> None:
        # The client's own way has no timeout: a registry that says nothing for long would hold the build for ever.
        api = self._engine.client.api
        wanted = {"fromImage": name.repository, "tag": name.reference}
        url = f"{api.base_url}/v{api.api_version}/images/create"
        with api.post(url, params=wanted, stream=True, timeout=_TIMEOUT) as answer:
            for line in answer.iter_lines():
                event = json.loads(line)
                problem = event.get("error") or event.get("message")
                if self._ended or problem:
                    raise _not_to_be_had(name, str(problem or "the build has ended"))

    def create(self, image: str, **arguments: Any) -> str:
        """A container of an image, not started: its id."""
        with engine_errors("build container"):
            made = self._engine.client.containers.create(
                image,
                arguments.pop("command", ["-"]),
                entrypoint=[],
                labels=self.labels,
                **{**container.limits(), "network": "none", "user": "0", **arguments},
            )
        return str(made.id)

    def run(self, image: str, words: list[str], settings: Settings, arguments: Mapping[str, str]) -> BuildContainer:
        """A started container in which a program of the image runs.

        Raises ``InvalidInputError`` when it cannot be started, ``UnavailableError`` after ``end`` too.
        """
        identifier = self.create(
            image,
            command=words,
            user=settings.user or "0",
            working_dir=settings.folder,
            environment={**arguments, **settings.environment},
            network=self._engine.configuration.dyno_network,
            cap_add=CAPABILITIES,
        )
        with engine_errors("build container"):
            running = BuildContainer(self._engine.client.containers.get(identifier))
        self.runs(running)
        _start(running, words)
        return running

    def runs(self, running: Running) -> None:
        """Note what ``end`` is to kill. Raises ``UnavailableError`` after ``end``."""
        with self._lock:
            self._running = running
            ended = self._ended
        if ended:
            raise UnavailableError("build", "was told to end")

    def image_name(self) -> str:
        """A new name for an image of the build's."""
        return ":".join(self._next())

    def settings(self, image: str) -> Settings:
        """What an image says about its containers. Raises ``InvalidInputError`` for one with ONBUILD instructions."""
        return self._settings(image)

    def caches(self, *suffixes: str) -> list[str]:
        """The names of the app's caches, which are there then: its build cache, and one more for each suffix."""
        return [self._engine.cache(self._app_id, self._generation, suffix) for suffix in ("", *suffixes)]

    def reader(self, image: str) -> str:
        """A container of an image, not started, that files are copied out of: its id."""
        if image not in self._readers:
            self._readers[image] = self.create(image)
        return self._readers[image]

    def commit(self, identifier: str) -> str:
        """The image that a container has become, by name. The container is removed."""
        repository, tag = self._next()
        with engine_errors("image of a build"):
            self._engine.client.api.commit(identifier, repository=repository, tag=tag)
        self._engine.remove(identifier)
        return f"{repository}:{tag}"

    def identity(self, image: str) -> str:
        """What is the same for the same image, whatever it is called."""
        with engine_errors(f"image {image}"):
            return str(self._engine.client.api.inspect_image(image)["Id"])

    def kept(self, key: str) -> str | None:
        """The image that an earlier build of the app has kept under this key, by name; None when there is none."""
        name = f"{self._engine.kept_repository}:{self._kept_tag(key)}"
        with engine_errors(f"image {name}"):
            if not self._has(name):
                return None
        self._used.add(name)
        return name

    def keep(self, key: str, image: str) -> None:
        """Have an image there for the app's next build."""
        with engine_errors(f"image {image}"):
            self._engine.client.api.tag(image, self._engine.kept_repository, self._kept_tag(key))
        self._used.add(f"{self._engine.kept_repository}:{self._kept_tag(key)}")

    def forget_others(self) -> None:
        """Keep none of the app's images that this build has not used."""
        for name, app_id in self._engine.kept_images():
            if app_id == str(self._app_id) and name not in self._used:
                self._engine.remove_image(name)

    def _kept_tag(self, key: str) -> str:
        return f"{self._app_id}.{self._generation}-{key}" if self._generation else f"{self._app_id}.{key}"

    def find(self, identifier: str, path: str) -> Found | None:
        """What is at a path in a container; None for nothing."""
        with engine_errors(path):
            answer = self._engine.client.api.head(
                self._archive_url(identifier), params={"path": path}, timeout=_TIMEOUT
            )
        if answer.status_code != 200:
            return None
        told = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        link = str(told.get("linkTarget") or "") if told["mode"] & _LINK else ""
        return Found(bool(told["mode"] & _FOLDER), link or None)

    def put(self, identifier: str, folder: str, data: Iterable[bytes]) -> str | None:
        """Unpack a tar into a folder of a container; what is wrong with it, None when nothing is."""
        with engine_errors("copy into an image"):
            answer = self._engine.client.api.put(
                self._archive_url(identifier), params={"path": folder}, data=data, timeout=_TIMEOUT
            )
        return None if answer.status_code == 200 else str(answer.text)[:300]

    def get(self, identifier: str, path: str) -> Iterator[bytes]:
        """A tar of what is at a path. Raises ``FileNotFoundError``."""
        try:
            stream, _ = self._engine.client.api.get_archive(identifier, path, chunk_size=_CHUNK)
        except NotFound:
            raise FileNotFoundError(path) from None
        except (DockerException, requests.RequestException) as error:
            raise UnavailableError("copy out of an image", f"the engine says: {error}") from error
        return iter(stream)

    def _archive_url(self, identifier: str) -> str:
        api = self._engine.client.api
        return f"{api.base_url}/v{api.api_version}/containers/{identifier}/archive"

    def _next(self) -> tuple[str, str]:
        self._number += 1
        return self._engine.build_repository, f"{self._build_id}-{self._number}"

    def _has(self, name: str) -> bool:
        try:
            self._engine.client.api.inspect_image(name)
        except NotFound:
            return False
        return True

    def _settings(self, image: str) -> Settings:
        with engine_errors(f"image {image}"):
            config: Mapping[str, Any] = self._engine.client.api.inspect_image(image).get("Config") or {}
        if config.get("OnBuild"):
            raise InvalidInputError(f"image {image}", "has ONBUILD instructions", "start from one without")
        return image_settings.of(config)

    def check_place(self, name: ImageName) -> None:
        """Refuse what only the platform reaches, and tell at once what nobody does. Raises ``InvalidInputError``."""
        with engine_errors("engine"):
            info = self._engine.client.info()
        mirrors = (info.get("RegistryConfig") or {}).get("Mirrors")
        host, port = name.address
        # Then somebody else goes there, and knows where it is.
        is_asked_elsewhere = bool(info.get("HttpsProxy") or (name.host == HUB and mirrors))
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
            if not all(self._allowed(ip_address(address.partition("%")[0])) for address in found):
                raise InvalidInputError(f"image {name.full}", f"is at {host}, which is no public address", _NEXT)
            if not is_asked_elsewhere:
                socket.create_connection((host, port), _CONNECT_SECONDS).close()
        except OSError as error:
            if not is_asked_elsewhere:
                raise _not_to_be_had(name, f"{host} cannot be reached: {error.strerror or error}") from None


_NEXT = "start from an image that can be had, or from dynoform-13"


def _not_to_be_had(name: ImageName, why: str) -> InvalidInputError:
    return InvalidInputError(f"image {name.full}", f"cannot be had ({' '.join(why.split())[:200]})", _NEXT)


def _start(running: BuildContainer, words: list[str]) -> None:
    try:
        running.start()
    except UnavailableError as error:
        refusal = error.__cause__
        if isinstance(refusal, APIError) and (refusal.status_code in (400, 404) or _NO_USER in str(refusal)):
            program = words[0] if words else "nothing"
            why = str(refusal.explanation).removesuffix(": unknown").rpartition(": ")[2]
            raise InvalidInputError(f"program {program}", f"cannot be started in the image ({why})") from error
        with suppress(UnavailableError):
            running.remove()
        raise
