"""``docker:index/serviceConfig:ServiceConfig``: a Swarm config, a secret that everybody may read."""

import base64
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from . import validators
from .compact import label_map, label_set
from .engine import Engine
from .errors import MissingError
from .operation import Operation
from .properties import Property, block, labels, string
from .resource import Found, Resource, Values

EITHER: Final = ("data", "dataRaw")

SCHEMA: Final = block(
    {
        "data": string(replaces=True, only_one_of=EITHER, validators=(validators.base64_text,)),
        "dataRaw": string(replaces=True, only_one_of=EITHER),
        "labels": labels(replaces=True),
        "name": string(replaces=True, computed=True),
    }
)


class ServiceConfig(Resource):
    """A Swarm config. Every change makes a new one."""

    token: ClassVar[str] = "docker:index/serviceConfig:ServiceConfig"  # noqa: S105 - a type's name
    schema: ClassVar[Property] = SCHEMA

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Makes it."""
        raw = inputs.get("dataRaw")
        data = raw.encode() if raw is not None else base64.b64decode(inputs["data"])
        with engine.api() as client:
            made = client.create_config(inputs["name"], data, labels=label_map(inputs.get("labels")))
            return Found(made["ID"], config_state(client.inspect_config(made["ID"]), inputs))

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """By id."""
        try:
            with engine.api() as client:
                found = client.inspect_config(identifier)
        except MissingError:
            return None
        return Found(identifier, config_state(found, known)) if found["ID"] == identifier else None

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Removes it; the engine refuses while a service uses it."""
        try:
            with engine.api() as client:
                client.remove_config(identifier)
        except MissingError:
            return


def config_state(found: Mapping[str, Any], known: Mapping[str, Any]) -> Values:
    """Outputs for the engine's answer about a config; the data in the form that ``known`` has, base64 by default."""
    spec = found["Spec"]
    data = spec.get("Data", "")
    raw = known.get("dataRaw") is not None
    return {
        "data": None if raw else data,
        "dataRaw": base64.b64decode(data).decode(errors="replace") if raw else None,
        "labels": label_set(spec.get("Labels")),
        "name": spec["Name"],
    }
