"""How many dynos of which size an app has per process type, and how releases and scaling change that."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dynoform.domain import dyno_sizes, process_types
from dynoform.errors import InvalidInputError

MAXIMUM_QUANTITY = 100
_QUANTITY = re.compile(r"([+-]?)(\d{1,6})")


@dataclass(frozen=True)
class Scale:
    """Quantity and size of one process type."""

    type: str
    quantity: int
    size: str = dyno_sizes.DEFAULT

    def __str__(self) -> str:
        """``web@2:Standard-1X``, as log lines show it."""
        return f"{self.type}@{self.quantity}:{self.size}"


def merge(formation: Mapping[str, Scale], types: Iterable[str]) -> dict[str, Scale]:
    """The formation after a release with these process types.

    A type that stays keeps its scale, one that is gone goes; a new ``web`` gets one dyno, any other none, as on Heroku.
    """
    return {name: formation.get(name) or Scale(name, 1 if name == process_types.WEB else 0) for name in types}


def scale(current: Scale, quantity: int | str | None = None, size: str | None = None) -> Scale:
    """``current`` with another quantity (absolute, or relative as ``+1``) and size; None leaves one as it is.

    Raises ``InvalidInputError`` for what is not a number from 0 to 100 or not a size.
    """
    changed = current
    if quantity is not None:
        changed = replace(changed, quantity=_quantity(current.quantity, quantity))
    if size is not None:
        changed = replace(changed, size=dyno_sizes.find(size).name)
    return changed


def scaled(scales: Iterable[Scale], email: str) -> str:
    """The app's log line: ``Scaled to web@2:Standard-1X worker@1:Standard-1X by user ann@example.com``."""
    return f"Scaled to {' '.join(map(str, scales))} by user {email}"


def unknown_type(name: str) -> InvalidInputError:
    """Heroku's error for a process type that the current slug does not have."""
    return InvalidInputError(f"Couldn't find that process type ({name}).")


def _quantity(present: int, wanted: int | str) -> int:
    match = _QUANTITY.fullmatch(str(wanted))
    if match is None:
        raise InvalidInputError(f"Quantity {str(wanted)[:20]!r} is not a number of dynos")
    sign, digits = match.groups()
    result = {"+": present + int(digits), "-": max(0, present - int(digits)), "": int(digits)}[sign]
    if result > MAXIMUM_QUANTITY or (sign == "-" and isinstance(wanted, int)):
        raise InvalidInputError(f"Cannot scale to {wanted} dynos: a process type can have 0 to {MAXIMUM_QUANTITY}")
    return result
