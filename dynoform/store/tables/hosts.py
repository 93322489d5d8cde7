"""Hosts that dynos run on."""

from datetime import datetime

from sqlalchemy import BigInteger, String
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
