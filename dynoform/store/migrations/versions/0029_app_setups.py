"""Apps that are set up from what their sources say of themselves."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    table(
        "app_setups",
        reference("account_id", "accounts", "CASCADE", index=True),
        sa.Column("app_id", sa.Uuid(), nullable=False, index=True),
        column("app_name", sa.String(30)),
        reference("source_id", "sources", "SET NULL", nullable=True),
        optional("version", sa.String()),
        optional("stack", sa.String()),
        column("buildpacks", sa.JSON()),
        column("overrides", sa.LargeBinary()),
        column("status", sa.String(10)),
        optional("failure_message", sa.String()),
        column("manifest_errors", sa.JSON()),
        optional("plan", sa.JSON()),
        optional("build_id", sa.Uuid()),
        optional("build_status", sa.String(10)),
        optional("postdeploy_exit_code", sa.Integer()),
        optional("resolved_success_url", sa.String()),
    )
    op.create_table(
        "app_setup_output",
        reference("app_setup_id", "app_setups", "CASCADE", primary_key=True),
        sa.Column("sequence", sa.Integer(), primary_key=True),
        column("text", sa.Text()),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("app_setup_output")
    op.drop_table("app_setups")
