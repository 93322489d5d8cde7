"""Leases: who does what only one may do."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base


class Lease(Base):
    """Who is leader of what (the reconcile loop), until when."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]
