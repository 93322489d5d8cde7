"""Members of Redises with HA: where they and their Sentinels are."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "redis_members",
        sa.Column("addon_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("sentinel_port", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_redis_members_addon_id_addons"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("addon_id", "number", name=op.f("pk_redis_members")),
        sa.UniqueConstraint("port", name=op.f("uq_redis_members_port")),
        sa.UniqueConstraint("sentinel_port", name=op.f("uq_redis_members_sentinel_port")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("redis_members")
