"""Git and jobs."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, reference

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "release_output",
        reference("release_id", "releases", "CASCADE", primary_key=True),
        sa.Column("sequence", sa.Integer(), primary_key=True),
        column("text", sa.Text()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("release_output")
