"""Hosts that dynos run on, how they are, and how dynos ended on them."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.domain.placement import COMMON
from dynoform.store.tables.base import Base, now


class Host(Base):
    """A host of the swarm, as the reconciler last saw it."""

    __tablename__ = "hosts"
    id: Mapped[str] = mapped_column(primary_key=True)
    """Swarm's id of the node."""
    name: Mapped[str]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    zone: Mapped[str] = mapped_column(default="", server_default="")
    runtime: Mapped[str] = mapped_column(default=COMMON, server_default=COMMON)
    state: Mapped[str] = mapped_column(String(10), default="open", server_default="open")
    """open, closed (takes no new dynos), draining, drained, lost."""
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class HostReport(Base):
    """What the runtime agent of a host last told of it."""

    __tablename__ = "host_reports"
    name: Mapped[str] = mapped_column(primary_key=True)
    node_id: Mapped[str]
    """Swarm's id of the node; empty while the engine has not told."""
    reported_at: Mapped[datetime]
    engine: Mapped[str]
    """The engine's version; empty while it does not answer."""
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    free_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    disk_bytes: Mapped[int] = mapped_column(BigInteger)
    free_disk_bytes: Mapped[int] = mapped_column(BigInteger)
    load: Mapped[float]
    """Of the last minute."""
    dynos: Mapped[int]
    events_until: Mapped[int] = mapped_column(BigInteger)
    """Up to when the engine's events were dealt with, in nanoseconds since 1970."""


class LeftVolume(Base):
    """A volume that nobody wants any more, for the runtime agent of its host to remove."""

    __tablename__ = "left_volumes"
    host: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class DynoEnd(Base):
    """The end of a formation dyno's container: written once, by the agent of its host."""

    __tablename__ = "dyno_ends"
    container_id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    dyno_id: Mapped[uuid.UUID]
    """Of a dyno that may be gone."""
    name: Mapped[str]
    """``web.1``"""
    host: Mapped[str] = mapped_column(index=True)
    exit_code: Mapped[int]
    error: Mapped[str]
    """Heroku's code, R12 or R15; empty for an ordinary end."""
    ended_at: Mapped[datetime]
