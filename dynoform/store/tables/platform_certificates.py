"""Certificates of the platform's own names."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, now


class PlatformCertificate(Base):
    """A certificate with its key, served by the routers instead of the one that the stack's authority signed."""

    __tablename__ = "platform_certificates"
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    """What it is for: ``api``; or ``apps``, all names of apps below the platform's domain."""
    chain: Mapped[str] = mapped_column(Text)
    """PEM, the server's certificate first."""
    private_key: Mapped[bytes]
    """PEM, encrypted with the key that routers have, too."""
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
