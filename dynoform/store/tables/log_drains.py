"""Log drains."""

import uuid

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.addons import Addon
from dynoform.store.tables.base import Base, Identified


class LogDrain(Identified, Base):
    """Where an app's log lines are sent too."""

    __tablename__ = "log_drains"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    addon_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), index=True)
    """The add-on that asked for it; users cannot remove such a drain by itself."""
    token: Mapped[str] = mapped_column(String(40), unique=True)
    """``d.<uuid>``, by which the receiver knows the drain."""
    url: Mapped[bytes]
    """Encrypted, as it may hold a password."""
    addon: Mapped[Addon | None] = relationship(lazy="joined")
