"""Certificates of apps' domains: keys from before routers could open them."""

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.configuration import Configuration
from dynoform.store.certificate_keys import seal, unseal
from dynoform.store.tables import SniEndpoint

if TYPE_CHECKING:
    from dynoform.store.secrets import Vault

_RESEALED_AT_ONCE = 100


def reseal(session: Session, configuration: Configuration, old: "Vault") -> int:
    """Seal keys from before routers could open them, some at once; returns how many."""
    query = select(SniEndpoint).where(~SniEndpoint.sealed_for_routers).limit(_RESEALED_AT_ONCE)
    rows = session.scalars(query.with_for_update(skip_locked=True)).all()
    for row in rows:
        row.private_key = seal(configuration, row.id, unseal(old, row.id, row.private_key))
        row.sealed_for_routers = True
    return len(rows)
