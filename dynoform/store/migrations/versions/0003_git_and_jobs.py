"""Git and jobs."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference

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
    _git()


def _git() -> None:
    op.add_column("apps", optional("repo_size", sa.BigInteger()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("apps", "repo_size")
    op.drop_table("release_output")
