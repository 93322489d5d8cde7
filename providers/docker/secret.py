"""``docker:index/secret:Secret``: a Swarm secret. The engine never shows its data again, so the state keeps it."""

import base64
from typing import ClassVar, Final

from . import validators
from .compact import label_map, label_set
from .engine import Engine
from .errors import MissingError
from .operation import Operation
from .properties import Property, block, labels, string
from .resource import Found, Resource, Values

SCHEMA: Final = block(
    {
        "data": string(required=True, replaces=True, sensitive=True, validators=(validators.secret_base64,)),
        "labels": labels(replaces=True),
        "name": string(replaces=True, computed=True),
    }
)


class Secret(Resource):
    """A Swarm secret. Every change makes a new one."""

    token: ClassVar[str] = "docker:index/secret:Secret"  # noqa: S105 - a type's name
    schema: ClassVar[Property] = SCHEMA
    importable: ClassVar[bool] = False

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Makes it."""
        with engine.api() as client:
            made = client.create_secret(
                inputs["name"], base64.b64decode(inputs["data"]), labels=label_map(inputs.get("labels"))
            )
        outputs = {"data": inputs["data"], "labels": label_set(label_map(inputs.get("labels"))), "name": inputs["name"]}
        return Found(made["ID"], outputs)

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """Its name and labels; the data is as it was."""
        try:
            with engine.api() as client:
                found = client.inspect_secret(identifier)
        except MissingError:
            return None
        if found["ID"] != identifier:
            return None
        spec = found["Spec"]
        outputs = {"data": known.get("data"), "labels": label_set(spec.get("Labels")), "name": spec["Name"]}
        return Found(identifier, outputs)

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Removes it; the engine refuses while a service uses it."""
        try:
            with engine.api() as client:
                client.remove_secret(identifier)
        except MissingError:
            return
