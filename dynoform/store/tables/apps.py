"""Apps."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.domain.placement import COMMON
from dynoform.store.tables.accounts import Account
from dynoform.store.tables.base import Base, Identified
from dynoform.store.tables.teams import Team


class App(Identified, Base):
    """An app. ``name`` is its host name under the platform's domain."""

    __tablename__ = "apps"
    name: Mapped[str] = mapped_column(String(30), unique=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    """Who owns it; of a team's app, who brought it there."""
    team_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("teams.id"), index=True)
    locked: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the team's members need to be let in one by one."""
    stack: Mapped[str]
    """What its current release runs on."""
    build_stack: Mapped[str | None]
    """What the next deploy is for; None for the same."""
    maintenance: Mapped[bool] = mapped_column(default=False)
    page_urls: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    """The config vars that name pages of the app's own, in the clear: routers show them to everybody."""
    acm: Mapped[bool] = mapped_column(default=False)
    """Whether certificates for its domains are got and renewed by the platform."""
    released_at: Mapped[datetime | None]
    repo_size: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes of the git repository, measured after each push."""
    cache_generation: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often its build cache was purged: what a host has of an earlier one is not used any more."""
    runtime: Mapped[str] = mapped_column(default=COMMON, server_default=COMMON)
    """The runtime whose hosts its dynos run on: the common one, or that of a space."""
    owner: Mapped[Account] = relationship(lazy="joined")
    team: Mapped[Team | None] = relationship(lazy="joined")
