"""The language in which the resource types describe their properties; no rules of its own.

Names and types are those of the ``pulumi_docker`` 5.2.0 SDK; what replaces, what is kept and what is a set is as the
official plugin behaves. ``check.py``, ``diff.py`` and ``shape.py`` read these trees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any


class Kind(Enum):
    """Type of a property."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    MAP = "map of strings"
    LIST = "list"
    SET = "set"
    OBJECT = "object"


Validator = Callable[[str], str | None]
"""Takes a value as text; returns what is wrong with it, or None."""


@dataclass(frozen=True)
class Property:
    """One property, or the item of a list or set.

    Parameters:
        fields: name → property, of an object.
        item: what a list or set holds.
        required: Check refuses an object without it.
        default: what Check fills in where it is absent.
        computed: absent in the program means "as the engine has it", never a change.
        replaces: a change needs a new resource.
        output: never an input; read from the engine.
        sensitive: always secret.
        validators: see ``Validator``.
        conflicts: paths (as the engine of the official plugin writes them, ``mode.0.global``) that exclude it.
        only_one_of: input names of which exactly one has to be given.
        canonical: brings a value to the form in which it is compared.
        refused: why it is not served; Check refuses a program that sets it.
    """

    kind: Kind
    fields: Mapping[str, "Property"] = field(default_factory=dict)
    item: "Property | None" = None
    required: bool = False
    default: Any = None
    computed: bool = False
    replaces: bool = False
    output: bool = False
    sensitive: bool = False
    validators: tuple[Validator, ...] = ()
    conflicts: tuple[str, ...] = ()
    only_one_of: tuple[str, ...] = ()
    canonical: Callable[[Any], Any] | None = None
    refused: str | None = None

    def but(self, **changes: Any) -> "Property":
        """The same property with other settings."""
        return replace(self, **changes)

    @property
    def holds_objects(self) -> bool:
        """Whether it is a list or set of objects."""
        return self.item is not None and self.item.kind is Kind.OBJECT


def string(**settings: Any) -> Property:
    """Text."""
    return Property(Kind.STRING, **settings)


def integer(**settings: Any) -> Property:
    """A whole number."""
    return Property(Kind.INTEGER, **settings)


def boolean(**settings: Any) -> Property:
    """True or false."""
    return Property(Kind.BOOLEAN, **settings)


def mapping(**settings: Any) -> Property:
    """Text → text."""
    return Property(Kind.MAP, **settings)


def strings(**settings: Any) -> Property:
    """Texts whose order counts."""
    return Property(Kind.LIST, item=string(), **settings)


def string_set(**settings: Any) -> Property:
    """Texts in any order."""
    return Property(Kind.SET, item=string(), **settings)


def block(fields: Mapping[str, Property], **settings: Any) -> Property:
    """An object."""
    return Property(Kind.OBJECT, fields=fields, **settings)


def blocks(fields: Mapping[str, Property], **settings: Any) -> Property:
    """Objects whose order counts."""
    return Property(Kind.LIST, item=block(fields), **settings)


def block_set(fields: Mapping[str, Property], **settings: Any) -> Property:
    """Objects in any order."""
    return Property(Kind.SET, item=block(fields), **settings)


def labels(**settings: Any) -> Property:
    """Docker labels: objects {label, value} in any order."""
    return block_set({"label": string(required=True), "value": string(required=True)}, **settings)


def refused(reason: str) -> Property:
    """A property of the SDK that this plugin does not serve."""
    return Property(Kind.STRING, refused=reason)
