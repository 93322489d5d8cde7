"""The queue of deliveries to webhooks: each webhook's in order, one at a time, again until it is known how they ended.

An attempt puts its delivery off by ``LEASE``; whoever is killed meanwhile is thereby followed by another attempt.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from dynoform.domain import webhooks
from dynoform.store.session import Store
from dynoform.store.tables import Webhook, WebhookDelivery, WebhookEvent

LEASE = timedelta(seconds=40)
"""Longer than an attempt may take."""
GIVEN_UP = "WebhookDeactivated"


@dataclass(frozen=True)
class Attempt:
    """An attempt that this process is to make, with all that it needs. ``credentials`` are encrypted."""

    id: uuid.UUID
    delivery_id: uuid.UUID
    webhook_id: uuid.UUID
    url: str
    credentials: bytes
    include: str
    payload: dict[str, Any]


def take(store: Store, limit: int) -> list[Attempt]:
    """Begin attempts at up to ``limit`` deliveries that are due, the longest due first; nobody else gets those."""
    with store.transaction() as session:
        due = WebhookDelivery.next_attempt_at <= func.now()
        query = select(WebhookDelivery).where(due, _first()).order_by(WebhookDelivery.next_attempt_at).limit(limit)
        rows = session.scalars(query.with_for_update(of=WebhookDelivery, skip_locked=True)).all()
        moment = _now(session)
        return [_begin(row, moment) for row in rows]


def finish(store: Store, attempt: Attempt, code: int | None, error: str | None) -> uuid.UUID | None:
    """Write down how an attempt ended: the receiver's HTTP status, or why there was none.

    Does nothing when the delivery is gone or another attempt has begun. Returns the id of the app if its webhook was
    turned off by this, else None.
    """
    with store.transaction() as session:
        # The webhook first, as who deletes it does, so that neither waits for the other.
        session.execute(select(Webhook.id).where(Webhook.id == attempt.webhook_id).with_for_update(key_share=True))
        query = select(WebhookDelivery).where(WebhookDelivery.id == attempt.delivery_id)
        row = session.scalars(query.with_for_update(of=WebhookDelivery)).one_or_none()
        if row is None or row.attempt_id != attempt.id:
            return None
        moment = _now(session)
        row.code, row.error_class, row.answered_at = code, error, moment
        if code is not None and 200 <= code < 300:
            row.status, row.next_attempt_at = webhooks.SUCCEEDED, None
            row.webhook.failures, row.webhook.failing_since = 0, None
            return None
        return _fail(session, row, moment)


def seconds_until_due(store: Store) -> float | None:
    """When ``take`` has something to give, unless more is published before: seconds, 0 for now, None for never."""
    with store.transaction() as session:
        query = select(func.min(WebhookDelivery.next_attempt_at)).where(
            WebhookDelivery.next_attempt_at.is_not(None), _first()
        )
        due: datetime | None = session.scalar(query)
        return max(0.0, (due - _now(session)).total_seconds()) if due else None


def retry(row: WebhookDelivery) -> None:
    """Put a failed delivery back into the queue, due now; it goes before the webhook's newer ones."""
    row.status = webhooks.PENDING
    row.next_attempt_at = func.now()


def sweep(store: Store) -> int:
    """Forget what is older than Heroku keeps it, and webhooks that outlived their app; returns how many rows went."""
    ended = WebhookDelivery.next_attempt_at.is_(None)
    newest = func.row_number().over(partition_by=WebhookDelivery.webhook_id, order_by=WebhookDelivery.sequence.desc())
    ranked = select(WebhookDelivery.id, newest.label("place")).where(ended).subquery()
    surplus = select(ranked.c.id).where(ranked.c.place > webhooks.KEPT_DELIVERIES)
    waiting = exists().where(WebhookDelivery.webhook_id == Webhook.id, WebhookDelivery.next_attempt_at.is_not(None))
    with store.transaction() as session:
        statements = (
            delete(WebhookEvent).where(WebhookEvent.created_at < func.now() - webhooks.KEPT),
            delete(WebhookDelivery).where(WebhookDelivery.id.in_(surplus)),
            delete(Webhook).where(Webhook.app_id.is_(None), ~waiting),
        )
        return sum(session.connection().execute(statement).rowcount for statement in statements)


def _first() -> ColumnElement[bool]:
    """Nothing older waits for the same webhook."""
    older = aliased(WebhookDelivery)
    return ~exists().where(
        older.webhook_id == WebhookDelivery.webhook_id,
        older.next_attempt_at.is_not(None),
        older.sequence < WebhookDelivery.sequence,
    )


def _begin(row: WebhookDelivery, moment: datetime) -> Attempt:
    row.attempt_id, row.attempted_at = uuid.uuid4(), moment
    row.num_attempts += 1
    row.next_attempt_at = moment + LEASE
    row.answered_at = row.code = row.error_class = None
    return Attempt(
        row.attempt_id,
        row.id,
        row.webhook_id,
        row.webhook.url,
        row.webhook.credentials,
        row.event.include,
        row.event.payload,
    )


def _fail(session: Session, row: WebhookDelivery, moment: datetime) -> uuid.UUID | None:
    hook = row.webhook
    row.next_attempt_at = webhooks.next_attempt(hook.level, row.num_attempts, row.event.created_at, moment)
    row.status = webhooks.RETRYING if row.next_attempt_at else webhooks.FAILED
    hook.failures += 1
    hook.failing_since = hook.failing_since or moment
    if hook.deactivated_at or not webhooks.is_given_up(hook.failing_since, hook.failures, moment):
        return None
    hook.deactivated_at = moment
    give_up = update(WebhookDelivery).where(
        WebhookDelivery.webhook_id == hook.id, WebhookDelivery.next_attempt_at.is_not(None)
    )
    session.execute(give_up.values(status=webhooks.FAILED, next_attempt_at=None, error_class=GIVEN_UP))
    return hook.app_id


def _now(session: Session) -> datetime:
    """The store's clock: the same for all processes."""
    moment: datetime = session.execute(select(func.now())).scalar_one()
    return moment
