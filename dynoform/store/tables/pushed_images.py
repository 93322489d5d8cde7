"""Images in the registry."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base


class PushedImage(Base):
    """An image that was, or is about to be, pushed. It outlives its app: else nobody would know what to remove."""

    __tablename__ = "pushed_images"
    repository: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    used_at: Mapped[datetime]
    """When it was last pushed or released, by the database's clock."""
