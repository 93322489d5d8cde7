"""Certificates of the platform's own names: written by the API, read by the routers."""

from sqlalchemy.orm import Session

from dynoform.configuration import Configuration
from dynoform.store import certificate_keys
from dynoform.store.session import ROUTES, notify
from dynoform.store.tables import PlatformCertificate

API, APPS = certificate_keys.API, certificate_keys.APPS


def put(session: Session, configuration: Configuration, name: str, chain: str, key: str) -> PlatformCertificate:
    """Serve this one from now on, within seconds and without a restart of anything."""
    row = session.get(PlatformCertificate, name) or PlatformCertificate(name=name)
    row.chain, row.private_key = chain, certificate_keys.seal(configuration, certificate_keys.PLATFORM, key)
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
