"""One-off dynos, and the hosts that dynos have to fit on."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    table(
        "one_off_dynos",
        reference("app_id", "apps", "CASCADE"),
        reference("release_id", "releases", "CASCADE"),
        reference("inside_id", "dynos", "CASCADE", nullable=True),
        column("type", sa.String()),
        column("number", sa.Integer()),
        column("size", sa.String()),
        column("command", sa.String()),
        column("variables", sa.LargeBinary()),
        optional("attach_digest", sa.String(64)),
        column("tty", sa.Boolean()),
        column("time_to_live", sa.Integer()),
        column("state", sa.String(10)),
        column("state_changed_at", time()),
        optional("agent", sa.String()),
    )
    op.create_index(
        "ix_one_off_dynos_name",
        "one_off_dynos",
        ["app_id", "type", "number"],
        unique=True,
        postgresql_where=sa.text("inside_id IS NULL"),
    )
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(), primary_key=True),
        column("name", sa.String()),
        column("memory_bytes", sa.BigInteger()),
        column("updated_at", time()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("hosts")
    op.drop_table("one_off_dynos")
