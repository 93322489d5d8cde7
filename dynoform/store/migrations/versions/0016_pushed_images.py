"""What is in the registry, so that what nobody needs can leave it."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, time

revision = "0016"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "pushed_images",
        sa.Column("repository", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), primary_key=True),
        column("used_at", time()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("pushed_images")
