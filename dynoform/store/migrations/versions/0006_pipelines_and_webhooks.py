"""Pipelines and webhooks."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _pipelines()
    _promotions()
    _webhooks()


def downgrade() -> None:
    """Undo, children first."""
    for name in ("webhook_deliveries", "webhook_events", "webhooks", "promotion_targets", "pipeline_promotions"):
        op.drop_table(name)
    for name in ("pipeline_configs", "pipeline_couplings", "pipelines"):
        op.drop_table(name)


def _pipelines() -> None:
    table(
        "pipelines",
        column("name", sa.String(30)),
        column("owner_id", sa.Uuid()),
        column("owner_type", sa.String(10)),
        sa.UniqueConstraint("owner_id", "name"),
    )
    table(
        "pipeline_couplings",
        reference("pipeline_id", "pipelines", "CASCADE", index=True),
        reference("app_id", "apps", "CASCADE", unique=True),
        column("stage", sa.String(12)),
    )
    op.create_table(
        "pipeline_configs",
        reference("pipeline_id", "pipelines", "CASCADE", primary_key=True),
        sa.Column("stage", sa.String(12), primary_key=True),
        column("ciphertext", sa.LargeBinary()),
    )


def _promotions() -> None:
    table(
        "pipeline_promotions",
        reference("pipeline_id", "pipelines", "CASCADE", index=True),
        reference("app_id", "apps", "CASCADE", index=True),
        reference("release_id", "releases", "CASCADE"),
    )
    table(
        "promotion_targets",
        reference("promotion_id", "pipeline_promotions", "CASCADE", index=True),
        reference("app_id", "apps", "CASCADE", index=True),
        reference("release_id", "releases", "CASCADE", nullable=True),
        optional("error_message", sa.String()),
    )


def _webhooks() -> None:
    table(
        "webhooks",
        reference("app_id", "apps", "SET NULL", nullable=True, index=True),
        column("include", sa.JSON()),
        column("level", sa.String(6)),
        column("url", sa.String()),
        column("credentials", sa.LargeBinary()),
        column("failures", sa.Integer()),
        optional("failing_since", time()),
        optional("deactivated_at", time()),
    )
    table(
        "webhook_events",
        reference("app_id", "apps", "SET NULL", nullable=True, index=True),
        column("include", sa.String(24)),
        column("payload", sa.JSON()),
    )
    table(
        "webhook_deliveries",
        reference("webhook_id", "webhooks", "CASCADE"),
        reference("event_id", "webhook_events", "CASCADE", index=True),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(), nullable=False, unique=True),
        column("status", sa.String(10)),
        column("num_attempts", sa.Integer()),
        optional("next_attempt_at", time()),
        optional("attempt_id", sa.Uuid()),
        optional("attempted_at", time()),
        optional("answered_at", time()),
        optional("code", sa.Integer()),
        optional("error_class", sa.String(60)),
    )
    columns = ["webhook_id", "sequence"]
    op.create_index("ix_webhook_deliveries_webhook", "webhook_deliveries", columns)
    waiting = sa.text("next_attempt_at IS NOT NULL")
    op.create_index("ix_webhook_deliveries_waiting", "webhook_deliveries", columns, postgresql_where=waiting)
