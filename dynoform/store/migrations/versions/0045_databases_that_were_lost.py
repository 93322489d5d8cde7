"""When a database that was lost was last begun to be brought back."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("databases", sa.Column("lost_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Undo."""
    op.drop_column("databases", "lost_at")
