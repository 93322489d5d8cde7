"""Releases and their config vars."""

import uuid
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.base import Base, Identified
from dynoform.store.tables.builds import Slug


class Config(Identified, Base):
    """The config vars of one release, encrypted as a whole; unchanged ones are shared between releases."""

    __tablename__ = "configs"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    ciphertext: Mapped[bytes]


class Release(Identified, Base):
    """A slug with config vars. One per app is ``current``; versions count from 1 without gaps."""

    __tablename__ = "releases"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    version: Mapped[int]
    description: Mapped[str]
    status: Mapped[str] = mapped_column(String(10), default="succeeded")
    """succeeded, pending (release phase runs), failed, expired."""
    current: Mapped[bool] = mapped_column(default=False)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    slug_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("slugs.id", ondelete="SET NULL"))
    config_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("configs.id"))
    addon_plan_names: Mapped[list[Any]] = mapped_column(default=list)
    """The add-ons that the app had, by plan."""
    addon_config_vars: Mapped[list[Any]] = mapped_column(default=list)
    """Names of the config vars that came from add-ons."""
    account: Mapped[Account] = relationship(lazy="joined")
    slug: Mapped[Slug | None] = relationship(lazy="joined")
    __table_args__ = (
        UniqueConstraint("app_id", "version"),
        Index("ix_releases_slug", "slug_id"),
        Index("ix_releases_current", "app_id", unique=True, postgresql_where=text("current")),
    )


class ReleaseOutput(Base):
    """A piece of the release phase's output, in order."""

    __tablename__ = "release_output"
    release_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
