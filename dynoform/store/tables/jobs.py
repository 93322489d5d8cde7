"""Durable work."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified


class Job(Identified, Base):
    """Work that is not done yet: there is a row as long as somebody has to see to it. See ``dynoform.store.jobs``.

    Its id is that of what it is about: a build's, a release's.
    """

    __tablename__ = "jobs"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    number: Mapped[int] = mapped_column(BigInteger, Identity())
    """Place in the app's queue."""
    attempts: Mapped[int] = mapped_column(default=0)
    lease_holder: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    host: Mapped[str | None]
    """The host of who took it last."""
    started_at: Mapped[datetime | None]
    """When the part of it began that must not be done twice; None for work that can be done again."""
    __table_args__ = (Index("ix_jobs_app", "app_id", "number"),)
