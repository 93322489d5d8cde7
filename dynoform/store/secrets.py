"""Secrets at rest: config vars encrypted, tokens hashed, links signed."""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dynoform.errors import ConfigurationError, InvalidInputError, SealedError

_FORMAT = b"\x01"
_NONCE = 12
_KEY = 32


class Vault:
    """Encrypts with the stack's key, by AES-256-GCM; an app's id is bound to its data."""

    def __init__(self, key: str) -> None:
        """``key`` is 32 bytes in URL-safe base64; ``ConfigurationError`` when it has another form."""
        try:
            raw = base64.urlsafe_b64decode(key)
        except ValueError:
            raw = b""
        if len(raw) != _KEY:
            raise ConfigurationError(
                "secret encryption_key", "is not 32 bytes in URL-safe base64", "run bin/dynoform up"
            )
        self._cipher = AESGCM(raw)
        self._signing_key = hmac.digest(raw, b"dynoform links", "sha256")

    def encrypt(self, app_id: uuid.UUID, config: dict[str, str]) -> bytes:
        """Config vars as they are stored."""
        nonce = os.urandom(_NONCE)
        plain = json.dumps(config, separators=(",", ":")).encode()
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, app_id.bytes)

    def decrypt(self, app_id: uuid.UUID, ciphertext: bytes) -> dict[str, str]:
        """The config vars back. Raises ``SealedError`` when another key or another app's id sealed them."""
        nonce, sealed = ciphertext[1 : 1 + _NONCE], ciphertext[1 + _NONCE :]
        try:
            plain = self._cipher.decrypt(nonce, sealed, app_id.bytes)
        except (InvalidTag, ValueError):
            raise SealedError(
                f"what is kept of {app_id}",
                "cannot be read, another encryption key than the stack's sealed it",
                "the operator has to bring back the state that has that key, or to remove the stack with its data",
            ) from None
        config: dict[str, str] = json.loads(plain)
        return config

    def sign(self, purpose: str, claims: dict[str, Any], seconds: int) -> str:
        """A token for a link, good for ``seconds``: ``claims`` in the open, works for ``purpose`` only.

        Its end is rounded up to a tenth of that time, so that an object with a link does not change at every look.
        """
        step = max(1, seconds // 10)
        ends = (int(time.time()) // step + 1) * step + seconds
        body = json.dumps(claims | {"exp": ends}, separators=(",", ":"), sort_keys=True).encode()
        return f"{_encode(body)}.{_encode(self._seal(purpose, body))}"

    def verify(self, purpose: str, token: str) -> dict[str, Any]:
        """The claims of a token that ``sign`` made for this purpose. ``InvalidInputError`` when forged or over."""
        body, _, seal = token.partition(".")
        try:
            raw, given = _decode(body), _decode(seal)
        except ValueError:
            raw, given = b"", b""
        if not hmac.compare_digest(given, self._seal(purpose, raw)):
            raise InvalidInputError("link", "is not one of ours", "ask for a new one")
        claims: dict[str, Any] = json.loads(raw)
        if claims["exp"] < time.time():
            raise InvalidInputError("link", "has expired", "ask for a new one")
        return claims

    def _seal(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self._signing_key, purpose.encode() + b"\0" + body, "sha256")


def digest(token: str) -> bytes:
    """What is stored of an API token. They are long and random, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode((text + "=" * (-len(text) % 4)).encode("ascii"), altchars=b"-_", validate=True)
