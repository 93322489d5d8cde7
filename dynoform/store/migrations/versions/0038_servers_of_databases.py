"""Databases with a standby: the ports of all that they consist of. Followers: whom they follow."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("databases", sa.Column("member_ports", sa.JSON(), nullable=True))
    op.add_column("databases", sa.Column("leader_id", sa.Uuid(), nullable=True))
    op.add_column("databases", sa.Column("replication", sa.LargeBinary(), nullable=True))
    op.create_foreign_key(
        op.f("fk_databases_leader_id_addons"), "databases", "addons", ["leader_id"], ["id"], ondelete="SET NULL"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_constraint(op.f("fk_databases_leader_id_addons"), "databases", type_="foreignkey")
    for column in ("replication", "leader_id", "member_ports"):
        op.drop_column("databases", column)
