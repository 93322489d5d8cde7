"""Password: a random secret that stays the same for as long as the resource lives."""

import base64
import secrets
import string
from typing import ClassVar

from .engine import Operation
from .errors import InputError
from .resource import Resource, Values

ALPHANUMERIC = "alphanumeric"
KEY_32_BYTES = "urlsafe-base64-32"
"""32 random bytes in URL-safe base64: what Fernet and AES-256 keys look like."""
SHORTEST = 12


class Password(Resource):
    """Inputs ``length`` (characters, for ``alphanumeric``), ``encoding``, ``keepers``: a change makes a new one."""

    optional: ClassVar = {"length": 32, "encoding": ALPHANUMERIC, "keepers": {}}
    computed: ClassVar = ("value",)
    secret: ClassVar = frozenset({"value"})
    replacing: ClassVar = frozenset({"length", "encoding", "keepers"})

    def check(self, inputs: Values) -> Values:
        """Refuses short passwords and encodings that are not known."""
        checked = super().check(inputs)
        if checked["encoding"] not in (ALPHANUMERIC, KEY_32_BYTES):
            raise InputError("encoding", f"is {checked['encoding']!r}", f"use {ALPHANUMERIC} or {KEY_32_BYTES}")
        if isinstance(checked["length"], int) and not SHORTEST <= checked["length"] <= 256:
            raise InputError("length", f"is {checked['length']}", f"use {SHORTEST} to 256 characters")
        return checked

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """The id is the resource's name: nothing outside the state knows it."""
        return operation.name, {**inputs, "value": _generate(inputs["encoding"], inputs["length"])}


def _generate(encoding: str, length: int) -> str:
    if encoding == KEY_32_BYTES:
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))
