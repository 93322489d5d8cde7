"""Container images."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import optional

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("apps", optional("build_stack", sa.String()))
    op.add_column("slugs", sa.Column("images", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Undo."""
    op.drop_column("slugs", "images")
    op.drop_column("apps", "build_stack")
