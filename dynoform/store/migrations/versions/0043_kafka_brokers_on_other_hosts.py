"""Kafka clusters whose brokers are on several hosts."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("kafka_clusters", sa.Column("hosts", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("kafka_clusters", "hosts")
