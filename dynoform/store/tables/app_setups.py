"""Apps that are set up from what their sources say of themselves."""

import uuid
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dynoform.store.tables.base import Base, Identified


class AppSetup(Identified, Base):
    """An app on its way from a source to a release. It outlives its app, which goes when a step of it fails.

    ``status``: pending (then there is a job for it, or for its build), succeeded, failed.
    """

    __tablename__ = "app_setups"
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    app_id: Mapped[uuid.UUID] = mapped_column(index=True)
    app_name: Mapped[str] = mapped_column(String(30))
    source_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sources.id", ondelete="SET NULL"))
    version: Mapped[str | None]
    stack: Mapped[str | None]
    """What the user has asked for; None leaves it to the source."""
    buildpacks: Mapped[list[Any]] = mapped_column(default=list)
    """Those to use instead of the source's own list."""
    overrides: Mapped[bytes]
    """Config vars to set instead of the source's, encrypted."""
    status: Mapped[str] = mapped_column(String(10), default="pending")
    failure_message: Mapped[str | None]
    manifest_errors: Mapped[list[Any]] = mapped_column(default=list)
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What is still to be done once config vars are set and add-ons asked for: ids of ``addons`` to wait for,
    ``formation``, ``postdeploy``, ``success_url``. None before that."""
    build_id: Mapped[uuid.UUID | None]
    build_status: Mapped[str | None] = mapped_column(String(10))
    """What became of the build, once its row may be gone with its app."""
    postdeploy_exit_code: Mapped[int | None]
    resolved_success_url: Mapped[str | None]


class AppSetupOutput(Base):
    """A piece of the postdeploy script's output, in order."""

    __tablename__ = "app_setup_output"
    app_setup_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("app_setups.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
