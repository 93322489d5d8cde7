"""Add-on services and their plans: what add-ons there can be. Data, registered by the operator.

``PUT /dynoform/addon-services/{name}`` is an extension of ours: it takes the manifest of Heroku's add-on partners
(https://devcenter.heroku.com/articles/add-on-manifest) with the plans, which Heroku keeps in its partner portal.
"""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.objects import NamedObject, fixed, shown
from dynoform.api.services import Services, Use
from dynoform.domain import addons, own_services
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store import addon_services as store
from dynoform.store.tables import Account, AddonService, Plan

router = APIRouter(tags=["add-on services"])
_FIELDS: ranges.Fields = {"id": AddonService.id, "name": AddonService.name}
_PLAN_FIELDS: ranges.Fields = {"id": Plan.id}
_DRAIN = "syslog_drain"

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,48}[a-z0-9]$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,48}[A-Z0-9]$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class AddonServiceObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#add-on-service."""

    cli_plugin_name: str | None
    created_at: str
    human_name: str
    id: str
    name: str
    state: str
    supported_generations: list[NamedObject]
    supports_multiple_installations: bool
    supports_sharing: bool
    updated_at: str


class PriceObject(TypedDict):
    """What a plan costs."""

    cents: int
    contract: bool
    metered: bool
    unit: str


class PlanObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#plan."""

    addon_service: NamedObject
    compliance: list[str] | None
    created_at: str
    default: bool
    description: str
    human_name: str
    id: str
    installable_inside_private_network: bool
    installable_outside_private_network: bool
    name: str
    price: PriceObject
    space_default: bool
    state: str
    updated_at: str
    visible: bool


class Production(BaseModel):
    """Where a provider takes requests."""

    model_config = ConfigDict(strict=True)
    base_url: Annotated[str, Field(max_length=500)]

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            host = parts.hostname or ""
            _ = parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        plain = parts.scheme == "http" and _is_loopback(host)
        if not host or not value.isascii() or not (parts.scheme == "https" or plain) or parts.username or parts.query:
            raise ValueError("must be an https URL without a user or a query")
        return value


class ManifestApi(BaseModel):
    """The manifest's part on provisioning."""

    model_config = ConfigDict(strict=True)
    config_vars: Annotated[list[Variable], Field(max_length=50)]
    config_vars_prefix: Prefix | None = None
    password: Annotated[str, Field(min_length=8, max_length=200)]
    requires: Annotated[list[Text], Field(max_length=20)] = []
    production: Production
    version: Literal["3"] = "3"


class Price(BaseModel):
    """What a plan costs; shown, and charged by nobody."""

    model_config = ConfigDict(strict=True)
    cents: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    unit: Literal["month"] = "month"


class ManifestPlan(BaseModel):
    """A plan, by its short name."""

    model_config = ConfigDict(strict=True)
    name: Slug
    human_name: Text | None = None
    description: Annotated[str, Field(max_length=500)] = ""
    price: Price = Price()
    default: bool = False


class Manifest(BaseModel):
    """Body of register. The first plan is the default unless another says so."""

    model_config = ConfigDict(strict=True)
    id: Slug
    name: Text | None = None
    api: ManifestApi
    cli_plugin_name: Text | None = None
    supports_multiple_installations: bool = True
    supports_sharing: bool = True
    plans: Annotated[list[ManifestPlan], Field(min_length=1, max_length=100)]

    @property
    def prefix(self) -> str:
        """What config vars start with: by default the service's name."""
        return self.api.config_vars_prefix or self.id.upper().replace("-", "_")


@router.get("/addon-services", response_model=list[AddonServiceObject])
def addon_service_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """All services."""
    with services.store.transaction() as session:
        return ranges.page(session, select(AddonService), wanted, _FIELDS, show)


@router.get("/addon-services/{service}", response_model=AddonServiceObject)
def addon_service_info(service: str, services: Use, caller: Caller) -> JSONResponse:
    """One service, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(find_service(session, service)))


@router.get("/addon-services/{service}/plans", response_model=list[PlanObject])
def plan_list(service: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """A service's plans."""
    with services.store.transaction() as session:
        query = store.plans().where(Plan.service_id == find_service(session, service).id)
        return ranges.page(session, query, wanted, _PLAN_FIELDS, show_plan)


@router.get("/addon-services/{service}/plans/{plan}", response_model=PlanObject)
def service_plan_info(service: str, plan: str, services: Use, caller: Caller) -> JSONResponse:
    """One plan of a service, by id, short or full name."""
    with services.store.transaction() as session:
        found = find_service(session, service)
        row = store.find_plan(session, plan) or store.find_plan(session, f"{found.name}:{plan}")
        if row is None or row.service_id != found.id:
            raise not_found("plan")
        return JSONResponse(show_plan(row))


@router.get("/plans/{plan}", response_model=PlanObject)
def plan_info(plan: str, services: Use, caller: Caller) -> JSONResponse:
    """One plan, by id or full name (``service:plan``)."""
    with services.store.transaction() as session:
        return JSONResponse(show_plan(find_plan(session, plan)))


@router.put("/dynoform/addon-services/{name}", response_model=AddonServiceObject)
def addon_service_register(name: str, body: Manifest, services: Use, caller: Caller) -> JSONResponse:
    """Register a provider by its manifest, or bring it up to date; for the operator only."""
    _require_operator(services, caller)
    _check_not_own(name)
    if name != body.id:
        raise InvalidInputError(f"The manifest is for {body.id}: put it to /dynoform/addon-services/{body.id}")
    _check(body)
    with services.store.transaction() as session:
        store.check_replaceable(session, name)
        service, new = store.register(session, services.vault, name, _columns(body), {"password": body.api.password})
        store.set_plans(session, service, _plan_columns(body))
    return JSONResponse(show(service), 201 if new else 200)


@router.delete("/dynoform/addon-services/{name}", response_model=AddonServiceObject)
def addon_service_unregister(name: str, services: Use, caller: Caller) -> JSONResponse:
    """Forget a provider that has no add-ons any more; for the operator only."""
    _require_operator(services, caller)
    _check_not_own(name)
    with services.store.transaction() as session:
        service = find_service(session, name)
        if service.provider != addons.PARTNER:
            raise InvalidInputError(f"{name} is provided by the platform itself: it cannot be removed")
        store.unregister(session, service)
    return JSONResponse(show(service))


def find_service(session: Session, reference: str) -> AddonService:
    """The service with this id or name."""
    service = store.find_service(session, reference)
    if service is None:
        raise not_found("add-on service", "addon_service")
    return service


def find_plan(session: Session, reference: str) -> Plan:
    """The plan with this id or full name, or the default one of the service with this name."""
    plan = store.find_plan(session, reference)
    if plan is None:
        sought = f'either the add-on service or the add-on plan of "{reference[:60]}"'
        raise NotFoundError(f"Couldn't find {sought}.", resource="plan")
    return plan


def show(service: AddonService) -> AddonServiceObject:
    """The service's object."""
    return {
        "cli_plugin_name": service.cli_plugin_name,
        "created_at": shown(service.created_at),
        "human_name": service.human_name,
        "id": str(service.id),
        "name": service.name,
        "state": service.state,
        "supported_generations": [fixed("cedar")],
        "supports_multiple_installations": service.supports_multiple_installations,
        "supports_sharing": service.supports_sharing,
        "updated_at": shown(service.updated_at),
    }


def show_plan(plan: Plan) -> PlanObject:
    """The plan's object."""
    return {
        "addon_service": {"id": str(plan.service.id), "name": plan.service.name},
        "compliance": None,
        "created_at": shown(plan.created_at),
        "default": plan.default,
        "description": plan.description,
        "human_name": plan.human_name,
        "id": str(plan.id),
        "installable_inside_private_network": False,
        "installable_outside_private_network": True,
        "name": plan.full_name,
        "price": price(plan),
        "space_default": False,
        "state": plan.state,
        "updated_at": shown(plan.updated_at),
        "visible": True,
    }


def price(plan: Plan) -> PriceObject:
    """What the plan costs."""
    return {"cents": plan.price_cents, "contract": False, "metered": False, "unit": plan.price_unit}


def _check_not_own(name: str) -> None:
    if name in own_services.RESERVED:
        raise InvalidInputError(f"{name} is provided by the platform itself: no other provider can have this name")


def _check(manifest: Manifest) -> None:
    names = [plan.name for plan in manifest.plans]
    if len(set(names)) < len(names) or sum(plan.default for plan in manifest.plans) > 1:
        raise InvalidInputError("Plans must have different names, and at most one is the default")
    wrong = [name for name in manifest.api.config_vars if not name.startswith(f"{manifest.prefix}_")]
    if wrong:
        raise InvalidInputError(f"Config var {wrong[0]} must start with the prefix {manifest.prefix}_")


def _columns(manifest: Manifest) -> dict[str, object]:
    return {
        "human_name": manifest.name or manifest.id,
        "state": "ga",
        "cli_plugin_name": manifest.cli_plugin_name,
        "supports_multiple_installations": manifest.supports_multiple_installations,
        "supports_sharing": manifest.supports_sharing,
        "provider": addons.PARTNER,
        "prefix": manifest.prefix,
        "config_vars": list(manifest.api.config_vars),
        "drains_logs": _DRAIN in manifest.api.requires,
        "base_url": manifest.api.production.base_url,
    }


def _plan_columns(manifest: Manifest) -> list[dict[str, object]]:
    default = next((plan for plan in manifest.plans if plan.default), manifest.plans[0])
    return [
        {
            "name": plan.name,
            "human_name": plan.human_name or plan.name.replace("-", " ").title(),
            "description": plan.description or f"{manifest.name or manifest.id} {plan.name}",
            "price_cents": plan.price.cents,
            "price_unit": plan.price.unit,
            "default": plan is default,
        }
        for plan in manifest.plans
    ]


def _require_operator(services: Services, caller: Account) -> None:
    if caller.email != services.configuration.email:
        raise ApiError(403, "forbidden", "Only the operator of this platform can register add-on services.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
