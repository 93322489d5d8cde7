"""Values that are known only after the resource before has been made. Pure."""

from collections.abc import Mapping
from typing import Any, Final


class Unknown:
    """The type of ``UNKNOWN``."""

    def __repr__(self) -> str:
        """Shown in test failures."""
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


def contains_unknown(value: Any) -> bool:
    """Whether ``value`` is unknown, or a list or map with an unknown value in it."""
    if isinstance(value, Mapping):
        return any(contains_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(contains_unknown(inner) for inner in value)
    return value is UNKNOWN
