"""What getting certificates by ACME (RFC 8555) has to remember."""

import uuid
from datetime import datetime

from sqlalchemy import String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, now


class AcmeAccount(Base):
    """The platform's account at a certificate authority."""

    __tablename__ = "acme_accounts"
    directory: Mapped[str] = mapped_column(String, primary_key=True)
    """URL of the authority's directory."""
    uri: Mapped[str]
    """The account's own."""
    private_key: Mapped[bytes]
    """PEM, encrypted."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class AcmeChallenge(Base):
    """What routers answer at /.well-known/acme-challenge/<token>, while the authority may ask."""

    __tablename__ = "acme_challenges"
    token: Mapped[str] = mapped_column(String, primary_key=True)
    key_authorization: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class AcmeSubject(Base):
    """How far a name is that gets its certificates by ACME: a domain, by its id, or the platform's own wildcard."""

    __tablename__ = "acme_subjects"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """In a row, of the name's own making."""
    after: Mapped[datetime | None]
    """No try before this moment."""
    renew_at: Mapped[datetime | None]
    """The moment that was chosen of those that the authority suggests (RFC 9773)."""
    ask_at: Mapped[datetime | None]
    """When the authority is asked next what it suggests."""
    order_uri: Mapped[str | None]
    """An order that was begun; one that is not finished is gone on with."""
    order_key: Mapped[bytes | None]
    """The key of that order's certificate, PEM, encrypted."""
