"""Scheduled jobs."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified


class SchedulerJob(Identified, Base):
    """A command that is run again and again, by an app's add-on ``scheduler``; it goes with that."""

    __tablename__ = "scheduler_jobs"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), index=True)
    command: Mapped[str]
    size: Mapped[str] = mapped_column(String(60))
    frequency: Mapped[str] = mapped_column(String(40))
    """As ``dynoform.domain.schedules`` reads it."""
    next_due_at: Mapped[datetime] = mapped_column(index=True)
    """Moves on in the transaction that asks for the run's dyno, so that no run comes twice."""
    last_due_at: Mapped[datetime | None]
    """The moment of the newest run."""
