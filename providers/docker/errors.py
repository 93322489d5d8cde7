"""What can go wrong in this plugin.

DockerPluginError        the root; its text is what the user reads
├── ConversionError      an input has a type that nothing can be made of; Check answers with an RPC error
├── EngineError          the Docker engine refused, or could not be reached
│   └── MissingError     the engine knows no such object
├── OperationError       a create, update or delete could not be finished
└── PartialError         the resource exists but is not as declared; carries its outputs for the state
"""

from collections.abc import Mapping
from typing import Any


class DockerPluginError(Exception):
    """Catch it where the Pulumi engine is answered."""


class ConversionError(DockerPluginError):
    """An input that cannot be read as its property's type, such as ``"64m"`` for a number of bytes."""


class EngineError(DockerPluginError):
    """The Docker engine's own words, after ``Error response from daemon: `` where it answered."""


class MissingError(EngineError):
    """The engine knows no such object (HTTP 404), or is in no swarm, which all such objects are part of."""


class OperationError(DockerPluginError):
    """A create, update or delete ended without what was declared."""


class PartialError(DockerPluginError):
    """The object exists and has to be remembered; the next ``up`` updates it."""

    def __init__(self, reason: str, outputs: Mapping[str, Any]) -> None:
        """``outputs`` are the properties that go to the state."""
        super().__init__(reason)
        self.outputs = dict(outputs)
