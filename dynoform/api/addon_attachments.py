"""Add-on attachments: an add-on under a name in an app, and under other names in other apps."""

import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import apps, ranges
from dynoform.api.addons import (
    Name,
    Named,
    Reference,
    announce,
    confirmation,
    find_addon,
    is_confirmed,
    split_reference,
)
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Services, Use
from dynoform.domain import addons
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import addons as store
from dynoform.store.addons import Made, OverwriteError
from dynoform.store.apps import parse_id
from dynoform.store.releases import lock_app
from dynoform.store.tables import Account, Addon, AddonAttachment, AddonService, App, Plan

router = APIRouter(tags=["add-on attachments"])
_FIELDS: ranges.Fields = {"id": AddonAttachment.id}
_URL = "_URL"


class AttachedAddonObject(TypedDict):
    """The add-on, with what clients ask to have expanded."""

    app: NamedObject
    id: str
    name: str
    plan: NamedObject


class AddonAttachmentObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#add-on-attachment."""

    addon: AttachedAddonObject
    app: NamedObject
    config_vars: list[str]
    created_at: str
    id: str
    log_input_url: str | None
    name: str
    namespace: str | None
    updated_at: str
    web_url: str | None


class NewAttachment(BaseModel):
    """Body of create."""

    model_config = ConfigDict(strict=True)
    addon: Reference | Named
    app: Reference | Named
    name: Name | None = None
    namespace: Name | None = None
    confirm: Reference | None = None


class Resolution(BaseModel):
    """Body of resolve: what a user typed, within an app or anywhere."""

    model_config = ConfigDict(strict=True)
    addon_attachment: Annotated[str, Field(max_length=300)]
    app: Reference | None = None
    addon_service: Reference | None = None


@router.get("/addon-attachments", response_model=list[AddonAttachmentObject])
def addon_attachment_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """All attachments to apps that the caller may see."""
    with services.store.transaction() as session:
        return ranges.page(session, store.attachments_visible_to(caller), wanted, _FIELDS, show)


@router.get("/addon-attachments/{attachment}", response_model=AddonAttachmentObject)
def addon_attachment_info(attachment: str, services: Use, caller: Caller) -> JSONResponse:
    """One attachment, by id."""
    with services.store.transaction() as session:
        return JSONResponse(show(_find(session, store.attachments_visible_to(caller), attachment, by_name=False)))


@router.get("/apps/{app}/addon-attachments", response_model=list[AddonAttachmentObject])
def app_addon_attachment_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The attachments to an app."""
    with services.store.transaction() as session:
        return ranges.page(session, _of_app(apps.find(session, caller, app)), wanted, _FIELDS, show)


@router.get("/apps/{app}/addon-attachments/{attachment}", response_model=AddonAttachmentObject)
def app_addon_attachment_info(app: str, attachment: str, services: Use, caller: Caller) -> JSONResponse:
    """One attachment to an app, by id or name."""
    with services.store.transaction() as session:
        return JSONResponse(show(_find(session, _of_app(apps.find(session, caller, app)), attachment, by_name=True)))


@router.get("/addons/{addon}/addon-attachments", response_model=list[AddonAttachmentObject])
def addon_addon_attachment_list(addon: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The attachments of an add-on to apps that the caller may see."""
    with services.store.transaction() as session:
        found = find_addon(session, caller, addon)
        query = store.attachments_visible_to(caller).where(AddonAttachment.addon_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.post("/addon-attachments", status_code=201, response_model=AddonAttachmentObject)
def addon_attachment_create(body: NewAttachment, services: Use, caller: Caller) -> JSONResponse:
    """Attach an add-on to an app, under a name that may replace another one if that is confirmed."""
    with services.store.transaction() as session:
        app = apps.find(session, caller, _text(body.app), Permission.DEPLOY)
        addon = store.lock(session, find_addon(session, caller, _text(body.addon)).id, app.id)
        apps.find(session, caller, str(addon.app_id), Permission.DEPLOY)
        attachment, made = _attach(session, services, addon, app, body, caller)
    announce(services, made)
    return JSONResponse(show(attachment), 201)


@router.delete("/addon-attachments/{attachment}", response_model=AddonAttachmentObject)
def addon_attachment_delete(attachment: str, services: Use, caller: Caller) -> JSONResponse:
    """Detach an add-on from an app: its config vars go, the add-on stays."""
    with services.store.transaction() as session:
        query = store.attachments_visible_to(caller)
        found = _find(session, query, attachment, by_name=False)
        apps.find(session, caller, str(found.app_id), Permission.DEPLOY)
        store.lock(session, found.addon_id)
        found = _find(session, query.execution_options(populate_existing=True), attachment, by_name=False)
        store.check_detachable(found)
        last = show(found)
        made = store.detach(session, services.vault, found, caller.id)
    announce(services, [made])
    return JSONResponse(last)


@router.post("/actions/addon-attachments/resolve", response_model=list[AddonAttachmentObject])
def addon_attachment_resolve(body: Resolution, services: Use, caller: Caller) -> JSONResponse:
    """The attachments that a name may mean: attachment, with ``_URL`` or without, else add-on."""
    with services.store.transaction() as session:
        app, name = split_reference(session, caller, body.app, body.addon_attachment)
        query = _of_app(app) if app else store.attachments_visible_to(caller)
        if body.addon_service:
            query = query.where(AddonAttachment.addon_id.in_(_of_service(body.addon_service)))
        by_name = session.scalars(query.where(_named(name)).limit(ranges.LIMIT)).unique().all()
        found = by_name or session.scalars(query.where(_of_addon(name)).limit(ranges.LIMIT)).unique().all()
        if not found:
            raise not_found("add on attachment", "add_on attachment")
        return JSONResponse([show(each) for each in found])


def show(attachment: AddonAttachment) -> AddonAttachmentObject:
    """The attachment's object, with the add-on's plan and config vars expanded."""
    addon = attachment.addon
    return {
        "addon": {
            "app": app_reference(addon.app or attachment.app),
            "id": str(addon.id),
            "name": addon.name,
            "plan": {"id": str(addon.plan.id), "name": addon.plan.full_name},
        },
        "app": app_reference(attachment.app),
        "config_vars": list(attachment.config_vars),
        "created_at": shown(attachment.created_at),
        "id": str(attachment.id),
        "log_input_url": None,
        "name": attachment.name,
        "namespace": attachment.namespace,
        "updated_at": shown(attachment.updated_at),
        "web_url": None,
    }


def _attach(
    session: Session, services: Services, addon: Addon, app: App, body: NewAttachment, caller: Account
) -> tuple[AddonAttachment, list[Made]]:
    if addon.state not in (addons.PROVISIONING, addons.PROVISIONED):
        raise not_found("add on", "add_on")
    if not addon.plan.service.supports_sharing and app.id != addon.app_id:
        raise InvalidInputError(f"{addon.plan.service.name} add-ons cannot be shared between apps")
    namespace = addons.check_namespace(body.namespace) if body.namespace else None
    if namespace and not store.provider_config(session, services.vault, addon, namespace):
        raise InvalidInputError(f"{addon.name} has no {namespace}")
    if lock_app(session, app.id) is None:
        raise not_found("app")
    confirmed = is_confirmed(app, body.confirm)
    try:
        attachment = store.add_attachment(
            session, services.vault, app, addon, body.name, caller, namespace=namespace, confirmed=confirmed
        )
    except OverwriteError as error:
        raise confirmation(error) from None
    session.refresh(attachment)
    ready = addon.state == addons.PROVISIONED
    return attachment, [store.bring(session, services.vault, attachment, caller.id)] if ready else []


def _text(given: str | Named) -> str:
    return given.reference if isinstance(given, Named) else given


def _of_app(app: App) -> Select[AddonAttachment]:
    return select(AddonAttachment).where(AddonAttachment.app_id == app.id)


def _find(session: Session, query: Select[AddonAttachment], reference: str, *, by_name: bool) -> AddonAttachment:
    identifier = parse_id(reference)
    if identifier is None and not by_name:
        raise not_found("add on attachment", "add_on attachment")
    named = AddonAttachment.name == reference.replace("\0", "")
    condition = AddonAttachment.id == identifier if identifier else named
    attachment = session.scalars(query.where(condition)).unique().one_or_none()
    if attachment is None:
        raise not_found("add on attachment", "add_on attachment")
    return attachment


def _named(reference: str) -> ColumnElement[bool]:
    identifier = parse_id(reference)
    if identifier:
        return AddonAttachment.id == identifier
    name = reference.replace("\0", "")
    return AddonAttachment.name.in_((name, name.removesuffix(_URL)))


def _of_addon(reference: str) -> ColumnElement[bool]:
    identifier = parse_id(reference)
    condition = Addon.id == identifier if identifier else Addon.name == reference.replace("\0", "")
    return AddonAttachment.addon_id.in_(select(Addon.id).where(condition))


def _of_service(reference: str) -> Select[uuid.UUID]:
    name = reference.replace("\0", "")
    query = select(Addon.id).join(Plan, Plan.id == Addon.plan_id).join(AddonService, AddonService.id == Plan.service_id)
    return query.where(AddonService.name == name)
