"""SNI endpoints: users' certificates with their keys. A key goes in and never comes out."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject
from dynoform.api.services import Use
from dynoform.domain import acm, certificate_names, certificates, webhooks
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import snapshots
from dynoform.store.apps import parse_id
from dynoform.store.session import ROUTES, notify
from dynoform.store.sni_endpoints import authorities, fill
from dynoform.store.tables import App, SniEndpoint
from dynoform.store.webhooks import publish

router = APIRouter(tags=["sni endpoints"])
MAXIMUM_PER_APP = 100
_ENTITY = "api:sni-endpoint"
_CHANGEABLE: tuple[Literal["certificate_chain", "ssl_cert"], ...] = ("certificate_chain", "ssl_cert")
_FIELDS: ranges.Fields = {"id": SniEndpoint.id, "name": SniEndpoint.name}

Pem = Annotated[str, Field(max_length=certificates.MAXIMUM_BYTES)]

SslCertObject = TypedDict(
    "SslCertObject",
    {
        "acm": bool,
        "ca_signed?": bool,
        "cert_domains": list[str],
        "expires_at": str,
        "id": str,
        "issuer": str,
        "self_signed?": bool,
        "starts_at": str,
        "subject": str,
    },
)


class SniEndpointObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#sni-endpoint."""

    app: NamedObject
    certificate_chain: str
    cname: str | None
    created_at: str
    display_name: str | None
    domains: list[str]
    id: str
    name: str
    ssl_cert: SslCertObject
    updated_at: str


class Certificate(BaseModel):
    """Body of create and update."""

    model_config = ConfigDict(strict=True)
    certificate_chain: Pem
    private_key: Pem


@router.get("/apps/{app}/sni-endpoints", response_model=list[SniEndpointObject])
def sni_endpoint_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's certificates."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        query = select(SniEndpoint).where(SniEndpoint.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda endpoint: snapshots.sni_endpoint(found, endpoint))


@router.post("/apps/{app}/sni-endpoints", status_code=201, response_model=SniEndpointObject)
def sni_endpoint_create(app: str, body: Certificate, services: Use, caller: Caller) -> JSONResponse:
    """A new certificate for the app; domains are told to use it one by one."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        certificate = _read(body)
        mine = select(func.count()).select_from(SniEndpoint).where(SniEndpoint.app_id == found.id, ~SniEndpoint.acm)
        if (session.scalar(mine) or 0) >= MAXIMUM_PER_APP:
            raise InvalidInputError(f"{found.name} has {MAXIMUM_PER_APP} certificates. Remove one first")
        endpoint = SniEndpoint(id=uuid.uuid4(), app_id=found.id, name=certificate_names.generate())
        fill(services.configuration, endpoint, certificate, body.private_key)
        session.add(endpoint)
        session.flush()
        session.refresh(endpoint)
        made = snapshots.sni_endpoint(found, endpoint)
        publish(session, found.id, _ENTITY, webhooks.CREATE, {**made}, actor=caller)
        return JSONResponse(made, 201)


@router.get("/apps/{app}/sni-endpoints/{endpoint}", response_model=SniEndpointObject)
def sni_endpoint_info(app: str, endpoint: str, services: Use, caller: Caller) -> JSONResponse:
    """One certificate, by its endpoint's id or name."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        return JSONResponse(snapshots.sni_endpoint(found, find_endpoint(session, found, endpoint)))


@router.patch("/apps/{app}/sni-endpoints/{endpoint}", response_model=SniEndpointObject)
def sni_endpoint_update(app: str, endpoint: str, body: Certificate, services: Use, caller: Caller) -> JSONResponse:
    """Another certificate with its key, for the same domains."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        certificate = _read(body)
        row = find_endpoint(session, found, endpoint)
        if row.acm:
            raise acm.managed(row.name)
        before = snapshots.sni_endpoint(found, row)
        fill(services.configuration, row, certificate, body.private_key)
        session.flush()
        notify(session, ROUTES, found.id)
        changed = snapshots.sni_endpoint(found, row)
        previous: dict[str, Any] = {name: before[name] for name in _CHANGEABLE if before[name] != changed[name]}
        publish(session, found.id, _ENTITY, webhooks.UPDATE, {**changed}, previous, caller)
        return JSONResponse(changed)


@router.delete("/apps/{app}/sni-endpoints/{endpoint}", response_model=SniEndpointObject)
def sni_endpoint_delete(app: str, endpoint: str, services: Use, caller: Caller) -> JSONResponse:
    """Remove a certificate; domains that used it have none of their own any more."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        row = find_endpoint(session, found, endpoint)
        if row.acm:
            raise acm.managed(row.name)
        last = snapshots.sni_endpoint(found, row)
        publish(session, found.id, _ENTITY, webhooks.DESTROY, {**last}, actor=caller)
        session.delete(row)
        notify(session, ROUTES, found.id)
    return JSONResponse(last)


def find_endpoint(session: Session, app: App, reference: str) -> SniEndpoint:
    """The app's endpoint with this id or name."""
    identifier = parse_id(reference)
    condition = SniEndpoint.id == identifier if identifier else SniEndpoint.name == reference.replace("\0", "")
    endpoint = session.scalars(select(SniEndpoint).where(SniEndpoint.app_id == app.id, condition)).one_or_none()
    if endpoint is None:
        raise not_found("sni endpoint", "sni_endpoint")
    return endpoint


def _read(body: Certificate) -> certificates.Certificate:
    return certificates.read(body.certificate_chain, body.private_key, datetime.now(UTC), authorities())
