"""Sources, buildpacks, builds and what comes of them."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.base import Base, Identified


class Source(Identified, Base):
    """A source tarball: uploaded, in the sources volume under its id, or somewhere else under its ``url``."""

    __tablename__ = "sources"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    checksum: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    url: Mapped[str | None]
    """Where the builder fetches it; None for one that was uploaded."""


class BuildpackInstallation(Base):
    """A buildpack that an app is built with, instead of those that detect it."""

    __tablename__ = "buildpack_installations"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    buildpack: Mapped[str]
    """``heroku/python`` or a URL."""


class Slug(Identified, Base):
    """What a release runs: an image that a build made, or images that a user pushed; by digest, with process types.

    Or a slug that a user made elsewhere, which becomes an image once it is uploaded.
    """

    __tablename__ = "slugs"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    image: Mapped[str]
    """``registry/repository@sha256:…``; empty for one that is not uploaded, or not made yet."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Compressed bytes of the slug's own layer."""
    checksum: Mapped[str]
    """``SHA256:…``; empty for one that is not uploaded, if it was not given."""
    stack: Mapped[str]
    commit: Mapped[str | None]
    commit_description: Mapped[str | None]
    failure: Mapped[str | None]
    """Why what was uploaded is no slug, in one line."""
    buildpack_provided_description: Mapped[str | None]
    process_types: Mapped[dict[str, Any]]
    """Process type → command."""
    expired_at: Mapped[datetime | None]
    """Since when it is on its way out: no release can be made of it any more."""
    base: Mapped[str | None]
    """The version of the stack image that its layer lies on; None when that is not known, or for users' images."""
    images: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Process type → image, when each has one of its own (stack ``container``); else empty."""

    def image_of(self, process_type: str) -> str:
        """What a dyno of this type runs."""
        return str(self.images.get(process_type, self.image))


class Build(Identified, Base):
    """A build. ``status``: pending (then there is a job for it), succeeded, failed."""

    __tablename__ = "builds"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    source_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sources.id"))
    version: Mapped[str | None]
    """What the user calls this source, a git commit for instance (SOURCE_VERSION)."""
    buildpacks: Mapped[list[Any]] = mapped_column(default=list)
    """Those that this build is to use, as ``heroku/python`` or URLs, in order; empty to detect them."""
    stack: Mapped[str | None]
    """What it is for; None when that was not written down."""
    host: Mapped[str | None]
    """Where it is built, or was: there the app's cache is."""
    status: Mapped[str] = mapped_column(String(10), default="pending")
    failure: Mapped[str | None]
    """Why it failed, in one line."""
    slug_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("slugs.id", ondelete="SET NULL"))
    release_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("releases.id", ondelete="SET NULL"))
    account: Mapped[Account] = relationship(lazy="joined")
    __table_args__ = (Index("ix_builds_app", "app_id", "created_at"), Index("ix_builds_source", "source_id"))


class Push(Base):
    """A git push that deploys: a row until its branch says what became of it. See ``dynoform.store.pushes``."""

    __tablename__ = "pushes"
    build_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    ref: Mapped[str] = mapped_column(Text)
    """``refs/heads/main``"""
    old: Mapped[str] = mapped_column(String(64))
    """The object that it named before, in hexadecimal; zeros for none."""
    new: Mapped[str] = mapped_column(String(64))
    """The commit that is built."""


class BuildOutput(Base):
    """A piece of a build's output, in order."""

    __tablename__ = "build_output"
    build_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
