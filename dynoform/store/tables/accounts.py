"""Accounts and what they sign in with."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.base import Base, Identified


class Account(Identified, Base):
    """A person, or the operator that `up` makes."""

    __tablename__ = "accounts"
    email: Mapped[str] = mapped_column(String(254), unique=True)
    """In lower case."""
    name: Mapped[str | None]
    operator: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The one account that makes others."""
    password: Mapped[str | None]
    """As ``dynoform.store.passwords`` hashes it; None for an account that has not chosen one."""
    one_time_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """SHA-256 of the password that works once, until a moment."""
    one_time_expires_at: Mapped[datetime | None]
    allow_tracking: Mapped[bool] = mapped_column(default=False, server_default=false())
    beta: Mapped[bool] = mapped_column(default=False, server_default=false())
    last_login: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    """A deleted account stays, without its person, as the author of releases."""
    __table_args__ = (Index("ix_accounts_operator", "operator", unique=True, postgresql_where=text("operator")),)


class OAuthClient(Identified, Base):
    """A program that asks people for access to their accounts."""

    __tablename__ = "oauth_clients"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    redirect_uri: Mapped[str]
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """Encrypted: its owner may look at it again."""


class Authorization(Identified, Base):
    """An OAuth authorization; its token is kept as a SHA-256 digest only."""

    __tablename__ = "authorizations"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    token_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    token_hint: Mapped[str] = mapped_column(default="", server_default="")
    """First and last characters, by which its owner knows it again."""
    api_key: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The operator's key, set by `up` and not by a call."""
    description: Mapped[str]
    scope: Mapped[list[Any]] = mapped_column(default=lambda: ["global"])
    lifetime: Mapped[int | None]
    """Seconds that a token of it is good for, from when it was made; None for ever."""
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("oauth_clients.id", ondelete="SET NULL"))
    grant_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    """Of the code that its client may exchange for a token, once."""
    grant_expires_at: Mapped[datetime | None]
    refresh_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    """Of the token that its client may get other ones with, until it is revoked."""
    account: Mapped[Account] = relationship(lazy="joined")
    client: Mapped[OAuthClient | None] = relationship(lazy="joined")
    __table_args__ = (Index("ix_authorizations_api_key", "account_id", unique=True, postgresql_where=text("api_key")),)


class Key(Identified, Base):
    """An SSH public key of an account."""

    __tablename__ = "keys"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    public_key: Mapped[str]
    comment: Mapped[str]
