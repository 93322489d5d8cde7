"""Databases of the platform's own: where an add-on's is, and who may use it."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
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
    maintenance_at: Mapped[datetime | None]
    """When it is to be maintained next, where that was put off or brought forward."""
    lost_at: Mapped[datetime | None]
    """When it was last begun to bring it back, after its service was lost; None once it is back."""
    maintenance_window: Mapped[int | None]
    """The minute of the week, from Monday 00:00 UTC, at which its window opens; None for any time."""
    cipher: Mapped[bytes | None]
    """What its repository of backups is encrypted with, encrypted; None for one without."""
    protection: Mapped[dict[str, Any] | None]
    """How the repository was when it was looked at, see ``dynoform.domain.protection.state``."""
    look_at: Mapped[datetime | None]
    """When to look at the repository again; None for a database without."""
    drill_at: Mapped[datetime | None]
    """When its latest backup is to be restored for a trial; None before there is one."""
    member_ports: Mapped[list[Any] | None]
    """Of one with a standby: two ports for each server, then for each member of etcd; None of a single server.

    With members on other hosts there are two more: of the SSH server beside the repository, and of the second server's.
    """
    member_hosts: Mapped[list[Any] | None]
    """Name and address of the host of each member, None for the platform's; None where all are there."""
    everywhere: Mapped[bool] = mapped_column(default=False)
    """Whether clients are led to it on each host, and are told so; on the platform's alone otherwise."""
    leader_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("addons.id", ondelete="SET NULL"))
    """Of a follower: the add-on whose database it follows, whose credentials it has."""
    replication: Mapped[bytes | None]
    """Of a follower: as whom it follows, encrypted; None of one that never did, or does no longer.

    With no leader: that was destroyed, and the server still waits for changes of it.
    """
    forked_from: Mapped[str | None] = mapped_column(String(256))
    """The name of the database that it was made from."""
    settings: Mapped[dict[str, Any] | None]
    """What its users have set, by Heroku's names; None for the usual."""
    pool_port: Mapped[int | None] = mapped_column(unique=True)
    """Where its connection pool is reached; None without one."""
    pool_everywhere: Mapped[bool] = mapped_column(default=False)
    """As ``everywhere``, of the pool."""
    pool: Mapped[bytes | None]
    """The password of the role by which the pool looks users up, encrypted."""


class RedisMember(Base):
    """One of several servers that have a Redis' data; it has its places for life."""

    __tablename__ = "redis_members"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 1."""
    port: Mapped[int] = mapped_column(unique=True)
    sentinel_port: Mapped[int] = mapped_column(unique=True)
    host: Mapped[list[Any] | None]
    """Name and address of its host; None for the platform's."""


class DatabaseCredential(Identified, Base):
    """A user of a database with its password; after a rotation a credential has two for a while."""

    __tablename__ = "database_credentials"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(60))
    """What users call it: ``default``, or the name of a role whose permissions they grant."""
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


class DatabaseLink(Identified, Base):
    """A data link: another database's tables in a schema of this one."""

    __tablename__ = "database_links"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"))
    target_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("addons.id", ondelete="SET NULL"))
    """The other one's add-on; None once that is gone."""
    target_name: Mapped[str] = mapped_column(String(256))
    name: Mapped[str] = mapped_column(String(60))
    """Of the link, its server and its schema."""
    __table_args__ = (UniqueConstraint("addon_id", "name"), Index("ix_database_links_target", "target_id"))
