"""Automated certificates in the store: which names want one, how far each is, what was got."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cryptography import x509
from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dynoform.configuration import Configuration
from dynoform.domain import acm, certificate_names, hostnames, webhooks
from dynoform.domain.acm import Lifetime
from dynoform.domain.certificates import Certificate
from dynoform.store import platform_certificates, snapshots
from dynoform.store.domains import routed_until
from dynoform.store.releases import lock_app
from dynoform.store.session import ROUTES, notify
from dynoform.store.sni_endpoints import fill
from dynoform.store.tables import AcmeChallenge, AcmeSubject, App, Domain, PlatformCertificate, SniEndpoint
from dynoform.store.webhooks import publish

APPS = uuid.uuid5(uuid.NAMESPACE_DNS, "apps.dynoform")
"""The subject that is the wildcard of apps' own names."""
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True)
class Subject:
    """A name that gets its certificates from the platform; ``names`` has what they are for, the first one its own."""

    id: uuid.UUID
    names: tuple[str, ...]
    cname: str = ""
    status: str | None = None
    lifetime: Lifetime | None = None
    """Of its present certificate; None for none."""
    failures: int = 0
    after: datetime | None = None
    renew_at: datetime | None = None
    ask_at: datetime | None = None

    @property
    def by_dns(self) -> bool:
        """Whether the authority is to look into the DNS: it does nothing else for a wildcard (RFC 8555, 7.1.3)."""
        return any(hostnames.is_wildcard(name) for name in self.names)


def subjects(session: Session, apps_names: tuple[str, ...]) -> list[Subject]:
    """All names that are to have a certificate; ``apps_names`` are those of the platform's own, none for none."""
    columns = (
        Domain.id,
        Domain.hostname,
        Domain.cname,
        Domain.acm_status,
        SniEndpoint.starts_at,
        SniEndpoint.expires_at,
    )
    query = (
        select(*columns, AcmeSubject)
        .join(App, App.id == Domain.app_id)
        .outerjoin(SniEndpoint, (SniEndpoint.id == Domain.sni_endpoint_id) & SniEndpoint.acm)
        .outerjoin(AcmeSubject, AcmeSubject.id == Domain.id)
        .where(App.acm)
        .order_by(Domain.created_at, Domain.id)
    )
    found = [
        Subject(identifier, (hostname,), cname, status, Lifetime(starts, ends) if starts else None, **_progress(row))
        for identifier, hostname, cname, status, starts, ends, row in session.execute(query)
    ]
    if apps_names:
        present = session.get(PlatformCertificate, platform_certificates.APPS)
        read = _lifetime(present.chain) if present else None
        found.append(Subject(APPS, apps_names, lifetime=read, **_progress(session.get(AcmeSubject, APPS))))
    return found


def chain(session: Session, subject_id: uuid.UUID) -> str:
    """The present certificate of a subject with those that signed it, PEM; empty for none."""
    if subject_id == APPS:
        row = session.get(PlatformCertificate, platform_certificates.APPS)
        return row.chain if row else ""
    query = select(SniEndpoint.certificate_chain).join(Domain, Domain.sni_endpoint_id == SniEndpoint.id)
    return session.scalar(query.where(Domain.id == subject_id, SniEndpoint.acm)) or ""


def _lifetime(pem: str) -> Lifetime:
    first = x509.load_pem_x509_certificate(pem.encode())
    return Lifetime(first.not_valid_before_utc, first.not_valid_after_utc)


def _progress(row: AcmeSubject | None) -> dict[str, Any]:
    fields = ("failures", "after", "renew_at", "ask_at")
    return {name: getattr(row, name) for name in fields} if row else {}


def change(session: Session, subject_id: uuid.UUID, **values: Any) -> None:
    """Write down how far a subject is."""
    statement = insert(AcmeSubject).values(id=subject_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[AcmeSubject.id], set_=values))


def show(session: Session, subject_id: uuid.UUID, status: str | None, reason: str | None) -> None:
    """What ``certs:auto`` says of a domain; written when it is something else, so its time is that of the change."""
    other = or_(Domain.acm_status.is_distinct_from(status), Domain.acm_status_reason.is_distinct_from(reason))
    _show(session, (Domain.id == subject_id, other), status, reason)


def _show(session: Session, which: Iterable[ColumnElement[bool]], status: str | None, reason: str | None) -> None:
    """Write it down of each of these domains, and tell the apps' webhooks of those whose state is another now."""
    conditions = [*which]
    for app_id in session.scalars(select(Domain.app_id).where(*conditions).distinct().order_by(Domain.app_id)).all():
        lock_app(session, app_id)  # before the webhooks, as whoever removes a domain does
    rows = session.scalars(select(Domain).where(*conditions).order_by(Domain.id).with_for_update(of=Domain))
    for row in rows.unique().all():
        previous = {"acm_status": row.acm_status, "acm_status_reason": row.acm_status_reason}
        row.acm_status, row.acm_status_reason = status, reason
        session.flush()
        session.refresh(row)
        if previous["acm_status"] != status:
            snapshot = partial(_snapshot, session, row)
            publish(session, row.app_id, "api:domain", webhooks.UPDATE, snapshot, previous)


def _snapshot(session: Session, row: Domain) -> snapshots.Snapshot:
    return snapshots.domain(session.get_one(App, row.app_id), row, routed_until(session))


def explain(session: Session, subject_id: uuid.UUID, reason: str) -> None:
    """Why a domain's state, whatever it is, stays what it is."""
    other = Domain.acm_status_reason.is_distinct_from(reason)
    session.execute(update(Domain).where(Domain.id == subject_id, other).values(acm_status_reason=reason))


def order(session: Session, subject_id: uuid.UUID) -> tuple[str, bytes] | None:
    """URL and encrypted key of the order that was begun, if there is one."""
    row = session.get(AcmeSubject, subject_id)
    if row is None or row.order_uri is None or row.order_key is None:
        return None
    return row.order_uri, row.order_key


def challenge(session: Session, token: str, key_authorization: str) -> None:
    """Have the routers answer the authority."""
    statement = insert(AcmeChallenge).values(token=token, key_authorization=key_authorization, created_at=func.now())
    session.execute(statement.on_conflict_do_nothing(index_elements=["token"]))
    notify(session, ROUTES, "acme")


def answered(session: Session, tokens: Iterable[str]) -> None:
    """The authority has asked: routers need not answer any more."""
    session.execute(delete(AcmeChallenge).where(AcmeChallenge.token.in_(list(tokens))))
    notify(session, ROUTES, "acme")


def install(
    session: Session, configuration: Configuration, subject: Subject, certificate: Certificate, key: str
) -> bool:
    """Serve a certificate from now on; False when nobody wants it any more: the domain is gone, ACM was turned off."""
    if subject.id == APPS:
        platform_certificates.put(session, configuration, platform_certificates.APPS, certificate.chain, key)
        return True
    domain = session.get(Domain, subject.id)
    app = lock_app(session, domain.app_id) if domain else None
    if domain is None or app is None or not app.acm:
        return False
    session.refresh(domain)
    endpoint = domain.sni_endpoint if domain.sni_endpoint and domain.sni_endpoint.acm else None
    action = webhooks.UPDATE if endpoint else webhooks.CREATE
    endpoint = endpoint or SniEndpoint(id=uuid.uuid4(), app_id=app.id, name=certificate_names.generate(), acm=True)
    fill(configuration, endpoint, certificate, key)
    session.add(endpoint)
    session.flush()
    domain.sni_endpoint = endpoint
    session.flush()
    show(session, domain.id, acm.ISSUED, None)
    session.refresh(endpoint)
    publish(session, app.id, "api:sni-endpoint", action, lambda: snapshots.sni_endpoint(app, endpoint))
    notify(session, ROUTES, app.id)
    return True


def again(session: Session, app_id: uuid.UUID) -> None:
    """Try at once what could not be had."""
    failed = (Domain.app_id == app_id, Domain.acm_status.in_((acm.FAILING, acm.FAILED)))
    subjects_of = select(Domain.id).where(*failed)
    session.execute(update(AcmeSubject).where(AcmeSubject.id.in_(subjects_of)).values(failures=0, after=None))
    _show(session, failed, None, None)


def stop(session: Session, app_id: uuid.UUID) -> None:
    """Get no certificates for the app any more, and remove those that were got."""
    mine = select(Domain.id).where(Domain.app_id == app_id)
    session.execute(delete(AcmeSubject).where(AcmeSubject.id.in_(mine)))
    session.execute(delete(SniEndpoint).where(SniEndpoint.app_id == app_id, SniEndpoint.acm))
    _show(session, (Domain.app_id == app_id, Domain.acm_status.is_not(None)), None, None)


def tidy(session: Session) -> None:
    """Forget what nobody asks for any more: domains that are gone, challenges that were left behind by a kill."""
    gone = AcmeSubject.id.not_in(select(Domain.id)) & (AcmeSubject.id != APPS)
    session.execute(delete(AcmeSubject).where(gone))
    session.execute(delete(AcmeChallenge).where(AcmeChallenge.created_at < func.now() - _FORGOTTEN))
    unused = SniEndpoint.id.not_in(select(Domain.sni_endpoint_id).where(Domain.sni_endpoint_id.is_not(None)))
    session.execute(delete(SniEndpoint).where(SniEndpoint.acm, unused))
