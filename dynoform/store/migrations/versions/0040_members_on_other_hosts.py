"""Databases whose members are on several hosts, and the volumes that they leave there."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("databases", sa.Column("member_hosts", sa.JSON(), nullable=True))
    op.create_table(
        "left_volumes",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("host", "name", name=op.f("pk_left_volumes")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("left_volumes")
    op.drop_column("databases", "member_hosts")
