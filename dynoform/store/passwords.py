"""Passwords at rest: scrypt (RFC 7914), with its parameters beside each hash so that they can grow."""

import base64
import hashlib
import hmac
import os
import threading

from dynoform.errors import InvalidInputError

MINIMUM_LENGTH = 8
MAXIMUM_LENGTH = 256
_COST, _BLOCK, _PARALLEL = 2**14, 8, 5
"""One of OWASP's equivalent choices, the one that needs 16 MiB: the API has little memory."""
_MEMORY = 64 * 1024 * 1024
_SALT, _HASH = 16, 32
_AT_ONCE = threading.BoundedSemaphore(2)


def hash_password(password: str) -> str:
    """The password as it is stored. Raises ``InvalidInputError`` for one that is too short or too long."""
    if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
        raise InvalidInputError(f"Password must have {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters")
    salt = os.urandom(_SALT)
    parts = (_COST, _BLOCK, _PARALLEL, _text(salt), _text(_scrypt(password, salt, _COST, _BLOCK, _PARALLEL)))
    return "$".join(("scrypt", *map(str, parts)))


def verify_password(password: str, stored: str | None) -> bool:
    """Whether it is the password that was hashed. Takes as long for an account that has none."""
    _, cost, block, parallel, salt, expected = (stored or _NOBODY).split("$")
    if len(password) > MAXIMUM_LENGTH:
        return False
    given = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(given, base64.b64decode(expected)) and stored is not None


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    encoded = password.encode("utf-8", "surrogatepass")
    with _AT_ONCE:
        return hashlib.scrypt(encoded, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=_HASH)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_NOBODY = "$".join(("scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), _text(bytes(_SALT)), _text(bytes(_HASH))))
