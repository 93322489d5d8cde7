"""Who else may do what with an app, and apps on their way to another owner."""

import uuid
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified


class Collaborator(Identified, Base):
    """An account with permissions on an app that is not its own."""

    __tablename__ = "collaborators"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    permissions: Mapped[list[Any]]
    """``view`` and any of ``deploy``, ``operate``, ``manage``."""
    account: Mapped[Account] = relationship(lazy="joined")
    __table_args__ = (UniqueConstraint("app_id", "account_id"),)


class AppTransfer(Identified, Base):
    """An offer of a personal app to another account. ``state``: pending, accepted, declined."""

    __tablename__ = "app_transfers"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    recipient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(10), default="pending")
    app: Mapped[App] = relationship(lazy="joined")
    owner: Mapped[Account] = relationship(lazy="joined", foreign_keys=[owner_id])
    recipient: Mapped[Account] = relationship(lazy="joined", foreign_keys=[recipient_id])
    __table_args__ = (
        Index("ix_app_transfers_pending", "app_id", unique=True, postgresql_where=text("state = 'pending'")),
    )
