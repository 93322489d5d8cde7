"""Telling webhooks: an event and its deliveries are written in the same transaction as the change itself.

So nothing is announced that did not happen, and nothing that happened is forgotten, whatever is killed when.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dynoform.domain import webhooks
from dynoform.domain.times import shown
from dynoform.store import snapshots
from dynoform.store.session import WEBHOOKS, notify
from dynoform.store.tables import (
    Account,
    Addon,
    AddonAttachment,
    App,
    Build,
    Dyno,
    Formation,
    Release,
    Source,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    now,
)

Data = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""The object that changed, or a function that makes it: it is called only if there is somebody to tell."""


def publish(
    session: Session,
    app_id: uuid.UUID,
    entity: str,
    action: str,
    data: Data,
    previous: Mapping[str, Any] | None = None,
    actor: Account | None = None,
) -> None:
    """Tell the app's webhooks that include ``entity`` (``api:release``) of a change, when this transaction commits.

    ``action`` is create, update or destroy; ``previous`` are the changed fields as they were; without ``actor``, for
    what the platform did by itself, the app's owner is named. One query when no webhook is interested. It locks
    those that are, so that their events keep the order of changes: who locks the app too, does that first.
    """
    interested = [hook for hook in _webhooks(session, app_id) if entity in hook.include]
    if not interested:
        return
    shown_data = data() if callable(data) else data
    event = _event(entity, action, shown_data, previous or {}, actor or _owner(session, app_id))
    event.app_id = app_id
    session.add(event)
    for hook in _locked(session, interested):
        session.add(_delivery(session, hook, event))
        session.flush()  # their sequence follows the order of these calls
    notify(session, WEBHOOKS, WEBHOOKS)


def addon_changed(
    session: Session, addon: Addon, action: str, actor: Account | None, previous: Mapping[str, Any] | None = None
) -> None:
    """Publish an add-on to the app that owns it, if that is still there."""
    if addon.app_id is None:
        return
    app_id = addon.app_id

    def data() -> snapshots.Snapshot:
        mine = (AddonAttachment.addon_id == addon.id, AddonAttachment.app_id == app_id)
        names = session.scalars(select(AddonAttachment.config_vars).where(*mine))
        return snapshots.addon(session.get_one(App, app_id), addon, [name for variables in names for name in variables])

    publish(session, app_id, "api:addon", action, data, previous, actor)


def attachment_changed(session: Session, attachment: AddonAttachment, action: str, actor: Account | None) -> None:
    """Publish an attachment that was made or is about to go."""

    def data() -> snapshots.Snapshot:
        app, addon = session.get_one(App, attachment.app_id), session.get_one(Addon, attachment.addon_id)
        return snapshots.attachment(app, attachment, addon)

    publish(session, attachment.app_id, "api:addon-attachment", action, data, None, actor)


def build_changed(session: Session, build: Build, previous: str | None = None) -> None:
    """Publish a new build, or, with its ``previous`` status, one whose status has changed."""

    def data() -> snapshots.Snapshot:
        return snapshots.build(session.get_one(App, build.app_id), build, session.get(Source, build.source_id))

    action, before = _change(previous)
    publish(session, build.app_id, "api:build", action, data, before, build.account)


def release_changed(session: Session, app: App, release: Release, previous: str | None = None) -> None:
    """Publish a new release, or, with its ``previous`` status, one whose status has changed."""
    action, before = _change(previous)
    publish(session, app.id, "api:release", action, lambda: snapshots.release(app, release), before, release.account)


def formation_created(session: Session, row: Formation, command: str) -> None:
    """Publish a process type that a release has brought."""
    publish(session, row.app_id, "api:formation", webhooks.CREATE, partial(_formation, session, row, command))


def formation_removed(session: Session, row: Formation) -> None:
    """Publish that a release has no such process type any more."""
    publish(session, row.app_id, "api:formation", webhooks.DESTROY, partial(_formation, session, row, ""))


def dyno_created(session: Session, app: App, dyno: Dyno, version: int) -> None:
    """Publish a new dyno; ``version`` is its release's."""
    publish(session, app.id, "api:dyno", webhooks.CREATE, lambda: snapshots.dyno(app, dyno, version))


def dyno_changed(session: Session, dyno: Dyno, previous: str, actor: Account | None = None) -> None:
    """Publish a dyno's new state: ``update`` while it is to run on, ``destroy`` for crashed and down."""

    def data() -> snapshots.Snapshot:
        app, release = session.get_one(App, dyno.app_id), session.get_one(Release, dyno.release_id)
        return snapshots.dyno_state(app, dyno, release.version)

    action = webhooks.DESTROY if dyno.state in ("crashed", "down") else webhooks.UPDATE
    publish(session, dyno.app_id, "dyno", action, data, {"state": previous}, actor)


def is_heard(session: Session, app_id: uuid.UUID, entity: str) -> bool:
    """Whether a webhook is interested, for changes that are costly to describe."""
    return any(entity in hook.include for hook in _webhooks(session, app_id))


def _change(previous: str | None) -> tuple[str, dict[str, str]]:
    return (webhooks.UPDATE, {"status": previous}) if previous else (webhooks.CREATE, {})


def _formation(session: Session, row: Formation, command: str) -> snapshots.Snapshot:
    return snapshots.formation(session.get_one(App, row.app_id), row, command)


def _webhooks(session: Session, app_id: uuid.UUID) -> list[Webhook]:
    active = select(Webhook).where(Webhook.app_id == app_id, Webhook.deactivated_at.is_(None))
    return list(session.scalars(active.order_by(Webhook.id)))


def _locked(session: Session, interested: list[Webhook]) -> Sequence[Webhook]:
    """Those that are still there, and now stay until the transaction ends."""
    query = select(Webhook).where(Webhook.id.in_([hook.id for hook in interested])).order_by(Webhook.id)
    return session.scalars(query.with_for_update(key_share=True)).all()


def _owner(session: Session, app_id: uuid.UUID) -> Account:
    return session.get_one(App, app_id).owner


def _event(
    entity: str, action: str, data: Mapping[str, Any], previous: Mapping[str, Any], actor: Account
) -> WebhookEvent:
    identifier, moment = uuid.uuid4(), now()
    payload = {
        "action": action,
        "actor": snapshots.account(actor),
        "created_at": shown(moment),
        "data": dict(data),
        "id": str(identifier),
        "previous_data": dict(previous),
        "published_at": shown(moment),
        "resource": entity.removeprefix("api:"),
        "sequence": None,
        "updated_at": shown(moment),
        "version": webhooks.VERSION,
    }
    return WebhookEvent(id=identifier, created_at=moment, updated_at=moment, include=entity, payload=payload)


def _delivery(session: Session, hook: Webhook, event: WebhookEvent) -> WebhookDelivery:
    waiting = select(WebhookDelivery.id).where(
        WebhookDelivery.webhook_id == hook.id, WebhookDelivery.next_attempt_at.is_not(None)
    )
    count = session.scalar(select(func.count()).select_from(waiting.limit(webhooks.BACKLOG).subquery())) or 0
    delivery = WebhookDelivery(webhook_id=hook.id, event_id=event.id)
    if count < webhooks.BACKLOG:
        delivery.next_attempt_at = func.now()
    else:
        delivery.status, delivery.error_class = webhooks.FAILED, "BacklogFull"
    return delivery
