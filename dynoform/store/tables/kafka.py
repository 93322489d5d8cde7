"""Kafka clusters of the platform's own: an add-on's, and the one that tenants share."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, now


class KafkaCluster(Base):
    """A cluster; it has its places and its authority for life."""

    __tablename__ = "kafka_clusters"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """The add-on's, where it is one's own."""
    addon_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), unique=True)
    """Whose it is; None for the one that is shared."""
    ports: Mapped[list[Any]]
    """For each broker: its port, and its controller's."""
    hosts: Mapped[list[Any] | None]
    """Name and address of each broker's host, None for the platform's; nothing where all are there."""
    ciphertext: Mapped[bytes]
    """The authority of all who may connect: certificate and key, encrypted."""
    maintained_at: Mapped[datetime] = mapped_column(default=now)
