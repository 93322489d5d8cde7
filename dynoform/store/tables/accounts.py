"""Accounts and what they sign in with."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.base import Base, Identified


class Account(Identified, Base):
    """A person, or the operator that `up` makes."""

    __tablename__ = "accounts"
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str | None]


class Authorization(Identified, Base):
    """An OAuth authorization; its token is kept as a SHA-256 digest only."""

    __tablename__ = "authorizations"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    token_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    description: Mapped[str]
    scope: Mapped[list[Any]] = mapped_column(default=lambda: ["global"])
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    account: Mapped[Account] = relationship(lazy="joined")
