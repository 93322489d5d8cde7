"""Apps."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.base import Base, Identified


class App(Identified, Base):
    """An app. ``name`` is its host name under the platform's domain."""

    __tablename__ = "apps"
    name: Mapped[str] = mapped_column(String(30), unique=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    stack: Mapped[str]
    maintenance: Mapped[bool] = mapped_column(default=False)
    released_at: Mapped[datetime | None]
    repo_size: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes of the git repository, measured after each push."""
    owner: Mapped[Account] = relationship(lazy="joined")
