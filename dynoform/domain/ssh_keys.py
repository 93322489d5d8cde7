"""SSH public keys: one line of OpenSSH's format, checked down to the numbers in it."""

import base64
import hashlib
import struct
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from dynoform.errors import ConfigurationError, InvalidInputError

MAXIMUM_LENGTH = 8192
MINIMUM_RSA_BITS = 2048
TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
"""No DSA, which OpenSSH has given up, and no certificates."""


@dataclass(frozen=True)
class PublicKey:
    """A key as it is stored: the line without surplus space, its comment, and Heroku's fingerprint (MD5 in hex)."""

    line: str
    comment: str
    fingerprint: str


@dataclass(frozen=True)
class HostKey:
    """An SSH server's key: the private one as PEM, the public one as a line without a comment."""

    private: bytes
    public: str


def host_key(secret: str) -> HostKey:
    """The Ed25519 key that 32 bytes in URL-safe base64 are. Raises ``ConfigurationError`` when they are not."""
    try:
        key = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(secret))
    except ValueError as error:
        why = "is not 32 bytes in URL-safe base64"
        raise ConfigurationError("secret exec_host_key", why, "run bin/dynoform up") from error
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return HostKey(private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def parse(text: str) -> PublicKey:
    """The key in ``text``, the content of a ``.pub`` file. Raises ``InvalidInputError`` when it is not just one key."""
    kind, _, rest = text.strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if len(text) > MAXIMUM_LENGTH or len(text.strip().splitlines()) != 1 or not text.strip().isprintable():
        raise _invalid("send one line, as it stands in the .pub file")
    if kind not in TYPES:
        raise _invalid(f"use a key of one of the types {', '.join(TYPES)}")
    blob = _decode(kind, encoded)
    digits = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
    return PublicKey(f"{kind} {encoded} {comment.strip()}".strip(), comment.strip(), fingerprint)


def _decode(kind: str, encoded: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
        key = load_ssh_public_key(f"{kind} {encoded}".encode())
        (length,) = struct.unpack_from(">I", blob)
    except (ValueError, UnsupportedAlgorithm, struct.error):
        raise _invalid("copy the .pub file again") from None
    if blob[4 : 4 + length].decode("ascii", "replace") != kind or base64.b64encode(blob).decode() != encoded:
        raise _invalid("copy the .pub file again")
    if isinstance(key, RSAPublicKey) and key.key_size < MINIMUM_RSA_BITS:
        raise _invalid(f"RSA keys need {MINIMUM_RSA_BITS} bits or more: make a new one, with ssh-keygen -t ed25519")
    return blob


def _invalid(next_step: str) -> InvalidInputError:
    return InvalidInputError("public_key", "is not an SSH public key that can be used", next_step)
