"""Apps' last requests, and scheduled jobs."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "app_activity",
        reference("app_id", "apps", "CASCADE", primary_key=True),
        column("requested_at", time()),
    )
    table(
        "scheduler_jobs",
        reference("addon_id", "addons", "CASCADE", index=True),
        column("command", sa.String()),
        column("size", sa.String(60)),
        column("frequency", sa.String(40)),
        sa.Column("next_due_at", time(), nullable=False, index=True),
        optional("last_due_at", time()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("scheduler_jobs")
    op.drop_table("app_activity")
