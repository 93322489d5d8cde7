"""Tables of the platform's store, one class per Heroku resource.

Names are the Platform API's (https://devcenter.heroku.com/articles/platform-api-reference). Ids are UUIDs made here,
times are UTC.
Secrets are stored as hashes (tokens) or encrypted (config vars): see ``dynoform.store.secrets``.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """What every table shares: naming of constraints, JSON and times with zone."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's declared form


class Identified:
    """A row with an id and the times that every Heroku resource shows."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


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


class App(Identified, Base):
    """An app. ``name`` is its host name under the platform's domain."""

    __tablename__ = "apps"
    name: Mapped[str] = mapped_column(String(30), unique=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    stack: Mapped[str]
    maintenance: Mapped[bool] = mapped_column(default=False)
    released_at: Mapped[datetime | None]
    owner: Mapped[Account] = relationship(lazy="joined")


class Config(Identified, Base):
    """The config vars of one release, encrypted as a whole; unchanged ones are shared between releases."""

    __tablename__ = "configs"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    ciphertext: Mapped[bytes]


class Source(Identified, Base):
    """An uploaded source tarball, in the sources volume under its id."""

    __tablename__ = "sources"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    checksum: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)


class Slug(Identified, Base):
    """What a build produced: an image, by digest, and the process types it knows."""

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
    account: Mapped[Account] = relationship(lazy="joined")
    slug: Mapped[Slug | None] = relationship(lazy="joined")
    __table_args__ = (
        UniqueConstraint("app_id", "version"),
        Index("ix_releases_current", "app_id", unique=True, postgresql_where=text("current")),
    )


class Formation(Identified, Base):
    """How many dynos of which size a process type should have."""

    __tablename__ = "formations"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    type: Mapped[str]
    quantity: Mapped[int]
    size: Mapped[str] = mapped_column(default="Standard-1X")
    __table_args__ = (UniqueConstraint("app_id", "type"),)


class Dyno(Identified, Base):
    """A dyno that is to run, or still runs: the reconciler's memory of one Swarm service."""

    __tablename__ = "dynos"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    release_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"))
    type: Mapped[str]
    number: Mapped[int]
    """The 1 in web.1."""
    size: Mapped[str]
    command: Mapped[str]
    state: Mapped[str] = mapped_column(String(10), default="starting")
    """starting, up, crashed, down (Heroku's words); ``down`` is on its way out and not routed."""
    state_changed_at: Mapped[datetime] = mapped_column(default=now)
    service_id: Mapped[str | None]
    address: Mapped[str | None]
    """Where routers reach it; None for a dyno that is not web or not up."""
    port: Mapped[int | None]
    crashes: Mapped[int] = mapped_column(default=0)
    """Crashes since the last release, restart or long good run; decides the back-off."""
    start_after: Mapped[datetime | None]
    """Not to be started before this moment (cool-off after crashes)."""


class Lease(Base):
    """Who is leader of what (the reconcile loop), until when."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]
