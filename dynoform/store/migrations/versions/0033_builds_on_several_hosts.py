"""Builders on several hosts: where a job was begun, where an app's cache is, and which caches count no more."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("host", sa.String(), nullable=True))
    op.add_column("builds", sa.Column("host", sa.String(), nullable=True))
    op.add_column("apps", sa.Column("cache_generation", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Undo."""
    op.drop_column("apps", "cache_generation")
    op.drop_column("builds", "host")
    op.drop_column("jobs", "host")
