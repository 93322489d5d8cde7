"""Add-on services and their plans, add-ons, attachments, and the work on them that is still to be done."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.accounts import Account
from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified, now


class AddonService(Identified, Base):
    """What add-ons can be made of. ``provider`` says who makes them: ``partner``, or one of the platform's own."""

    __tablename__ = "addon_services"
    name: Mapped[str] = mapped_column(String(60), unique=True)
    human_name: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(10), default="ga")
    cli_plugin_name: Mapped[str | None]
    supports_multiple_installations: Mapped[bool] = mapped_column(default=True)
    supports_sharing: Mapped[bool] = mapped_column(default=True)
    provider: Mapped[str] = mapped_column(String(60))
    prefix: Mapped[str] = mapped_column(String(60))
    """What the names of its config vars start with, and the usual name of a first attachment."""
    config_vars: Mapped[list[Any]]
    """Names of the config vars that the provider may set."""
    drains_logs: Mapped[bool] = mapped_column(default=False)
    base_url: Mapped[str | None]
    """Where a partner takes requests."""
    secrets: Mapped[bytes | None]
    """The partner's ``password``, encrypted."""


class Plan(Identified, Base):
    """What an add-on costs and can do; users write ``service:name``."""

    __tablename__ = "plans"
    service_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addon_services.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(60))
    human_name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(500))
    price_cents: Mapped[int]
    price_unit: Mapped[str] = mapped_column(String(20))
    default: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(10), default="ga")
    """``shutdown`` when no new add-on can have it."""
    service: Mapped[AddonService] = relationship(lazy="joined")
    __table_args__ = (UniqueConstraint("service_id", "name"),)

    @property
    def full_name(self) -> str:
        """``heroku-redis:mini``."""
        return f"{self.service.name}:{self.name}"


class Addon(Identified, Base):
    """An add-on. It outlives its app, without one, until its provider has taken it away."""

    __tablename__ = "addons"
    app_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("apps.id", ondelete="SET NULL"), index=True)
    plan_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("plans.id"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    """Who created it: releases that its provider causes are theirs."""
    name: Mapped[str] = mapped_column(String(256))
    state: Mapped[str] = mapped_column(String(20))
    """provisioning, provisioned, deprovisioning; deprovisioned when it could not be made."""
    state_changed_at: Mapped[datetime] = mapped_column(default=now)
    provider_id: Mapped[str | None]
    message: Mapped[str | None]
    """What the provider wants the user to read."""
    options: Mapped[bytes | None]
    """What the user gave to the provider, encrypted."""
    grant_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    """Of the code that its provider may exchange for a token, once."""
    grant_expires_at: Mapped[datetime | None]
    app: Mapped[App | None] = relationship(lazy="joined")
    plan: Mapped[Plan] = relationship(lazy="joined")
    account: Mapped[Account] = relationship(lazy="joined")
    attachments: Mapped[list["AddonAttachment"]] = relationship(
        lazy="selectin", viewonly=True, order_by="AddonAttachment.created_at"
    )
    __table_args__ = (
        Index("ix_addons_name", "name", unique=True, postgresql_where=text("state <> 'deprovisioned'")),
        Index("ix_addons_plan", "plan_id"),
    )


class AddonConfig(Base):
    """What the provider set for one of an add-on's credentials, encrypted; the default credential has no name."""

    __tablename__ = "addon_configs"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), primary_key=True)
    namespace: Mapped[str] = mapped_column(String(256), primary_key=True, default="")
    ciphertext: Mapped[bytes]


class AddonAttachment(Identified, Base):
    """An add-on under a name in an app."""

    __tablename__ = "addon_attachments"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), index=True)
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(256))
    namespace: Mapped[str | None] = mapped_column(String(256))
    """``credential:readonly``, or None for the default credential."""
    config_vars: Mapped[list[Any]]
    """Names of the config vars that it has in the app now."""
    addon: Mapped[Addon] = relationship(lazy="joined")
    app: Mapped[App] = relationship(lazy="joined")
    __table_args__ = (UniqueConstraint("app_id", "name"),)


class AddonChange(Identified, Base):
    """Work on an add-on that its provider has to do: provision, change, deprovision; an add-on's in order.

    Databases have more: ``data_services.OPERATIONS``.
    """

    __tablename__ = "addon_changes"
    addon_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("addons.id", ondelete="CASCADE"), index=True)
    action: Mapped[str] = mapped_column(String(20))
    plan_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("plans.id"))
    """The plan to change to."""
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    status: Mapped[str] = mapped_column(String(10), default="pending")
    """pending, succeeded, failed"""
    failure: Mapped[str | None]
    details: Mapped[dict[str, Any] | None]
    """What an operation on a database was asked to do, besides its name, or how far a change has got; no secrets."""
    result: Mapped[dict[str, Any] | None]
    """What it found out; no secrets."""
    attempts: Mapped[int] = mapped_column(default=0)
    run_after: Mapped[datetime] = mapped_column(default=now)
    lease_holder: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_addon_changes_pending", "run_after", postgresql_where=text("status = 'pending'")),)
