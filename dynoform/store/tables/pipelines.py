"""Pipelines, the apps in them, and promotions."""

import uuid

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified
from dynoform.store.tables.releases import Release


class Pipeline(Identified, Base):
    """A pipeline. Its owner is an account or a team, so no table can be referred to."""

    __tablename__ = "pipelines"
    name: Mapped[str] = mapped_column(String(30))
    owner_id: Mapped[uuid.UUID]
    owner_type: Mapped[str] = mapped_column(String(10))
    __table_args__ = (UniqueConstraint("owner_id", "name"),)


class PipelineCoupling(Identified, Base):
    """An app's place in a pipeline; an app is in one at most."""

    __tablename__ = "pipeline_couplings"
    pipeline_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pipelines.id", ondelete="CASCADE"), index=True)
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), unique=True)
    stage: Mapped[str] = mapped_column(String(12))
    app: Mapped[App] = relationship(lazy="joined", innerjoin=True)
    pipeline: Mapped[Pipeline] = relationship(lazy="joined", innerjoin=True)


class PipelineConfig(Base):
    """The config vars that all apps of a stage of a pipeline get, encrypted as a whole."""

    __tablename__ = "pipeline_configs"
    pipeline_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pipelines.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(12), primary_key=True)
    ciphertext: Mapped[bytes]


class PipelinePromotion(Identified, Base):
    """A slug on its way from one app to others; what became of it is read from the releases that it made."""

    __tablename__ = "pipeline_promotions"
    pipeline_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pipelines.id", ondelete="CASCADE"), index=True)
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    release_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"))
    """App and release that the slug was taken from."""


class PromotionTarget(Identified, Base):
    """A promotion to one app: the release that it made there, or why it made none."""

    __tablename__ = "promotion_targets"
    promotion_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("pipeline_promotions.id", ondelete="CASCADE"), index=True
    )
    app_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("apps.id", ondelete="CASCADE"), index=True)
    release_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"))
    error_message: Mapped[str | None]
    release: Mapped[Release | None] = relationship(lazy="joined")
