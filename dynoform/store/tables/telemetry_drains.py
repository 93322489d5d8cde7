"""Telemetry drains."""

import uuid
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified


class TelemetryDrain(Identified, Base):
    """Where an app's telemetry is sent, by OpenTelemetry's protocol."""

    __tablename__ = "telemetry_drains"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    signals: Mapped[list[Any]]
    exporter: Mapped[bytes]
    """``endpoint``, and ``headers`` as JSON: encrypted, as either may hold a key."""
