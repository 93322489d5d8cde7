"""Which apps' routes changed, written by the database itself."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base


class RouteChange(Base):
    """A transaction that changed what routers serve for an app. Triggers on what that is made of add these."""

    __tablename__ = "route_changes"
    changed: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, server_default=text("pg_current_xact_id()::text::bigint")
    )
    """The transaction's number, as PostgreSQL counts them."""
    app_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """No reference: it outlives its app, whose end is a change too."""
    noted_at: Mapped[datetime] = mapped_column(server_default=func.now())
