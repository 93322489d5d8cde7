"""Dynos that move between hosts, hosts' zones and runtimes, apps on runtimes."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("dynos", sa.Column("host_id", sa.String(), nullable=True))
    op.add_column("dynos", sa.Column("moving", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("apps", sa.Column("runtime", sa.String(), nullable=False, server_default="common"))
    for name, default in (("zone", ""), ("runtime", "common")):
        op.add_column("hosts", sa.Column(name, sa.String(), nullable=False, server_default=default))
    op.add_column("hosts", sa.Column("state", sa.String(10), nullable=False, server_default="open"))


def downgrade() -> None:
    """Undo."""
    for name in ("state", "runtime", "zone"):
        op.drop_column("hosts", name)
    op.drop_column("apps", "runtime")
    op.drop_column("dynos", "moving")
    op.drop_column("dynos", "host_id")
