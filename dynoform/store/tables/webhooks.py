"""Webhooks, what happened to their apps, and what is on its way to them."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.base import Base, Identified


class Webhook(Identified, Base):
    """A subscription to an app's events. Without an app it only lives for the deliveries that the app left."""

    __tablename__ = "webhooks"
    app_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("apps.id", ondelete="SET NULL"), index=True)
    include: Mapped[list[Any]]
    level: Mapped[str] = mapped_column(String(6))
    url: Mapped[str]
    credentials: Mapped[bytes]
    """``secret`` and ``authorization``, encrypted."""
    failures: Mapped[int] = mapped_column(default=0)
    """Failed attempts since the last success."""
    failing_since: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    """When it was turned off for failing without end; an update turns it on again."""


class WebhookEvent(Identified, Base):
    """Something that happened to an app, as its webhooks are told."""

    __tablename__ = "webhook_events"
    app_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("apps.id", ondelete="SET NULL"), index=True)
    include: Mapped[str] = mapped_column(String(24))
    payload: Mapped[dict[str, Any]]
    """All that is sent but ``webhook_metadata``."""


class WebhookDelivery(Identified, Base):
    """An event on its way to a webhook. Those of one webhook go one after the other, in the order of ``sequence``."""

    __tablename__ = "webhook_deliveries"
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_events.id", ondelete="CASCADE"), index=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    status: Mapped[str] = mapped_column(String(10), default="pending")
    """pending, retrying, succeeded, failed."""
    num_attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    """Due then; none once it is over. While an attempt is under way: when that one counts as lost."""
    attempt_id: Mapped[uuid.UUID | None]
    """The last attempt; whoever makes it may write its outcome, as long as no other has begun."""
    attempted_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    code: Mapped[int | None]
    """HTTP status of the answer to the last attempt."""
    error_class: Mapped[str | None] = mapped_column(String(60))
    """Why the last attempt had no good answer."""
    event: Mapped[WebhookEvent] = relationship(lazy="joined", innerjoin=True)
    webhook: Mapped[Webhook] = relationship(lazy="joined", innerjoin=True)
    __table_args__ = (
        Index("ix_webhook_deliveries_webhook", "webhook_id", "sequence"),
        Index(
            "ix_webhook_deliveries_waiting",
            "webhook_id",
            "sequence",
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
    )
