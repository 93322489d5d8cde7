"""The stack's images as they are deployed, asked of the engine: what is in them, what has updates, how to get those."""

import contextlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.errors import DockerException, NotFound
from docker.types import LogConfig

from dynoform.cli.engine import LABEL, Engine
from dynoform.domain import sbom, stack_settings, stack_updates
from dynoform.domain.stack_updates import Update
from dynoform.errors import DynoformError

RUN, BUILD = "stack-13", "stack-13-build"
ASKS = "dynoform.asks"
_VARIABLES = {RUN: "RUN_IMAGE", BUILD: "BUILD_IMAGE"}
"""By which the builder is told of them."""


@dataclass(frozen=True)
class Deployed:
    """An image in use: its recipe, name, id on the engine, and bill of materials."""

    noun: str
    name: str
    id: str
    bill: str

    @property
    def version(self) -> str:
        """What tells its contents from another's."""
        return sbom.version(self.bill)


def deployed(engine: Engine, stack: str) -> Mapping[str, Deployed]:
    """Recipe → the image that the stack's builder uses. Raises `DynoformError` when there is none."""
    with _engine_errors("stack images"):
        variables = _builder(engine, f"{stack}_builder")
        found = {}
        for noun in _VARIABLES:
            name = variables.get(variable(noun), "")
            image = engine.client.images.get(name)
            bill = _file(engine, stack, name, sbom.FILE)
            if bill is None:
                raise DynoformError(f"image {name}", "has no bill of materials", f"bin/dynoform up --stack {stack}")
            found[noun] = Deployed(noun, name, str(image.id), bill)
    return found


def updates(engine: Engine, stack: str, images: Mapping[str, Deployed]) -> dict[str, list[Update]]:
    """Recipe → the updates that Debian's archive has for it. Raises `DynoformError` when the mirror does not answer.

    What the run image lacks, the build image, which is made on it, lacks too: that is told once.
    """
    packages = {noun: sbom.packages(sbom.read(image.bill)) for noun, image in images.items()}
    with _engine_errors("question for updates"):
        said = _ask(engine, stack, images[BUILD].name, stack_updates.command([*packages[RUN], *packages[BUILD]]))
    found = {noun: stack_updates.find(packages[noun], said) for noun in images}
    return {**found, BUILD: [update for update in found[BUILD] if update not in found[RUN]]}


def settings(found: Mapping[str, Sequence[Update]]) -> dict[str, str]:
    """The settings that have the images built with these updates; none for an image without any."""
    return {stack_settings.UPDATES[noun]: stack_updates.fingerprint(each) for noun, each in found.items() if each}


def check(found: Mapping[str, Sequence[Update]], images: Mapping[str, Deployed]) -> None:
    """Raises `DynoformError` when an image still has a version that was to be updated."""
    for noun, wanted in found.items():
        present = {package.name: package.version for package in sbom.packages(sbom.read(images[noun].bill))}
        for update in wanted:
            if present.get(update.package) == update.version:
                why = f"still has {update.package} {update.version}, not {update.candidate}"
                next_step = "look at the build's log in the engine, then run the same command again"
                raise DynoformError(f"image {images[noun].name}", why, next_step)


def variable(noun: str) -> str:
    """The environment variable by which the builder is told of an image."""
    return f"DYNOFORM_{_VARIABLES[noun]}"


def _builder(engine: Engine, name: str) -> dict[str, str]:
    for service in engine.services():
        if service["Spec"]["Name"] == name:
            variables = service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or []
            return dict(variable.split("=", 1) for variable in variables)
    raise DynoformError(f"service {name}", "is not there", "bin/dynoform up")


def _file(engine: Engine, stack: str, image: str, path: str) -> str | None:
    with _container(engine, stack, image, ["true"], network_mode="none") as container:
        try:
            chunks, _ = container.get_archive(path)
        except NotFound:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            return file.read(sbom.MOST_BYTES).decode() if file else None


def _ask(engine: Engine, stack: str, image: str, command: Sequence[str]) -> str:
    limited = ["timeout", str(stack_updates.SECONDS), *command]
    # On the engine's own bridge, as the image's build was: the mirror that answered there answers here.
    with _container(engine, stack, image, limited, user="0") as container:
        container.start()
        container.wait(timeout=stack_updates.SECONDS + 10)
        return str(container.logs().decode(errors="replace"))


@contextlib.contextmanager
def _container(engine: Engine, stack: str, image: str, command: Sequence[str], **more: Any) -> Iterator[Any]:
    """A container that is gone at the end of the block; what a killed run left goes first."""
    for left in engine.client.containers.list(all=True, filters={"label": f"{ASKS}={stack}"}):
        left.remove(force=True)
    labels = {LABEL: stack, ASKS: stack}
    logs = LogConfig(type="json-file")
    # The run image's own entrypoint would have a shell read all words as one.
    own = {"entrypoint": list(command[:1]), "command": list(command[1:])}
    container = engine.client.containers.create(image, labels=labels, log_config=logs, **own, **more)
    try:
        yield container
    finally:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)


@contextlib.contextmanager
def _engine_errors(what: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise DynoformError(what, f"{error.explanation}", "bin/dynoform up") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise DynoformError(what, f"the engine says: {error}", "look at bin/dynoform doctor") from error
