"""Certificates of the platform's own names: written by the API, read by the routers."""

import uuid
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from dynoform.configuration import Configuration
from dynoform.store.session import ROUTES, notify
from dynoform.store.tables import PlatformCertificate

if TYPE_CHECKING:
    from dynoform.store.secrets import Vault

API = "api"
APPS = "apps"
"""For all names of apps below the platform's domain."""
SECRET = "certificate_key"  # noqa: S105 - a file's name
_CONTEXT = uuid.uuid5(uuid.NAMESPACE_DNS, "platform-certificates.dynoform")


def put(session: Session, configuration: Configuration, name: str, chain: str, key: str) -> PlatformCertificate:
    """Serve this one from now on, within seconds and without a restart of anything."""
    row = session.get(PlatformCertificate, name) or PlatformCertificate(name=name)
    row.chain, row.private_key = chain, vault(configuration).encrypt(_CONTEXT, {"key": key})
    session.add(row)
    session.flush()
    notify(session, ROUTES, name)
    return row


def remove(session: Session, name: str) -> PlatformCertificate | None:
    """Serve the stack's own again; returns what was served, if anything."""
    row = session.get(PlatformCertificate, name)
    if row is not None:
        session.delete(row)
        notify(session, ROUTES, name)
    return row


def pem(session: Session, configuration: Configuration, name: str) -> str | None:
    """Key and chain as a server reads them, without blank lines; None when there is none."""
    row = session.get(PlatformCertificate, name)
    if row is None:
        return None
    return joined(row.chain, vault(configuration).decrypt(_CONTEXT, row.private_key)["key"])


def joined(chain: str, key: str) -> str:
    """Chain and key as a server reads them, without blank lines."""
    lines = [line.strip() for line in f"{chain}\n{key}".splitlines()]
    return "".join(f"{line}\n" for line in lines if line)


def vault(configuration: Configuration) -> "Vault":
    """What seals keys of certificates: with the key that routers have."""
    # Megabytes of cryptography, which most routers never need.
    from dynoform.store.secrets import Vault

    return Vault(configuration.secret(SECRET))
