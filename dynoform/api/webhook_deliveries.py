"""Webhook deliveries: what became of each event on its way to a webhook."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Select, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader, find
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import shown, shown_or_none
from dynoform.api.services import Use
from dynoform.domain import webhooks
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import deliveries
from dynoform.store.apps import parse_id
from dynoform.store.session import WEBHOOKS, notify
from dynoform.store.tables import App, Webhook, WebhookDelivery

router = APIRouter(tags=["webhook deliveries"])
_FIELDS: ranges.Fields = {"seq": WebhookDelivery.sequence, "id": WebhookDelivery.id}


class EventReference(TypedDict):
    """The event within a delivery."""

    id: str
    include: str


class WebhookReference(TypedDict):
    """The webhook within a delivery."""

    id: str
    level: str


class AttemptObject(TypedDict):
    """The last attempt of a delivery."""

    code: int | None
    created_at: str
    error_class: str | None
    id: str
    status: str
    updated_at: str


class WebhookDeliveryObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#app-webhook-delivery."""

    created_at: str
    event: EventReference
    id: str
    last_attempt: AttemptObject | None
    next_attempt_at: str | None
    num_attempts: int
    status: str
    updated_at: str
    webhook: WebhookReference


@router.get("/apps/{app}/webhook-deliveries", response_model=list[WebhookDeliveryObject])
def delivery_list(
    app: str,
    services: Use,
    caller: Caller,
    wanted: RangeHeader = None,
    status: Annotated[str | None, Query(alias="eq[status]")] = None,
) -> JSONResponse:
    """The deliveries to the app's webhooks, all or those with a status."""
    if status is not None and status not in webhooks.STATUSES:
        raise InvalidInputError(f"Status must be one of: {', '.join(webhooks.STATUSES)}.")
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id.in_(_webhooks(found)))
        if status is not None:
            query = query.where(WebhookDelivery.status == status)
        return ranges.page(session, query, wanted, _FIELDS, show)


@router.get("/apps/{app}/webhook-deliveries/{delivery}", response_model=WebhookDeliveryObject)
def delivery_info(app: str, delivery: str, services: Use, caller: Caller) -> JSONResponse:
    """One delivery, by id."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        return JSONResponse(show(_find(session, found, delivery)))


@router.post(
    "/apps/{app}/webhook-deliveries/{delivery}/actions/retry", status_code=202, response_model=WebhookDeliveryObject
)
def delivery_retry(app: str, delivery: str, services: Use, caller: Caller) -> JSONResponse:
    """Deliver anew what has failed."""
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE)
        row = _find(session, found, delivery, lock=True)
        if row.status != webhooks.FAILED:
            raise InvalidInputError(f"Only a failed delivery can be retried, this one is {row.status}.")
        if row.webhook.deactivated_at is not None:
            raise InvalidInputError("The webhook was turned off for failing. Update it to turn it on again.")
        deliveries.retry(row)
        notify(session, WEBHOOKS, WEBHOOKS)
        session.flush()
        session.refresh(row)
        return JSONResponse(show(row), 202)


def show(row: WebhookDelivery) -> WebhookDeliveryObject:
    """The delivery's object."""
    return {
        "created_at": shown(row.created_at),
        "event": {"id": str(row.event_id), "include": row.event.include},
        "id": str(row.id),
        "last_attempt": _last_attempt(row),
        "next_attempt_at": shown_or_none(row.next_attempt_at),
        "num_attempts": row.num_attempts,
        "status": row.status,
        "updated_at": shown(row.updated_at),
        "webhook": {"id": str(row.webhook_id), "level": row.webhook.level},
    }


def _last_attempt(row: WebhookDelivery) -> AttemptObject | None:
    if row.attempt_id is None or row.attempted_at is None:
        return None
    succeeded = row.code is not None and 200 <= row.code < 300
    ended = webhooks.SUCCEEDED if succeeded else webhooks.FAILED
    return {
        "code": row.code,
        "created_at": shown(row.attempted_at),
        "error_class": row.error_class,
        "id": str(row.attempt_id),
        "status": "scheduled" if row.answered_at is None else ended,
        "updated_at": shown(row.answered_at or row.attempted_at),
    }


def _find(session: Session, app: App, reference: str, *, lock: bool = False) -> WebhookDelivery:
    identifier = parse_id(reference)
    query = select(WebhookDelivery).where(
        WebhookDelivery.id == identifier, WebhookDelivery.webhook_id.in_(_webhooks(app))
    )
    if lock:
        query = query.with_for_update(of=WebhookDelivery)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise not_found("webhook delivery", "webhook_delivery")
    return row


def _webhooks(app: App) -> Select[uuid.UUID]:
    return select(Webhook.id).where(Webhook.app_id == app.id)
