"""What the hosts' agents tell: how each host is, and how dynos ended."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, reference, time

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "host_reports",
        sa.Column("name", sa.String(), primary_key=True),
        column("node_id", sa.String()),
        column("reported_at", time()),
        column("engine", sa.String()),
        column("memory_bytes", sa.BigInteger()),
        column("free_memory_bytes", sa.BigInteger()),
        column("disk_bytes", sa.BigInteger()),
        column("free_disk_bytes", sa.BigInteger()),
        column("load", sa.Float()),
        column("dynos", sa.Integer()),
        column("events_until", sa.BigInteger()),
    )
    op.create_table(
        "dyno_ends",
        sa.Column("container_id", sa.String(), primary_key=True),
        reference("app_id", "apps", "CASCADE", index=True),
        column("dyno_id", sa.Uuid()),
        column("name", sa.String()),
        sa.Column("host", sa.String(), nullable=False, index=True),
        column("exit_code", sa.Integer()),
        column("error", sa.String()),
        column("ended_at", time()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("dyno_ends")
    op.drop_table("host_reports")
