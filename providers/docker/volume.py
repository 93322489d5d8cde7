"""``docker:index/volume:Volume``."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .compact import label_map, label_set
from .engine import Engine
from .errors import EngineError, MissingError, OperationError
from .operation import Operation
from .properties import Property, block, labels, mapping, refused, string
from .resource import Found, Resource, Values

RELEASE_SECONDS: Final = 30.0
"""How long a delete waits for the last container that uses the volume."""

SCHEMA: Final = block(
    {
        "cluster": refused("cluster volumes need Docker 23 and a CSI plugin; use the official plugin, or leave it out"),
        "driver": string(replaces=True, computed=True),
        "driverOpts": mapping(replaces=True),
        "labels": labels(replaces=True),
        "mountpoint": string(output=True),
        "name": string(replaces=True, computed=True),
    }
)


class Volume(Resource):
    """A Docker volume; its id is its name. One that exists already is taken over as it is."""

    token: ClassVar[str] = "docker:index/volume:Volume"  # noqa: S105 - a type's name
    schema: ClassVar[Property] = SCHEMA

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Makes it, or adopts the one of that name."""
        with engine.api() as client:
            made = client.create_volume(
                inputs["name"],
                driver=inputs.get("driver"),
                driver_opts=inputs.get("driverOpts"),
                labels=label_map(inputs.get("labels")),
            )
        return Found(made["Name"], volume_state(made))

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """By name."""
        try:
            with engine.api() as client:
                return Found(identifier, volume_state(client.inspect_volume(identifier)))
        except MissingError:
            return None

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Waits for containers that are just ending."""
        for _ in operation.attempts(RELEASE_SECONDS):
            try:
                with engine.api() as client:
                    client.remove_volume(identifier)
                return
            except MissingError:
                return
            except EngineError as error:
                if "volume is in use" not in str(error):
                    raise
        raise OperationError(
            "timeout while waiting for state to become 'removed' "
            f"(last state: 'in_use', timeout: {RELEASE_SECONDS:.0f}s)"
        )


def volume_state(found: Mapping[str, Any]) -> Values:
    """Outputs for the engine's answer about a volume."""
    return {
        "cluster": None,
        "driver": found.get("Driver"),
        "driverOpts": found.get("Options") or None,
        "labels": label_set(found.get("Labels")),
        "mountpoint": found.get("Mountpoint"),
        "name": found.get("Name"),
    }
