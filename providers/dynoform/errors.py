"""What can go wrong in this provider.

ProviderError            the root: one line of what, why, next
├── InputError           an input is wrong; carries the property, found before anything is changed
└── PartialError         something was made before it failed; carries what to remember of it
"""

from collections.abc import Mapping
from typing import Any


class ProviderError(Exception):
    """One line: what failed, why, and the next thing to do. Catch it where the engine is answered."""

    def __init__(self, what: str, why: str, next_step: str = "") -> None:
        """``what`` names the thing, ``why`` the reason, ``next_step`` the command or change that mends it."""
        self.what, self.why, self.next_step = what, why, next_step
        super().__init__(f"{what}: {why}" + (f" — {next_step}" if next_step else ""))


class InputError(ProviderError):
    """An input of a resource cannot be used. ``name`` is the property as Pulumi shows it (camelCase)."""

    def __init__(self, name: str, why: str, next_step: str = "") -> None:
        """``name`` is the property, ``why`` starts with a verb."""
        super().__init__(name, why, next_step)
        self.name = name
        self.reason = why + (f" — {next_step}" if next_step else "")


class PartialError(ProviderError):
    """The resource exists but is not as declared; the engine keeps it in the state and updates it next time."""

    def __init__(self, cause: ProviderError, identifier: str, outputs: Mapping[str, Any]) -> None:
        """``identifier`` and ``outputs`` are what the state shall remember."""
        super().__init__(cause.what, cause.why, cause.next_step)
        self.identifier = identifier
        self.outputs = dict(outputs)
