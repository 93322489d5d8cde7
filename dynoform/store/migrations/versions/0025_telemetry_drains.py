"""Where apps' telemetry is sent."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, reference, table

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    table(
        "telemetry_drains",
        reference("app_id", "apps", "CASCADE", index=True),
        column("signals", sa.JSON()),
        column("exporter", sa.LargeBinary()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("telemetry_drains")
