"""``docker:index/remoteImage:RemoteImage``: an image that the engine has, pulls or builds."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .engine import Engine
from .errors import EngineError, MissingError, OperationError
from .image_build import BUILD, build_image
from .image_reference import repository_digest, with_tag
from .operation import Operation
from .properties import Property, block, boolean, mapping, string, string_set
from .registry_auth import credentials
from .resource import Found, Resource, Values

SCHEMA: Final = block(
    {
        "build": BUILD,
        "forceRemove": boolean(),
        "imageId": string(output=True),
        "keepLocally": boolean(),
        "name": string(required=True, replaces=True),
        "platform": string(replaces=True),
        "pullTriggers": string_set(replaces=True),
        "repoDigest": string(output=True),
        "triggers": mapping(replaces=True),
    }
)

RELEASE_SECONDS: Final = 15.0
"""How long Swarm may take to clear away the ended containers of a removed service."""

KNOWN: Final = ("build", "forceRemove", "keepLocally", "platform", "pullTriggers", "triggers")
"""What only the program knows."""


class RemoteImage(Resource):
    """An image on the engine; its id is the image's id and the name."""

    token: ClassVar[str] = "docker:index/remoteImage:RemoteImage"  # noqa: S105 - a type's name
    schema: ClassVar[Property] = SCHEMA
    autonamed: ClassVar[bool] = False
    importable: ClassVar[bool] = False

    def deletes_first(self, inputs: Mapping[str, Any]) -> bool:
        """Never: the new image is there before the old one goes."""
        return False

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Builds it, or takes the one that is there, or pulls it."""
        name = inputs["name"]
        if inputs.get("build"):
            build_image(operation, engine, name, inputs["build"], inputs.get("platform"))
        found = _find(engine, name, inputs)
        if found is None:
            _pull(operation, engine, name, inputs.get("platform"))
            found = _find(engine, name, inputs)
        if found is None:
            raise OperationError(
                f"Unable to read Docker image into resource: image {name} is not there after it was pulled"
            )
        return found

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """By the name in the state."""
        return _find(engine, known["name"], known) if known.get("name") else None

    def update(self, operation: Operation, engine: Engine, identifier: str, state: Values, inputs: Values) -> Values:
        """Only remembers ``keepLocally`` and ``forceRemove``."""
        return {**state, **{name: inputs.get(name) for name in KNOWN}}

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Removes the name, and with it the image, unless it is to be kept or the name is another image's by now."""
        name = state.get("name")
        if state.get("keepLocally") or not name:
            return
        problem: EngineError | None = None
        for _ in operation.attempts(RELEASE_SECONDS):
            try:
                with engine.api() as client:
                    if client.inspect_image(name)["Id"] == state.get("imageId"):
                        client.remove_image(name, force=bool(state.get("forceRemove")))
                return
            except MissingError:
                return
            except EngineError as error:
                problem = error
                if "is using its referenced image" not in str(error):
                    break
        raise OperationError(f"Unable to remove Docker image: {problem}")


def _find(engine: Engine, name: str, known: Mapping[str, Any]) -> Found | None:
    try:
        with engine.api() as client:
            image = client.inspect_image(name)
    except MissingError:
        return None
    outputs = {
        **{each: known.get(each) for each in KNOWN},
        "imageId": image["Id"],
        "name": name,
        "repoDigest": repository_digest(name, image.get("RepoDigests") or []),
    }
    return Found(image["Id"] + name, outputs)


def _pull(operation: Operation, engine: Engine, name: str, platform: str | None) -> None:
    failure = f"Unable to read Docker image into resource: unable to pull image {name}: error pulling image {name}"
    who = credentials(name, engine.configuration.registries) or None
    try:
        with engine.api() as client:
            for event in client.pull(
                with_tag(name), stream=True, decode=True, auth_config=who, platform=platform or None
            ):
                if event.get("error"):
                    raise OperationError(f"{failure}: {event['error']}")
                operation.status(str(event.get("status", "")))
                operation.pause(0)
    except EngineError as error:
        raise OperationError(f"{failure}: {error}") from error
