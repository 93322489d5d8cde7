"""One-off dynos."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified, now


class OneOffDyno(Identified, Base):
    """A command that somebody runs: the runtime agent's memory of one container, until the command has ended."""

    __tablename__ = "one_off_dynos"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    release_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"))
    inside_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("dynos.id", ondelete="CASCADE"))
    """The formation dyno in whose container it runs; None for one in a container of its own."""
    type: Mapped[str]
    number: Mapped[int]
    """The 1234 in run.1234."""
    size: Mapped[str]
    command: Mapped[str]
    """As the user gave it."""
    variables: Mapped[bytes]
    """Its own variables over the app's config vars, encrypted as those."""
    attach_digest: Mapped[str | None] = mapped_column(String(64))
    """Of the secret in its attach_url, see ``dynoform.domain.rendezvous``; None for a detached one."""
    tty: Mapped[bool] = mapped_column(default=True)
    over_ssh: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether its client is the SSH server, which says what to run when they meet: ``dynoform.domain.exec_channels``.
    Then it has no variables, and no command."""
    time_to_live: Mapped[int]
    """Seconds after which it is ended."""
    state: Mapped[str] = mapped_column(String(10), default="starting")
    """starting, up, down (Heroku's words); ``down`` is to be ended."""
    state_changed_at: Mapped[datetime] = mapped_column(default=now)
    agent: Mapped[str | None]
    """The runtime agent that has it."""
    __table_args__ = (
        Index(
            "ix_one_off_dynos_name", "app_id", "type", "number", unique=True, postgresql_where=text("inside_id IS NULL")
        ),
    )
