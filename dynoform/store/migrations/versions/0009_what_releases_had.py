"""What add-ons had set in a release, and what a build was for."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import optional

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("releases", sa.Column("addon_config_vars", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("builds", optional("stack", sa.String()))
    op.execute("UPDATE builds SET stack = slugs.stack FROM slugs WHERE slugs.id = builds.slug_id")
    op.create_index("ix_builds_source", "builds", ["source_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_builds_source", "builds")
    op.drop_column("builds", "stack")
    op.drop_column("releases", "addon_config_vars")
