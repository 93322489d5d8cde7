"""Formations and dynos."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified, now


class Formation(Identified, Base):
    """How many dynos of which size a process type should have."""

    __tablename__ = "formations"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    type: Mapped[str]
    quantity: Mapped[int]
    size: Mapped[str] = mapped_column(default="Standard-1X")
    __table_args__ = (UniqueConstraint("app_id", "type"),)


class Dyno(Identified, Base):
    """A dyno that is to run, or still runs: the reconciler's memory of one Swarm service."""

    __tablename__ = "dynos"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    release_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"))
    type: Mapped[str]
    number: Mapped[int]
    """The 1 in web.1."""
    size: Mapped[str]
    command: Mapped[str]
    state: Mapped[str] = mapped_column(String(10), default="starting")
    """starting, up, crashed, idle, down as on Heroku: ``down`` is on its way out and not routed, ``idle`` sleeps."""
    state_changed_at: Mapped[datetime] = mapped_column(default=now)
    service_id: Mapped[str | None]
    address: Mapped[str | None]
    """Where routers reach it; None for a dyno that is not web or not up."""
    port: Mapped[int | None]
    crashes: Mapped[int] = mapped_column(default=0)
    """Crashes since the last release, restart or long good run; decides the back-off."""
    start_after: Mapped[datetime | None]
    """Not to be started before this moment (cool-off after crashes)."""
    host_id: Mapped[str | None]
    """Swarm's id of the node that it was started on; None where Swarm chose."""
    moving: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether it is to be on another host, and goes when its successor there is up."""
    image: Mapped[str | None]
    """What its service was made of, as ``Slug.image`` was then; None for one without a service."""
