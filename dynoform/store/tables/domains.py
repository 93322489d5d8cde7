"""Host names of apps, and the certificates for them."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified


class SniEndpoint(Identified, Base):
    """A certificate with its key, served to clients that ask for one of the domains that use it."""

    __tablename__ = "sni_endpoints"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    display_name: Mapped[str | None] = mapped_column(String(100))
    certificate_chain: Mapped[str] = mapped_column(Text)
    """PEM, the server's certificate first."""
    private_key: Mapped[bytes]
    """PEM, encrypted with the key that routers have, too, if sealed_for_routers."""
    sealed_for_routers: Mapped[bool] = mapped_column(default=True, server_default=false())
    cert_domains: Mapped[list[Any]]
    issuer: Mapped[str]
    subject: Mapped[str]
    starts_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    self_signed: Mapped[bool]
    ca_signed: Mapped[bool]
    acm: Mapped[bool] = mapped_column(default=False)
    """Whether the platform got it by itself (Automated Certificate Management)."""
    domains: Mapped[list["Domain"]] = relationship(lazy="selectin", viewonly=True, order_by="Domain.hostname")


class Domain(Identified, Base):
    """A host name of a user's own; an app's name under the platform's domain needs no row."""

    __tablename__ = "domains"
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    hostname: Mapped[str] = mapped_column(String(253), unique=True)
    """``www.example.com`` or ``*.example.com``, in lower case."""
    cname: Mapped[str]
    """What the user's DNS is to point to."""
    acm_status: Mapped[str | None]
    acm_status_reason: Mapped[str | None]
    sni_endpoint_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("sni_endpoints.id", ondelete="SET NULL"), index=True
    )
    sni_endpoint: Mapped[SniEndpoint | None] = relationship(lazy="joined")
    app: Mapped[App] = relationship()
