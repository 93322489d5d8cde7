"""Webhooks: who is told when something happens to an app."""

from collections.abc import Mapping
from typing import Annotated

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
from dynoform.api.objects import NamedObject, app_reference, shown
from dynoform.api.services import Services, Use
from dynoform.domain import webhooks
from dynoform.domain.permissions import Permission
from dynoform.domain.public_addresses import is_public
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.tables import App, Webhook

router = APIRouter(tags=["webhooks"])
_FIELDS: ranges.Fields = {"id": Webhook.id}
_SECRET = "Heroku-Webhook-Secret"  # noqa: S105 - a header's name


class WebhookObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app-webhook."""

    app: NamedObject
    created_at: str
    id: str
    include: list[str]
    level: str
    updated_at: str
    url: str


class WebhookChange(BaseModel):
    """Body of update. ``secret`` signs deliveries, ``authorization`` is their header of that name; null removes it."""

    model_config = ConfigDict(strict=True)
    include: Annotated[list[str] | None, Field(max_length=50)] = None
    level: str | None = None
    url: str | None = None
    secret: str | None = None
    authorization: str | None = None


class NewWebhook(WebhookChange):
    """Body of create."""

    include: Annotated[list[str], Field(max_length=50)]
    level: str
    url: str


@router.get("/apps/{app}/webhooks", response_model=list[WebhookObject])
def webhook_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The app's webhooks."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        query = select(Webhook).where(Webhook.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, lambda row: show(found, row))


@router.post("/apps/{app}/webhooks", status_code=201, response_model=WebhookObject)
def webhook_create(app: str, body: NewWebhook, services: Use, caller: Caller) -> JSONResponse:
    """Subscribe a URL. Without a secret one is made, and told in the answer's Heroku-Webhook-Secret, this once."""
    secret = webhooks.new_secret() if body.secret is None else body.secret
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        _check_number(session, found)
        row = Webhook(app_id=found.id, credentials=b"")
        _apply(services, row, body)
        session.add(row)
        session.flush()
        row.credentials = services.vault.encrypt(row.id, _checked(secret, body.authorization))
        session.flush()
    return JSONResponse(show(found, row), 201, {_SECRET: secret} if body.secret is None else None)


@router.get("/apps/{app}/webhooks/{webhook}", response_model=WebhookObject)
def webhook_info(app: str, webhook: str, services: Use, caller: Caller) -> JSONResponse:
    """One webhook, by id."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        return JSONResponse(show(found, _find(session, found, webhook)))


@router.patch("/apps/{app}/webhooks/{webhook}", response_model=WebhookObject)
def webhook_update(app: str, webhook: str, body: WebhookChange, services: Use, caller: Caller) -> JSONResponse:
    """Change a webhook; one that was turned off for failing is turned on again."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        row = _find(session, found, webhook)
        _apply(services, row, body)
        keys = services.vault.decrypt(row.id, row.credentials)
        if body.secret is not None:
            keys["secret"] = body.secret
        authorization = keys.get("authorization")
        if "authorization" in body.model_fields_set:
            authorization = body.authorization
        row.credentials = services.vault.encrypt(row.id, _checked(keys["secret"], authorization))
        row.deactivated_at, row.failing_since, row.failures = None, None, 0
        session.flush()
        return JSONResponse(show(found, row))


@router.delete("/apps/{app}/webhooks/{webhook}", response_model=WebhookObject)
def webhook_delete(app: str, webhook: str, services: Use, caller: Caller) -> JSONResponse:
    """Remove a webhook, with what was still to be delivered to it."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        row = _find(session, found, webhook)
        session.delete(row)
        return JSONResponse(show(found, row))


def show(app: App, row: Webhook) -> WebhookObject:
    """The webhook's object."""
    return {
        "app": app_reference(app),
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "include": row.include,
        "level": row.level,
        "updated_at": shown(row.updated_at),
        "url": row.url,
    }


def _find(session: Session, app: App, reference: str) -> Webhook:
    identifier = parse_id(reference)
    row = session.get(Webhook, identifier) if identifier else None
    if row is None or row.app_id != app.id:
        raise not_found("webhook")
    return row


def _apply(services: Services, row: Webhook, body: WebhookChange) -> None:
    if body.include is not None:
        row.include = webhooks.check_include(body.include)
    if body.level is not None:
        row.level = webhooks.check_level(body.level)
    if body.url is not None:
        row.url = webhooks.check_url(body.url)
        _check_address(services, row.url)


def _check_address(services: Services, url: str) -> None:
    """Refuse at once what would never be delivered to. Names are looked up for each delivery."""
    address, settings = webhooks.literal_address(url), services.configuration
    if address and not settings.webhook_private and not is_public(address, settings.own_addresses):
        raise InvalidInputError(f"Url leads to the private address {address}. Use one on the public internet.")


def _check_number(session: Session, app: App) -> None:
    present = session.scalar(select(func.count()).select_from(Webhook).where(Webhook.app_id == app.id)) or 0
    if present >= webhooks.PER_APP:
        raise InvalidInputError(f"An app can have {webhooks.PER_APP} webhooks. Remove one first.")


def _checked(secret: str, authorization: str | None) -> dict[str, str]:
    keys: Mapping[str, str | None] = {"secret": secret, "authorization": authorization}
    return {name: webhooks.check_header(name.capitalize(), value) for name, value in keys.items() if value is not None}
