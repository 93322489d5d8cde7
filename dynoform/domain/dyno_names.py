"""Names of dynos: ``web.1``."""

import re
from collections.abc import Iterable

from dynoform.errors import InvalidInputError

_NAME = re.compile(r"([A-Za-z0-9_-]+)\.([1-9]\d{0,5})")


def name(process_type: str, number: int) -> str:
    """``web.1`` for the first web dyno."""
    return f"{process_type}.{number}"


def parse(text: str) -> tuple[str, int]:
    """Process type and number of a dyno's name. Raises ``InvalidInputError`` for what is not like ``web.1``."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"dyno {text[:40]!r}", "is not a dyno's name", "use one like web.1")
    return match[1], int(match[2])


def missing(quantity: int, present: Iterable[int]) -> list[int]:
    """Numbers from 1 to ``quantity`` that no dyno has yet, lowest first."""
    taken = set(present)
    return [number for number in range(1, quantity + 1) if number not in taken]
