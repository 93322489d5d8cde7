"""Pushes whose branch is yet to follow their release."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, reference

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "pushes",
        reference("build_id", "builds", "CASCADE", primary_key=True),
        column("ref", sa.Text()),
        column("old", sa.String(64)),
        column("new", sa.String(64)),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("pushes")
