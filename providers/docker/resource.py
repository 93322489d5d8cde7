"""What each resource type answers to. Check and Diff are the schema's; the rest each type does itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .engine import Engine
from .operation import Operation
from .properties import Property

Values = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """An object as it was made or read: its id and its properties."""

    identifier: str
    outputs: Values


class Resource:
    """A resource type. All values are plain; the servicer does the wire, secrets and errors."""

    token: ClassVar[str]
    schema: ClassVar[Property]
    autonamed: ClassVar[bool] = True
    """Whether a missing name is made up from the resource's."""
    importable: ClassVar[bool] = True

    def adapted(self, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state for a comparison, without what the engine made of the inputs by itself. Pure."""
        return state

    def deletes_first(self, inputs: Mapping[str, Any]) -> bool:
        """Whether a replacement has to delete before it creates: where the name is the program's. Pure."""
        return "name" not in inputs.get("__defaults", ())

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Makes it."""
        raise NotImplementedError

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """It as it is now; None when there is none. ``known`` is the state so far, empty for an import."""
        raise NotImplementedError

    def update(self, operation: Operation, engine: Engine, identifier: str, state: Values, inputs: Values) -> Values:
        """Changes it in place; returns all properties."""
        raise NotImplementedError

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Removes it; one that is gone already is no error."""
        raise NotImplementedError
