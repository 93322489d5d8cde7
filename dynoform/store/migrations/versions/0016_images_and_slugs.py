"""What is in the registry, so that what nobody needs can leave it; slugs that users upload; the API's certificate."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, time

revision = "0016"
down_revision = "0015"
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
    op.create_table(
        "platform_certificates",
        sa.Column("name", sa.String(20), primary_key=True),
        column("chain", sa.Text()),
        column("private_key", sa.LargeBinary()),
        column("updated_at", time()),
    )
    for name in ("commit_description", "failure"):
        op.add_column("slugs", optional(name, sa.String()))


def downgrade() -> None:
    """Undo."""
    for name in ("failure", "commit_description"):
        op.drop_column("slugs", name)
    op.drop_table("platform_certificates")
    op.drop_table("pushed_images")
