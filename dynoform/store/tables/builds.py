"""Sources, builds and what comes of them."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.base import Base, Identified


class Source(Identified, Base):
    """An uploaded source tarball, in the sources volume under its id."""

    __tablename__ = "sources"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    checksum: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)


class Slug(Identified, Base):
    """What a release runs: an image that a build made, or images that a user pushed; by digest, with process types."""

    __tablename__ = "slugs"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    image: Mapped[str]
    """``registry/repository@sha256:…``"""
    size: Mapped[int] = mapped_column(BigInteger)
    """Compressed bytes of the slug's own layer."""
    checksum: Mapped[str]
    stack: Mapped[str]
    commit: Mapped[str | None]
    buildpack_provided_description: Mapped[str | None]
    process_types: Mapped[dict[str, Any]]
    """Process type → command."""
    images: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Process type → image, when each has one of its own (stack ``container``); else empty."""

    def image_of(self, process_type: str) -> str:
        """What a dyno of this type runs."""
        return str(self.images.get(process_type, self.image))


class Build(Identified, Base):
    """A build job. ``status``: pending, succeeded, failed; a pending one with a live lease is being built."""

    __tablename__ = "builds"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    source_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sources.id"))
    version: Mapped[str | None]
    """What the user calls this source, a git commit for instance (SOURCE_VERSION)."""
    status: Mapped[str] = mapped_column(String(10), default="pending")
    failure: Mapped[str | None]
    """Why it failed, in one line."""
    attempts: Mapped[int] = mapped_column(default=0)
    lease_holder: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    slug_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("slugs.id", ondelete="SET NULL"))
    release_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("releases.id", ondelete="SET NULL"))
    account: Mapped[Account] = relationship(lazy="joined")
    __table_args__ = (
        Index("ix_builds_pending", "created_at", postgresql_where=text("status = 'pending'")),
        Index("ix_builds_app", "app_id", "created_at"),
    )


class BuildOutput(Base):
    """A piece of a build's output, in order."""

    __tablename__ = "build_output"
    build_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
