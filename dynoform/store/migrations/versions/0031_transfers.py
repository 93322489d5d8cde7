"""Logical backups of databases, restores and copies, and schedules of backups."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "transfers",
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column("addon_id", sa.Uuid()),
        sa.Column("num", sa.Integer(), nullable=False),
        sa.Column("from_type", sa.String(20), nullable=False),
        sa.Column("from_name", sa.String(256), nullable=False),
        sa.Column("to_type", sa.String(20), nullable=False),
        sa.Column("to_name", sa.String(256), nullable=False),
        sa.Column("schedule_id", sa.Uuid()),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("source_id", sa.Uuid()),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(64)),
        *(sa.Column(f"{name}_at", MOMENT) for name in ("begun", "finished", "canceled", "deleted")),
        sa.Column("succeeded", sa.Boolean()),
        sa.Column("source_bytes", sa.BigInteger(), nullable=False),
        sa.Column("processed_bytes", sa.BigInteger(), nullable=False),
        sa.Column("warnings", sa.Integer(), nullable=False),
        sa.Column("log", sa.JSON(), nullable=False),
        *_identified(),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_transfers_app_id_apps"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_transfers_addon_id_addons"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("app_id", "num", name=op.f("uq_transfers_app_id_num")),
    )
    op.create_index(op.f("ix_transfers_addon_id"), "transfers", ["addon_id"])
    op.create_index(
        "ix_transfers_unfinished", "transfers", ["created_at"], postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "transfer_schedules",
        sa.Column("addon_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        *_identified(),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addons.id"], name=op.f("fk_transfer_schedules_addon_id_addons"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_schedules")),
        sa.UniqueConstraint("addon_id", "name", name=op.f("uq_transfer_schedules_addon_id_name")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("transfer_schedules")
    op.drop_table("transfers")


def _identified() -> "tuple[sa.Column[object], ...]":
    return (
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
