"""Ids of what is data and has no row: stacks, regions, sizes."""

import uuid


def fixed_id(name: str) -> str:
    """The id that follows from the name, the same in every answer and event."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.dynoform"))
