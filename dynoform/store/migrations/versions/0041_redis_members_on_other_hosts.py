"""Redises with HA whose members are on several hosts."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("redis_members", sa.Column("host", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("redis_members", "host")
