"""Logical backups of databases, restores and copies, and when backups are made."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.addons import Addon
from dynoform.store.tables.base import Base, Identified


class Transfer(Identified, Base):
    """A backup, restore or copy. It outlives its database; a backup's file is called by its id."""

    __tablename__ = "transfers"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    addon_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("addons.id", ondelete="SET NULL"), index=True)
    """The database that it is made in: where it comes from, or where it goes to."""
    num: Mapped[int]
    """Counts an app's."""
    from_type: Mapped[str] = mapped_column(String(20))
    from_name: Mapped[str] = mapped_column(String(256))
    to_type: Mapped[str] = mapped_column(String(20))
    to_name: Mapped[str] = mapped_column(String(256))
    schedule_id: Mapped[uuid.UUID | None]
    """Of the schedule that it was made by; that may be gone."""
    final: Mapped[bool] = mapped_column(default=False)
    """Whether it was made because the database is destroyed."""
    source_id: Mapped[uuid.UUID | None]
    """The backup that is restored; None for one from elsewhere."""
    secrets: Mapped[bytes]
    """The key of its file, and the address that it comes from, encrypted."""
    digest: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 of its file."""
    begun_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    succeeded: Mapped[bool | None]
    source_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    processed_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    warnings: Mapped[int] = mapped_column(default=0)
    log: Mapped[list[Any]] = mapped_column(default=list)
    """``{"created_at", "message"}`` each."""
    addon: Mapped[Addon | None] = relationship(lazy="joined")
    __table_args__ = (
        UniqueConstraint("app_id", "num"),
        Index("ix_transfers_unfinished", "created_at", postgresql_where=text("finished_at IS NULL")),
    )


class TransferSchedule(Identified, Base):
    """When backups of a database are made: each day at an hour."""

    __tablename__ = "transfer_schedules"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(256))
    """What the CLI calls it: the config var, ``DATABASE_URL``."""
    hour: Mapped[int]
    timezone: Mapped[str] = mapped_column(String(64))
    next_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("addon_id", "name"),)
