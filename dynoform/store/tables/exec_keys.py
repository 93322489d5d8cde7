"""Keys of Heroku Exec."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified


class ExecKey(Identified, Base):
    """The public key that somebody may come into one dyno with, by SSH, for a short time."""

    __tablename__ = "exec_keys"
    dyno_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dynos.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    public_key: Mapped[str]
    """A line of OpenSSH's format."""
    expires_at: Mapped[datetime]
