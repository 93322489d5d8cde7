"""Databases of the platform's own: their places and credentials, and operations on them."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("details", "result"):
        op.add_column("addon_changes", sa.Column(name, sa.JSON()))
    op.create_table(
        "databases",
        sa.Column("addon_id", sa.Uuid(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("owner", sa.String(63), nullable=False),
        sa.Column("maintained_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_databases_addon_id_addons"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("addon_id", name=op.f("pk_databases")),
        sa.UniqueConstraint("port", name=op.f("uq_databases_port")),
    )
    op.create_table(
        "database_credentials",
        sa.Column("addon_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("username", sa.String(63), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True)),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_database_credentials_addon_id_addons"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_credentials")),
    )
    op.create_index(op.f("ix_database_credentials_addon_id"), "database_credentials", ["addon_id"])
    op.create_index(
        "ix_database_credentials_in_use",
        "database_credentials",
        ["addon_id", "name"],
        unique=True,
        postgresql_where=sa.text("ends_at IS NULL"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("database_credentials")
    op.drop_table("databases")
    for name in ("result", "details"):
        op.drop_column("addon_changes", name)
