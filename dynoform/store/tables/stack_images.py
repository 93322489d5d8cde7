"""The stack's images."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, now


class StackImage(Base):
    """An image of a stack that a builder was told of: the newest of a kind is that with the latest ``declared_at``."""

    __tablename__ = "stack_images"
    id: Mapped[str] = mapped_column(primary_key=True)
    """The engine's, ``sha256:…``."""
    kind: Mapped[str] = mapped_column(String(10))
    """run, build."""
    stack: Mapped[str]
    name: Mapped[str]
    """What the engine calls it."""
    version: Mapped[str]
    """What tells its contents from another's (``dynoform.domain.sbom``)."""
    sbom: Mapped[str | None] = mapped_column(Text)
    """Its bill of materials; None for one that has none."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    declared_at: Mapped[datetime]
    """When a builder last began to use it, by the database's clock."""
    updates: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    """Packages with a newer version, as ``dynoform.domain.stack_updates`` finds them; None while nobody has asked."""
    asked_at: Mapped[datetime | None]
    """When the mirror was last asked for them."""
    failure: Mapped[str | None]
    """Why that failed, in one line."""
    tracker: Mapped[str | None]
    """Why no CVEs are named, in one line; None when they are, or nobody has asked."""
