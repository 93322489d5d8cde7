"""Keys of certificates, sealed with a key that routers have, too; without the object mapper, for their sake."""

import uuid
from typing import TYPE_CHECKING

from dynoform.configuration import Configuration

if TYPE_CHECKING:
    from dynoform.store.secrets import Vault

SECRET = "certificate_key"  # noqa: S105 - a file's name
PLATFORM = uuid.uuid5(uuid.NAMESPACE_DNS, "platform-certificates.dynoform")
"""Stands for the owner of the platform's own certificates."""
API = "api"
APPS = "apps"
"""The platform's certificates by name; the second is for all names of apps below its domain."""
_PLATFORM_KEY = "key"
_KEY = "private_key"


def vault(configuration: Configuration) -> "Vault":
    """What seals keys of certificates."""
    # Megabytes of cryptography, which most routers never need.
    from dynoform.store.secrets import Vault

    return Vault(configuration.secret(SECRET))


def seal(configuration: Configuration, owner: uuid.UUID, key: str) -> bytes:
    """A certificate's key as it is stored; ``owner`` is its SNI endpoint's id, or ``PLATFORM``."""
    return vault(configuration).encrypt(owner, {_name(owner): key})


def unseal(sealer: "Vault", owner: uuid.UUID, sealed: bytes) -> str:
    """The key back. Raises ``SealedError`` when another key or another owner's id sealed it."""
    return sealer.decrypt(owner, sealed)[_name(owner)]


def pem(sealer: "Vault", owner: uuid.UUID, chain: str, sealed: bytes) -> str:
    """Chain and key as a server reads them. Raises as ``unseal`` does."""
    return joined(chain, unseal(sealer, owner, sealed))


def joined(chain: str, key: str) -> str:
    """Chain and key as a server reads them, without blank lines."""
    lines = [line.strip() for line in f"{chain}\n{key}".splitlines()]
    return "".join(f"{line}\n" for line in lines if line)


def _name(owner: uuid.UUID) -> str:
    return _PLATFORM_KEY if owner == PLATFORM else _KEY
