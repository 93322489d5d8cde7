"""Features that were turned on or off."""

import uuid

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified


class AppFeature(Identified, Base):
    """An app's choice about a feature."""

    __tablename__ = "app_features"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    name: Mapped[str]
    enabled: Mapped[bool]
    __table_args__ = (UniqueConstraint("app_id", "name"),)


class AccountFeature(Identified, Base):
    """An account's choice about a feature."""

    __tablename__ = "account_features"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    name: Mapped[str]
    enabled: Mapped[bool]
    __table_args__ = (UniqueConstraint("account_id", "name"),)
