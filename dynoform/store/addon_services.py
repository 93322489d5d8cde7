"""Add-on services and plans in the store: registering them, finding them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from dynoform.domain import addons, own_services
from dynoform.errors import ConflictError
from dynoform.store.apps import parse_id
from dynoform.store.secrets import Vault
from dynoform.store.tables import Addon, AddonService, Plan

_OFFERED = "ga"
_WITHDRAWN = "shutdown"


def register(
    session: Session, vault: Vault, name: str, values: Mapping[str, Any], secrets: Mapping[str, str]
) -> tuple[AddonService, bool]:
    """Make the service, or bring it up to date; the second value says whether it is new.

    ``values`` are columns of ``AddonService``; ``secrets`` are encrypted.
    """
    query = select(AddonService).where(AddonService.name == name).with_for_update()
    service = session.scalars(query).one_or_none()
    new = service is None
    if service is None:
        service = AddonService(id=uuid.uuid4(), name=name)
        session.add(service)
    for column, value in values.items():
        setattr(service, column, value)
    service.secrets = vault.encrypt(service.id, dict(secrets)) if secrets else None
    session.flush()
    return service, new


def register_own(session: Session, vault: Vault) -> None:
    """Have the platform's own services there, as this version of it knows them.

    What the operator has registered under such a name, a company's own databases for instance, stays what it is.
    """
    theirs = select(AddonService.name).where(AddonService.provider == addons.PARTNER)
    taken = set(session.scalars(theirs))
    for own in own_services.SERVICES:
        if own.name in taken:
            continue
        values = {
            "human_name": own.human_name,
            "provider": own.name,
            "prefix": own.prefix,
            "config_vars": list(own.config_vars),
            "supports_multiple_installations": own.supports_multiple_installations,
            "supports_sharing": own.supports_sharing,
        }
        service, _ = register(session, vault, own.name, values, {})
        set_plans(session, service, [_own_plan(plan, default=plan is own.plans[0]) for plan in own.plans])


def set_plans(session: Session, service: AddonService, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Offer these plans; others stay for the add-ons that have them, and no new one gets them.

    Each of ``wanted`` are columns of ``Plan``, ``name`` among them.
    """
    present = {plan.name: plan for plan in session.scalars(select(Plan).where(Plan.service_id == service.id))}
    for values in wanted:
        plan = present.pop(values["name"], None) or Plan(id=uuid.uuid4(), service=service, service_id=service.id)
        for column, value in {**values, "state": _OFFERED}.items():
            setattr(plan, column, value)
        session.add(plan)
    for plan in present.values():
        plan.state, plan.default = _WITHDRAWN, False
    session.flush()


def unregister(session: Session, service: AddonService) -> None:
    """Remove a service with its plans. Raises ``ConflictError`` while there are add-ons of it."""
    mine = select(Plan.id).where(Plan.service_id == service.id)
    session.execute(delete(Addon).where(Addon.plan_id.in_(mine), Addon.state == addons.DEPROVISIONED))
    if session.scalars(select(Addon.id).where(Addon.plan_id.in_(mine)).limit(1)).first():
        raise ConflictError(f"{service.name} has add-ons", "", "destroy them first")
    session.delete(service)
    session.flush()


def check_replaceable(session: Session, name: str) -> None:
    """Raise ``ConflictError`` when the platform itself provides this service and has add-ons of it."""
    mine = select(Plan.id).join(AddonService).where(AddonService.name == name, AddonService.provider != addons.PARTNER)
    alive = Addon.state != addons.DEPROVISIONED
    if session.scalars(select(Addon.id).where(Addon.plan_id.in_(mine), alive).limit(1)).first():
        raise ConflictError(f"{name} has add-ons", "the platform itself provides them", "destroy them first")


def find_service(session: Session, reference: str) -> AddonService | None:
    """The service with this id or name."""
    identifier = parse_id(reference)
    condition = AddonService.id == identifier if identifier else AddonService.name == reference.replace("\0", "")
    return session.scalars(select(AddonService).where(condition)).one_or_none()


def find_plan(session: Session, reference: str) -> Plan | None:
    """The plan with this id or full name; a service's name alone stands for its default plan."""
    identifier = parse_id(reference)
    if identifier:
        return session.scalars(plans().where(Plan.id == identifier)).one_or_none()
    service, name = addons.plan_parts(reference.replace("\0", ""))
    condition = Plan.name == name if name else Plan.default
    return session.scalars(plans().where(AddonService.name == service, condition)).first()


def plans() -> Select[Plan]:
    """Query for plans, with their services."""
    return select(Plan).join(AddonService, AddonService.id == Plan.service_id)


def _own_plan(plan: own_services.OwnPlan, *, default: bool) -> dict[str, object]:
    return {
        "name": plan.name,
        "human_name": plan.human_name,
        "description": plan.description,
        "price_cents": plan.price_cents,
        "price_unit": "month",
        "default": default,
    }
