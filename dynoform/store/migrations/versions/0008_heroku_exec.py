"""Heroku Exec: keys to dynos, and one-off dynos whose client comes by SSH."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, reference, table, time

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    table(
        "exec_keys",
        reference("dyno_id", "dynos", "CASCADE"),
        reference("account_id", "accounts", "CASCADE"),
        column("public_key", sa.String()),
        column("expires_at", time()),
    )
    op.add_column("one_off_dynos", sa.Column("over_ssh", sa.Boolean(), nullable=False, server_default="false"))


def downgrade() -> None:
    """Undo."""
    op.drop_column("one_off_dynos", "over_ssh")
    op.drop_table("exec_keys")
