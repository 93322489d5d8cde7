"""Webhook events: what an app's webhooks were told in the last days."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.services import Use
from dynoform.domain.permissions import Permission
from dynoform.store.apps import parse_id
from dynoform.store.tables import WebhookEvent

router = APIRouter(tags=["webhook events"])
_FIELDS: ranges.Fields = {"id": WebhookEvent.id}


class WebhookEventObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app-webhook-event."""

    created_at: str
    id: str
    include: str
    payload: dict[str, Any]
    updated_at: str


@router.get("/apps/{app}/webhook-events", response_model=list[WebhookEventObject])
def event_list(app: str, services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The events of the app that a webhook was interested in."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        query = select(WebhookEvent).where(WebhookEvent.app_id == found.id)
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.get("/apps/{app}/webhook-events/{event}", response_model=WebhookEventObject)
def event_info(app: str, event: str, services: Use, caller: Caller) -> JSONResponse:
    """One event, by id."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        identifier = parse_id(event)
        row = session.get(WebhookEvent, identifier) if identifier else None
        if row is None or row.app_id != found.id:
            raise not_found("webhook event", "webhook_event")
        return JSONResponse(show(row))


def show(row: WebhookEvent) -> WebhookEventObject:
    """The event's object."""
    return {
        "created_at": shown(row.created_at),
        "id": str(row.id),
        "include": row.include,
        "payload": row.payload,
        "updated_at": shown(row.updated_at),
    }
