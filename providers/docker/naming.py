"""Names that a program leaves out: ``<resource name>-<7 hex>``, kept over later runs. Pure."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

HEX_DIGITS: Final = 7
DEFAULTS: Final = "__defaults"
"""Hidden input: names of the properties that Check filled in. It tells a made-up name from a given one."""


def named(
    values: dict[str, Any], old_inputs: Mapping[str, Any], resource: str, seed: bytes, proposed: str = ""
) -> dict[str, Any]:
    """``values`` with a name.

    Parameters:
        old_inputs: checked inputs of the last run; empty for a new resource, and for the new one of a replacement.
        seed: the Pulumi engine's, the same in a plan and the ``up`` of it.
        proposed: a name by the project's own autonaming rules.
    """
    if values.get("name"):
        return {**values, DEFAULTS: []}
    name = old_inputs.get("name") or proposed or f"{resource}-{_digits(seed)}"
    return {**values, "name": name, DEFAULTS: ["name"]}


def _digits(seed: bytes) -> str:
    digest = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(HEX_DIGITS)
    return digest[:HEX_DIGITS]
