"""Kafka clusters: where their brokers are, and the authority of those who may connect."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "kafka_clusters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("addon_id", sa.Uuid(), nullable=True),
        sa.Column("ports", sa.JSON(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("maintained_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_kafka_clusters_addon_id_addons"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kafka_clusters")),
        sa.UniqueConstraint("addon_id", name=op.f("uq_kafka_clusters_addon_id")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("kafka_clusters")
