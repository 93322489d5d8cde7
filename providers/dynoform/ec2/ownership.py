"""How what belongs to a stack is known again: by tags, and by tokens that make a repeated call the same call.

A create that was killed leaves no id in the state. The next one looks for what carries these tags before it makes
anything. There is one live thing for each name, since what is replaced is removed first.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

STACK: Final = "dynoform:stack"
RESOURCE: Final = "dynoform:resource"
PART: Final = "dynoform:part"
"""Which of the several things that make up a resource: ``subnet eu-central-1a``."""
NAME_LENGTH: Final = 32
"""Names of load balancers and target groups are no longer."""


def tags(stack: str, resource: str, part: str = "") -> list[dict[str, str]]:
    """Tags of a thing; ``Name`` is what AWS's console shows."""
    own = {STACK: stack, RESOURCE: resource, **({PART: part} if part else {}), "Name": f"{resource} {part}".strip()}
    return [{"Key": key, "Value": value} for key, value in own.items()]


def specification(kind: str, stack: str, resource: str, part: str = "") -> list[dict[str, Any]]:
    """``TagSpecifications`` for a call that makes a ``kind``: what is made is never without its tags."""
    return [{"ResourceType": kind, "Tags": tags(stack, resource, part)}]


def filters(stack: str, resource: str, **others: list[str]) -> list[dict[str, Any]]:
    """``Filters`` that find what a resource has made; names of ``others`` are AWS's with ``_`` for ``-``."""
    own = {f"tag:{STACK}": [stack], f"tag:{RESOURCE}": [resource]}
    own |= {name.replace("_", "-"): values for name, values in others.items()}
    return [{"Name": name, "Values": values} for name, values in own.items()]


def tag(thing: Mapping[str, Any], key: str) -> str:
    """Value of a thing's tag; empty without."""
    return next((str(each["Value"]) for each in thing.get("Tags") or () if each["Key"] == key), "")


def token(*parts: Any) -> str:
    """A ``ClientToken``: the same for the same parts (64 ASCII characters are allowed)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def short_name(resource: str, part: str = "") -> str:
    """A name that AWS takes for a load balancer or a target group, and that no other resource has."""
    whole = f"{resource}-{part}" if part else resource
    clean = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in whole).strip("-")
    if clean == whole and len(whole) <= NAME_LENGTH:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{clean[: NAME_LENGTH - 9].strip('-')}-{digest}"


def split(identifier: str) -> tuple[str, str]:
    """Region and AWS's id of a resource's id, ``eu-central-1/i-0123``; both empty for what is no such id."""
    region, slash, own = identifier.partition("/")
    return (region, own) if slash else ("", "")
