"""Databases with a standby: the ports of their servers and of what decides between them."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("databases", sa.Column("member_ports", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("databases", "member_ports")
