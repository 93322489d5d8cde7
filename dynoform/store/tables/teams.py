"""Teams and who belongs to them."""

import uuid

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.base import Base, Identified


class Team(Identified, Base):
    """People who own apps together."""

    __tablename__ = "teams"
    name: Mapped[str] = mapped_column(String(30), unique=True)


class TeamMember(Identified, Base):
    """An account in a team; ``role``: admin, member, viewer or collaborator."""

    __tablename__ = "team_members"
    team_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(12))
    account: Mapped[Account] = relationship(lazy="joined")
    __table_args__ = (UniqueConstraint("team_id", "account_id"),)


class TeamInvitation(Identified, Base):
    """An account that was asked to join a team, and has not answered."""

    __tablename__ = "team_invitations"
    team_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    invited_by_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(12))
    team: Mapped[Team] = relationship(lazy="joined")
    account: Mapped[Account] = relationship(lazy="joined", foreign_keys=[account_id])
    invited_by: Mapped[Account] = relationship(lazy="joined", foreign_keys=[invited_by_id])
    __table_args__ = (UniqueConstraint("team_id", "account_id"),)
