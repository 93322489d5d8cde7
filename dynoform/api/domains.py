"""Domains: the app's own name under the platform's, and the names that users bring."""

import uuid
from datetime import datetime
from typing import Annotated, cast

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Services, Use
from dynoform.api.sni_endpoints import find_endpoint
from dynoform.domain import acm, webhooks
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import domains as store
from dynoform.store import snapshots
from dynoform.store.apps import parse_id
from dynoform.store.session import ROUTES, notify
from dynoform.store.tables import App, Domain, SniEndpoint
from dynoform.store.webhooks import publish

router = APIRouter(tags=["domains"])
_FIELDS = ("id",)
_ENTITY = "api:domain"
_IDS = uuid.UUID("52f2b2e2-6f0b-4a47-8e9d-0fe2a1f2f1b5")


class DomainObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#domain."""

    acm_status: str | None
    acm_status_reason: str | None
    app: NamedObject
    cname: str | None
    created_at: str
    hostname: str
    id: str
    kind: str
    sni_endpoint: NamedObject | None
    status: str
    updated_at: str


class NewDomain(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    hostname: Annotated[str, Field(max_length=300)]
    sni_endpoint: Annotated[str, Field(max_length=100)] | None = None


class DomainChange(BaseModel):
    """Body of update: the certificate to serve, null for none."""

    model_config = ConfigDict(strict=True)
    sni_endpoint: Annotated[str, Field(max_length=100)] | None


@router.get("/apps/{app}/domains", response_model=list[DomainObject])
def domain_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's domains, its own among them."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        routed = store.routed_until(session)
        custom = [show(found, domain, routed) for domain in store.of_app(session, found.id)]
    return ranges.cut([_own(services, found), *custom], wanted, _FIELDS)


@router.post("/apps/{app}/domains", status_code=201, response_model=DomainObject)
def domain_create(app: str, body: NewDomain, services: Use, caller: Caller) -> JSONResponse:
    """Give the app a host name; ``pending`` until all routers know it."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        endpoint = _endpoint(session, found, body.hostname, body.sni_endpoint)
        domain = store.add(session, found, body.hostname, services.configuration.domain)
        domain.sni_endpoint = endpoint
        session.flush()
        made = show(found, domain, store.routed_until(session))
        publish(session, found.id, _ENTITY, webhooks.CREATE, {**made}, actor=caller)
    services.say(found, f"Add {domain.hostname} domain by user {caller.email}")
    return JSONResponse(made, 201)


@router.get("/apps/{app}/domains/{domain}", response_model=DomainObject)
def domain_info(app: str, domain: str, services: Use, caller: Caller) -> JSONResponse:
    """One domain, by id or host name."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        own = _own(services, found)
        if domain in (own["id"], own["hostname"]):
            return JSONResponse(own)
        return JSONResponse(show(found, _find(session, found, domain), store.routed_until(session)))


@router.patch("/apps/{app}/domains/{domain}", response_model=DomainObject)
def domain_update(app: str, domain: str, body: DomainChange, services: Use, caller: Caller) -> JSONResponse:
    """Serve another certificate for the domain, or none of its own."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        row, routed = _find(session, found, domain), store.routed_until(session)
        previous = {"sni_endpoint": show(found, row, routed)["sni_endpoint"]}
        if found.acm:
            raise acm.managed(row.hostname)
        row.sni_endpoint = _endpoint(session, found, row.hostname, body.sni_endpoint)
        session.flush()
        notify(session, ROUTES, found.id)
        changed = show(found, row, routed)
        publish(session, found.id, _ENTITY, webhooks.UPDATE, {**changed}, previous, caller)
        return JSONResponse(changed)


@router.delete("/apps/{app}/domains/{domain}", response_model=DomainObject)
def domain_delete(app: str, domain: str, services: Use, caller: Caller) -> JSONResponse:
    """Take a host name from the app; its own stays."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        own = _own(services, found)
        if domain in (own["id"], own["hostname"]):
            raise InvalidInputError(f"{own['hostname']} is the app's own domain and cannot be removed")
        row = _find(session, found, domain)
        last = show(found, row, store.routed_until(session))
        publish(session, found.id, _ENTITY, webhooks.DESTROY, {**last}, actor=caller)
        session.delete(row)
        if row.sni_endpoint is not None and row.sni_endpoint.acm:
            session.delete(row.sni_endpoint)
        notify(session, ROUTES, found.id)
    services.say(found, f"Remove {row.hostname} domain by user {caller.email}")
    return JSONResponse(last)


def show(app: App, domain: Domain, routed: datetime | None) -> DomainObject:
    """A custom domain's object; ``routed`` is the moment whose routes are in force on all routers."""
    return cast(DomainObject, snapshots.domain(app, domain, routed))


def _own(services: Services, app: App) -> DomainObject:
    """The app's name under the platform's domain. No row: it follows from the app."""
    return {
        "acm_status": None,
        "acm_status_reason": None,
        "app": app_reference(app),
        "cname": None,
        "created_at": shown(app.created_at),
        "hostname": f"{app.name}.{services.configuration.domain}",
        "id": str(uuid.uuid5(_IDS, str(app.id))),
        "kind": "heroku",
        "sni_endpoint": None,
        "status": "succeeded",
        "updated_at": shown(app.updated_at),
    }


def _endpoint(session: Session, app: App, hostname: str, reference: str | None) -> SniEndpoint | None:
    """The certificate that a domain is to have: one of the user's own, unless the platform gets them."""
    if reference is None:
        return None
    if app.acm:
        raise acm.managed(hostname)
    return find_endpoint(session, app, reference)


def _find(session: Session, app: App, reference: str) -> Domain:
    identifier = parse_id(reference)
    named = Domain.hostname == reference.lower().removesuffix(".").replace("\0", "")
    query = select(Domain).where(Domain.app_id == app.id, Domain.id == identifier if identifier else named)
    domain = session.scalars(query).one_or_none()
    if domain is None:
        raise not_found("domain")
    return domain
