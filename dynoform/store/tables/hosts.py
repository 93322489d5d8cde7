"""Hosts that dynos run on."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, now


class Host(Base):
    """A host of the swarm, as the reconciler last saw it."""

    __tablename__ = "hosts"
    id: Mapped[str] = mapped_column(primary_key=True)
    """Swarm's id of the node."""
    name: Mapped[str]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
