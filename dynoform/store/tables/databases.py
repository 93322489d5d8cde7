"""Databases of the platform's own: where an add-on's is, and who may use it."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified, now


class Database(Base):
    """The database that an add-on is; it has its place for life."""

    __tablename__ = "databases"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), primary_key=True)
    port: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(63))
    """PostgreSQL's name of it."""
    owner: Mapped[str] = mapped_column(String(63))
    """The role that has all in it, and that nobody logs in as."""
    maintained_at: Mapped[datetime] = mapped_column(default=now)
    cipher: Mapped[bytes | None]
    """What its repository of backups is encrypted with, encrypted; None for one without."""
    protection: Mapped[dict[str, Any] | None]
    """How the repository was when it was looked at, see ``dynoform.domain.protection.state``."""
    look_at: Mapped[datetime | None]
    """When to look at the repository again; None for a database without."""
    drill_at: Mapped[datetime | None]
    """When its latest backup is to be restored for a trial; None before there is one."""
    forked_from: Mapped[str | None] = mapped_column(String(256))
    """The name of the database that it was made from."""


class RedisMember(Base):
    """One of several servers that have a Redis' data; it has its places for life."""

    __tablename__ = "redis_members"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 1."""
    port: Mapped[int] = mapped_column(unique=True)
    sentinel_port: Mapped[int] = mapped_column(unique=True)


class DatabaseCredential(Identified, Base):
    """A user of a database with its password; after a rotation there are two for a while."""

    __tablename__ = "database_credentials"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(60))
    """``default``: what users call it."""
    username: Mapped[str] = mapped_column(String(63))
    ciphertext: Mapped[bytes]
    """The password, encrypted."""
    ends_at: Mapped[datetime | None]
    """When it is taken away; None for the one in use."""
    __table_args__ = (
        Index(
            "ix_database_credentials_in_use", "addon_id", "name", unique=True, postgresql_where=text("ends_at IS NULL")
        ),
    )
