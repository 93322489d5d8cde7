"""Databases: what their users have set, their connection pools and links, when they are maintained."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("databases", sa.Column("maintenance_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("databases", sa.Column("maintenance_window", sa.Integer(), nullable=True))
    op.add_column("databases", sa.Column("settings", sa.JSON(), nullable=True))
    op.add_column("databases", sa.Column("pool_port", sa.Integer(), nullable=True))
    op.add_column("databases", sa.Column("pool", sa.LargeBinary(), nullable=True))
    op.create_unique_constraint(op.f("uq_databases_pool_port"), "databases", ["pool_port"])
    op.create_table(
        "database_links",
        sa.Column("addon_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("target_name", sa.String(256), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_database_links_addon_id_addons"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["addons.id"], name=op.f("fk_database_links_target_id_addons"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_links")),
        sa.UniqueConstraint("addon_id", "name", name=op.f("uq_database_links_addon_id_name")),
    )
    op.create_index("ix_database_links_target", "database_links", ["target_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("database_links")
    op.drop_constraint(op.f("uq_databases_pool_port"), "databases", type_="unique")
    for name in ("pool", "pool_port", "settings", "maintenance_window", "maintenance_at"):
        op.drop_column("databases", name)
