"""Add-ons. Their providers work in the background; a call waits for an answer that comes soon."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import apps, database_sources, ranges
from dynoform.api.addon_services import PriceObject, find_plan, price
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.objects import NamedObject, shown
from dynoform.api.services import Services, Use
from dynoform.domain import addons, data_services
from dynoform.domain.permissions import Permission
from dynoform.errors import ConflictError, InvalidInputError
from dynoform.store import addons as store
from dynoform.store.addons import Made, OverwriteError
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account, Addon, AddonAttachment, AddonChange, AddonService, App, Plan

router = APIRouter(tags=["add-ons"])
_FIELDS: ranges.Fields = {"id": Addon.id, "name": Addon.name}
_CONFIG_FIELDS = ("name",)
_WAIT_SECONDS = 20.0
_LOOK_SECONDS = 1.0
_ALIVE = Addon.state != addons.DEPROVISIONED

Reference = Annotated[str, Field(max_length=300)]
Name = Annotated[str, Field(max_length=256)]


class BillingEntityObject(TypedDict):
    """Who pays."""

    id: str
    name: str
    type: str


class FullPlanObject(NamedObject):
    """A plan within an add-on, with what clients ask to have expanded."""

    price: PriceObject


class AddonObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#add-on."""

    actions: list[dict[str, str]]
    addon_service: NamedObject
    app: NamedObject
    billed_price: PriceObject
    billing_entity: BillingEntityObject
    config_vars: list[str]
    created_at: str
    id: str
    name: str
    plan: FullPlanObject
    provider_id: str | None
    provision_message: str | None
    state: str
    updated_at: str
    web_url: str | None


class ConfigVarObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#add-on-config."""

    name: str
    value: str | None


class Named(BaseModel):
    """Something by name or id."""

    model_config = ConfigDict(strict=True)
    name: Reference | None = None
    id: Reference | None = None

    @property
    def reference(self) -> str:
        """Whichever is given."""
        return self.id or self.name or ""


class NewAttachmentName(BaseModel):
    """How the add-on is to be attached."""

    model_config = ConfigDict(strict=True)
    name: Name | None = None


class NewAddon(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    plan: Reference | Named
    name: Name | None = None
    attachment: NewAttachmentName | Name | None = None
    config: Annotated[dict[Name, Annotated[str, Field(max_length=4000)] | bool | int | None], Field(max_length=50)] = {}
    confirm: Reference | None = None


class AddonChangeBody(BaseModel):
    """Body of update: another plan, another name, or both."""

    model_config = ConfigDict(strict=True)
    plan: Reference | Named | None = None
    name: Name | None = None


class Destruction(BaseModel):
    """Body of delete: ``force`` destroys what other apps use as well."""

    model_config = ConfigDict(strict=True)
    force: bool = False


class Resolution(BaseModel):
    """Body of resolve: what a user typed, within an app or anywhere."""

    model_config = ConfigDict(strict=True)
    addon: Reference
    app: Reference | None = None
    addon_service: Reference | None = None


@router.get("/addons", response_model=list[AddonObject])
def addon_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """All add-ons of all apps that the caller may see."""
    with services.store.transaction() as session:
        return ranges.page(session, store.visible_to(caller).where(_ALIVE), wanted, _FIELDS, show)


@router.get("/addons/{addon}", response_model=AddonObject)
def addon_info(addon: str, services: Use, caller: Caller) -> JSONResponse:
    """One add-on, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(find_addon(session, caller, addon)))


@router.get("/apps/{app}/addons", response_model=list[AddonObject])
def app_addon_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The add-ons of an app, and those of other apps that are attached to it."""
    with services.store.transaction() as session:
        query = _in_app(store.visible_to(caller), apps.find(session, caller, app)).where(_ALIVE)
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.get("/apps/{app}/addons/{addon}", response_model=AddonObject)
def app_addon_info(app: str, addon: str, services: Use, caller: Caller) -> JSONResponse:
    """One add-on of an app, by id or name."""
    with services.store.transaction() as session:
        found = apps.find(session, caller, app)
        return JSONResponse(show(find_addon(session, caller, addon, found)))


@router.post("/apps/{app}/addons", status_code=201, response_model=AddonObject)
async def addon_create(app: str, body: NewAddon, services: Use, caller: Caller) -> JSONResponse:
    """A new add-on; ``provisioning`` when its provider needs longer than some seconds."""
    change_id, addon_id = await run_in_threadpool(_create, services, caller, app, body)
    await _finished(services, change_id)
    return await run_in_threadpool(_outcome, services, change_id, addon_id, 201)


@router.patch("/apps/{app}/addons/{addon}", response_model=AddonObject)
async def addon_update(app: str, addon: str, body: AddonChangeBody, services: Use, caller: Caller) -> JSONResponse:
    """Another name, another plan."""
    change_id, addon_id = await run_in_threadpool(_change, services, caller, app, addon, body)
    if change_id is not None:
        await _finished(services, change_id)
    return await run_in_threadpool(_outcome, services, change_id, addon_id, 200)


@router.delete("/apps/{app}/addons/{addon}", response_model=AddonObject)
async def addon_delete(
    app: str, addon: str, services: Use, caller: Caller, body: Destruction | None = None
) -> JSONResponse:
    """Destroy an add-on: its config vars go at once, and it itself as soon as its provider says so."""
    force = body.force if body else False
    change_id, last = await run_in_threadpool(_destroy, services, caller, app, addon, force)
    await _finished(services, change_id)
    gone = await run_in_threadpool(_status, services, change_id) is None
    return JSONResponse({**last, "state": addons.DEPROVISIONED if gone else last["state"]})


@router.post("/actions/addons/resolve", response_model=list[AddonObject])
def addon_resolve(body: Resolution, services: Use, caller: Caller) -> JSONResponse:
    """The add-ons that a name may mean: add-on or id, within an app also attachment or service."""
    with services.store.transaction() as session:
        app, name = split_reference(session, caller, body.app, body.addon)
        query = store.visible_to(caller).where(_ALIVE)
        if app is None:
            query = query.where(_called(name))
        else:
            attached = exists().where(
                AddonAttachment.addon_id == Addon.id, AddonAttachment.app_id == app.id, AddonAttachment.name == name
            )
            query = _in_app(query, app).where(or_(_called(name), attached, _of_service(name)))
        if body.addon_service:
            query = query.where(_of_service(body.addon_service))
        found = session.scalars(query.order_by(Addon.created_at).limit(ranges.LIMIT)).unique().all()
        if not found:
            raise not_found("add on", "add_on")
        return JSONResponse([show(each) for each in found])


@router.get("/addons/{addon}/config", response_model=list[ConfigVarObject])
def addon_config(addon: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """What the provider set, by the names of its manifest."""
    return ranges.cut(_config(services, caller, addon, None), wanted, _CONFIG_FIELDS)


@router.get("/addons/{addon}/config/{namespace}", response_model=list[ConfigVarObject])
def addon_namespace_config(
    addon: str, namespace: str, services: Use, caller: Caller, wanted: RangeHeader = None
) -> JSONResponse:
    """What the provider set for one credential; nothing for one that is not there."""
    return ranges.cut(_config(services, caller, addon, namespace), wanted, _CONFIG_FIELDS)


def find_addon(session: Session, caller: Account, reference: str, app: App | None = None) -> Addon:
    """The add-on with this id or name that the caller may see, in an app if one is given.

    One that could not be provisioned is still found, for those who wait for it, unless another has its name.
    """
    query = store.visible_to(caller).where(_called(reference))
    if app is not None:
        query = _in_app(query, app)
    query = query.order_by(_ALIVE.desc(), Addon.created_at.desc()).limit(1)
    addon = session.scalars(query).unique().one_or_none()
    if addon is None:
        raise not_found("add on", "add_on")
    return addon


def split_reference(session: Session, caller: Account, app: str | None, text: str) -> tuple[App | None, str]:
    """The app to look in, if any, and the name: ``app::NAME`` brings its own app."""
    before, colons, name = text.partition("::")
    if colons:
        app, text = before, name
    return (apps.find(session, caller, app) if app else None), text


def announce(services: Services, made: Sequence[Made]) -> None:
    """Tell apps' logs about releases."""
    for app, release in made:
        services.announce(app, [release])


def confirmation(error: OverwriteError) -> ApiError:
    """What makes the CLI ask the user for the app's name."""
    return ApiError(422, "confirmation_required", str(error))


def is_confirmed(app: App, confirm: str | None) -> bool:
    """Whether the user has typed the app's name."""
    return confirm is not None and confirm in (app.name, str(app.id))


def show(addon: Addon) -> AddonObject:
    """The add-on's object, with plan and service expanded."""
    assert addon.app is not None  # noqa: S101 - those without an app are visible to nobody
    app: NamedObject = {"id": str(addon.app.id), "name": addon.app.name}
    own = [name for each in addon.attachments if each.app_id == addon.app_id for name in each.config_vars]
    return {
        "actions": [],
        "addon_service": {"id": str(addon.plan.service.id), "name": addon.plan.service.name},
        "app": app,
        "billed_price": price(addon.plan),
        "billing_entity": {**app, "type": "app"},
        "config_vars": sorted(own),
        "created_at": shown(addon.created_at),
        "id": str(addon.id),
        "name": addon.name,
        "plan": {"id": str(addon.plan.id), "name": addon.plan.full_name, "price": price(addon.plan)},
        "provider_id": addon.provider_id,
        "provision_message": addon.message,
        "state": addon.state,
        "updated_at": shown(addon.updated_at),
        "web_url": None,
    }


def _create(services: Services, caller: Account, reference: str, body: NewAddon) -> tuple[uuid.UUID, uuid.UUID]:
    attachment = body.attachment.name if isinstance(body.attachment, NewAttachmentName) else body.attachment
    options = {name: _option(value) for name, value in body.config.items() if value is not None}
    addons.check_options(options)
    with services.store.transaction() as session:
        app = apps.find(session, caller, reference, Permission.OPERATE, lock=True)
        plan = _plan(session, body.plan)
        if plan.state == "shutdown":
            raise InvalidInputError(f"The plan {plan.full_name} is no longer available")
        confirmed = is_confirmed(app, body.confirm)
        if plan.service.provider == data_services.POSTGRES:
            options = database_sources.resolve(session, caller, app, options, plan.name)
        elif plan.service.provider == data_services.REDIS:
            options = database_sources.snapshot(session, services.vault, app, options)
        try:
            addon, change = store.create(
                session,
                services.vault,
                app,
                plan,
                caller,
                name=body.name,
                attachment=attachment,
                options=options,
                confirmed=confirmed,
            )
        except OverwriteError as error:
            raise confirmation(error) from None
        return change.id, addon.id


def _option(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _change(
    services: Services, caller: Account, app: str, reference: str, body: AddonChangeBody
) -> tuple[uuid.UUID | None, uuid.UUID]:
    with services.store.transaction() as session:
        addon = _owned(session, caller, app, reference)
        if body.name is not None and body.name != addon.name:
            store.rename(session, addon, body.name, caller)
        if body.plan is None:
            return None, addon.id
        plan = _plan(session, body.plan)
        if plan.service_id != addon.plan.service_id or plan.state == "shutdown":
            raise InvalidInputError(f"{addon.name} cannot be changed to the plan {plan.full_name}")
        if plan.id == addon.plan_id:
            return None, addon.id
        busy = select(AddonChange.id).where(
            AddonChange.addon_id == addon.id,
            AddonChange.status == addons.PENDING,
            AddonChange.action != data_services.PROTECT,
        )
        if addon.state != addons.PROVISIONED or session.scalars(busy.limit(1)).first():
            raise ConflictError(f"{addon.name} is being changed", "", "try again when that is done")
        return store.enqueue(session, addon, addons.CHANGE, caller.id, plan.id).id, addon.id


def _destroy(
    services: Services, caller: Account, app: str, reference: str, force: bool
) -> tuple[uuid.UUID, AddonObject]:
    with services.store.transaction() as session:
        addon = _owned(session, caller, app, reference)
        others = sorted({each.app.name for each in addon.attachments if each.app_id != addon.app_id})
        if others and not force:
            raise InvalidInputError(
                f"{addon.name} is attached to other apps as well: {', '.join(others)}. Detach it there, or use --force"
            )
        change, made = store.remove(session, services.vault, addon, caller.id)
        last = show(addon)
    announce(services, made)
    return change.id, last


def _owned(session: Session, caller: Account, app: str, reference: str) -> Addon:
    """An app's own add-on, locked, for a caller who may change it."""
    found = apps.find(session, caller, app, Permission.OPERATE)
    addon = store.lock(session, find_addon(session, caller, reference, found).id)
    if addon.app_id != found.id or addon.state == addons.DEPROVISIONED:
        raise not_found("add on", "add_on")
    if addon.state == addons.DEPROVISIONING:
        raise ConflictError(f"{addon.name} is being destroyed")
    return addon


def _config(services: Services, caller: Account, reference: str, namespace: str | None) -> list[ConfigVarObject]:
    with services.store.transaction() as session:
        addon = find_addon(session, caller, reference)
        apps.find(session, caller, str(addon.app_id), Permission.DEPLOY)
        config = store.provider_config(session, services.vault, addon, namespace)
    return [{"name": name, "value": value} for name, value in sorted(config.items())]


async def _finished(services: Services, change_id: uuid.UUID) -> None:
    """Wait until the provider has answered, for a while."""
    deadline = time.monotonic() + _WAIT_SECONDS
    with services.wakers.subscribe(change_id) as wake:
        while time.monotonic() < deadline:
            wake.clear()
            if await run_in_threadpool(_status, services, change_id) != addons.PENDING:
                return
            try:
                await asyncio.wait_for(wake.wait(), _LOOK_SECONDS)
            except TimeoutError:
                continue


def _status(services: Services, change_id: uuid.UUID) -> str | None:
    """How a change stands; None when it is gone with its add-on."""
    with services.store.transaction() as session:
        return session.scalar(select(AddonChange.status).where(AddonChange.id == change_id))


def _outcome(services: Services, change_id: uuid.UUID | None, addon_id: uuid.UUID, status: int) -> JSONResponse:
    with services.store.transaction() as session:
        change = session.get(AddonChange, change_id) if change_id else None
        if change is not None and change.status == addons.FAILED:
            raise InvalidInputError(change.failure or "The add-on's provider refused")
        addon = session.get(Addon, addon_id)
        if addon is None or addon.app is None:
            raise not_found("add on", "add_on")
        return JSONResponse(show(addon), status)


def _plan(session: Session, given: str | Named) -> Plan:
    return find_plan(session, given.reference if isinstance(given, Named) else given)


def _called(reference: str) -> ColumnElement[bool]:
    identifier = parse_id(reference)
    return Addon.id == identifier if identifier else Addon.name == reference.replace("\0", "")


def _of_service(reference: str) -> ColumnElement[bool]:
    name = reference.replace("\0", "")
    plans = select(Plan.id).join(AddonService, AddonService.id == Plan.service_id).where(AddonService.name == name)
    return Addon.plan_id.in_(plans)


def _in_app(query: Select[Addon], app: App) -> Select[Addon]:
    attached = exists().where(AddonAttachment.addon_id == Addon.id, AddonAttachment.app_id == app.id)
    return query.where(or_(Addon.app_id == app.id, attached))
