"""Certificates of apps' domains: keys sealed so that routers can open them, and what routers have to serve."""

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import func, select, union_all
from sqlalchemy.orm import Session

from dynoform.configuration import Configuration
from dynoform.domain import features
from dynoform.domain.served_certificates import Entry, entries
from dynoform.store.features import enabled_for
from dynoform.store.platform_certificates import joined, vault
from dynoform.store.tables import AcmeChallenge, AppFeature, Domain, PlatformCertificate, SniEndpoint

if TYPE_CHECKING:
    from dynoform.store.secrets import Vault

KEY = "private_key"
_RESEALED_AT_ONCE = 100


def seal(configuration: Configuration, endpoint_id: uuid.UUID, key: str) -> bytes:
    """A certificate's key as it is stored."""
    return vault(configuration).encrypt(endpoint_id, {KEY: key})


def reseal(session: Session, configuration: Configuration, old: "Vault") -> int:
    """Seal keys from before routers could open them, some at once; returns how many."""
    query = select(SniEndpoint).where(~SniEndpoint.sealed_for_routers).limit(_RESEALED_AT_ONCE)
    rows = session.scalars(query.with_for_update(skip_locked=True)).all()
    for row in rows:
        row.private_key = seal(configuration, row.id, old.decrypt(row.id, row.private_key)[KEY])
        row.sealed_for_routers = True
    return len(rows)


def state(session: Session) -> tuple[object, ...]:
    """What is another when something of all this may have changed; one short query."""
    newest = [
        select(func.count(), func.max(table.updated_at)).select_from(table)
        for table in (SniEndpoint, Domain, AppFeature, PlatformCertificate)
    ]
    challenges = select(func.count(), func.max(AcmeChallenge.created_at)).select_from(AcmeChallenge)
    return tuple(map(tuple, session.execute(union_all(*newest, challenges))))


def served(session: Session) -> list[Entry]:
    """What routers show, for all apps: each certificate that a domain uses, for those domains."""
    columns = (SniEndpoint.id, SniEndpoint.updated_at, Domain.hostname)
    query = select(*columns).join(Domain, Domain.sni_endpoint_id == SniEndpoint.id)
    rows = session.execute(query.where(SniEndpoint.sealed_for_routers))
    return entries((str(identifier), updated_at.isoformat(), hostname) for identifier, updated_at, hostname in rows)


def pems(session: Session, configuration: Configuration, sources: Collection[str]) -> dict[str, str]:
    """Of these SNI endpoints: chain and key as a server reads them. One that has just gone is left out."""
    ids = [uuid.UUID(source) for source in sources]
    if not ids:
        return {}
    sealer = vault(configuration)
    rows = session.scalars(select(SniEndpoint).where(SniEndpoint.id.in_(ids), SniEndpoint.sealed_for_routers))
    return {
        str(row.id): joined(row.certificate_chain, sealer.decrypt(row.id, row.private_key)[KEY])
        for row in rows.unique()
    }


def answers(session: Session) -> dict[str, str]:
    """What routers say of their own: path → answer to an authority, app id → its Strict-Transport-Security."""
    challenges = session.execute(select(AcmeChallenge.token, AcmeChallenge.key_authorization))
    found = {f"/.well-known/acme-challenge/{token}": answer for token, answer in challenges}
    apps = enabled_for(session, features.STRICT_TRANSPORT_SECURITY)
    return found | {str(app_id): features.STRICT_TRANSPORT_SECURITY_HEADER for app_id in apps}
