"""What each kind of resource of this provider answers to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .engine import Operation
from .errors import InputError
from .values import UNKNOWN, contains_unknown

Values = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """Which properties differ, and which of these need a new resource instead of an update."""

    changed: frozenset[str] = field(default_factory=frozenset)
    replaces: frozenset[str] = field(default_factory=frozenset)
    delete_first: bool = False
    """Whether the old one has to go before the new one is made: it holds a name or an address that both have."""


class Resource:
    """A kind of resource. Methods get plain values; the servicer does the wire, secrets and errors.

    ``inputs`` may hold ``UNKNOWN`` in ``check`` and ``diff`` only: for an unknown value in a preview the servicer
    calls nothing else.
    """

    required: ClassVar[Mapping[str, type]] = {}
    """Input name → type; ``check`` refuses a resource without them."""
    optional: ClassVar[Mapping[str, Any]] = {}
    """Input name → default value; its type is the type that is accepted."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Outputs that a change may alter: unknown while that change is only previewed."""
    secret: ClassVar[frozenset[str]] = frozenset()
    """Properties that are always secret, marked or not."""
    replacing: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change needs a new resource."""

    def check(self, inputs: Values) -> Values:
        """Inputs with defaults filled in. Raises ``InputError`` for the first that cannot be used."""
        allowed = {**self.required, **{name: type(value) for name, value in self.optional.items()}}
        for name in inputs:
            if name not in allowed and not name.startswith("__"):
                raise InputError(
                    name, f"is not a property of {type(self).__name__}", f"use one of {', '.join(sorted(allowed))}"
                )
        for name in self.required:
            if inputs.get(name) is None:
                raise InputError(name, "is required but was not given")
        given = {name: value for name, value in inputs.items() if value is not None and name in allowed}
        for name, value in given.items():
            if value is not UNKNOWN and type(value) is not allowed[name]:
                raise InputError(
                    name,
                    f"should be {TYPE_NAMES[allowed[name]]}, is {TYPE_NAMES.get(type(value), type(value).__name__)}",
                )
        return {**self.optional, **given}

    def diff(self, olds: Values, news: Values) -> Difference:
        """Compares the state's properties with the checked inputs; an unknown new value counts as changed."""
        changed = frozenset(name for name, value in news.items() if contains_unknown(value) or olds.get(name) != value)
        return Difference(changed, changed & self.replacing)

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Makes it; returns its id and all properties."""
        raise NotImplementedError

    def read(self, operation: Operation, identifier: str, state: Values) -> Values | None:
        """The properties as they are now; None when it is gone. The default has no life outside the state."""
        return state

    def update(self, operation: Operation, identifier: str, olds: Values, news: Values) -> Values:
        """Changes it in place; returns all properties."""
        raise NotImplementedError

    def delete(self, operation: Operation, identifier: str, state: Values) -> None:
        """Removes it; one that is gone already is no error. The default has nothing to remove."""


TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "a map",
    list: "a list",
}
