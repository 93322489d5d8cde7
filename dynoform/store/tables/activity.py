"""When apps were last asked for something."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base


class AppActivity(Base):
    """An app's last request, as routers tell it of apps that may sleep."""

    __tablename__ = "app_activity"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True)
    requested_at: Mapped[datetime]
