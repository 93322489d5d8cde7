"""Ids of what is data and has no row: stacks, regions, sizes."""

import uuid
from functools import lru_cache


@lru_cache(maxsize=1024)
def fixed_id(name: str) -> str:
    """The id that follows from the name, the same in every answer and event."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.dynoform"))
