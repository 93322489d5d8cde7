"""The first tables. Constraints get their names from the tables' naming rule."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _accounts()
    _apps()
    _releases()
    _builds()
    _dynos()


def downgrade() -> None:
    """Undo, children first."""
    for name in ("leases", "dynos", "formations", "build_output", "builds", "releases", "slugs", "sources", "configs"):
        op.drop_table(name)
    for name in ("apps", "authorizations", "accounts"):
        op.drop_table(name)


def _accounts() -> None:
    table("accounts", column("email", sa.String(254), unique=True), optional("name", sa.String()))
    table(
        "authorizations",
        reference("account_id", "accounts", "CASCADE"),
        column("token_digest", sa.LargeBinary(32), unique=True),
        column("description", sa.String()),
        column("scope", sa.JSON()),
        optional("expires_at", time()),
        optional("revoked_at", time()),
    )


def _apps() -> None:
    table(
        "apps",
        column("name", sa.String(30), unique=True),
        reference("owner_id", "accounts"),
        column("stack", sa.String()),
        column("maintenance", sa.Boolean()),
        optional("released_at", time()),
    )
    table("configs", reference("app_id", "apps", "CASCADE", index=True), column("ciphertext", sa.LargeBinary()))
    table(
        "formations",
        reference("app_id", "apps", "CASCADE"),
        column("type", sa.String()),
        column("quantity", sa.Integer()),
        column("size", sa.String()),
        sa.UniqueConstraint("app_id", "type"),
    )


def _releases() -> None:
    table(
        "slugs",
        reference("app_id", "apps", "CASCADE", index=True),
        column("image", sa.String()),
        column("size", sa.BigInteger()),
        column("checksum", sa.String()),
        column("stack", sa.String()),
        optional("commit", sa.String()),
        optional("buildpack_provided_description", sa.String()),
        column("process_types", sa.JSON()),
    )
    table(
        "releases",
        reference("app_id", "apps", "CASCADE"),
        column("version", sa.Integer()),
        column("description", sa.String()),
        column("status", sa.String(10)),
        column("current", sa.Boolean()),
        reference("account_id", "accounts"),
        reference("slug_id", "slugs", "SET NULL", nullable=True),
        reference("config_id", "configs"),
        sa.UniqueConstraint("app_id", "version"),
    )
    op.create_index("ix_releases_current", "releases", ["app_id"], unique=True, postgresql_where=sa.text("current"))


def _builds() -> None:
    table(
        "sources",
        reference("account_id", "accounts", "CASCADE"),
        optional("checksum", sa.String()),
        optional("size", sa.BigInteger()),
    )
    table(
        "builds",
        reference("app_id", "apps", "CASCADE"),
        reference("account_id", "accounts"),
        reference("source_id", "sources"),
        optional("version", sa.String()),
        column("status", sa.String(10)),
        optional("failure", sa.String()),
        column("attempts", sa.Integer()),
        optional("lease_holder", sa.String()),
        optional("lease_expires_at", time()),
        reference("slug_id", "slugs", "SET NULL", nullable=True),
        reference("release_id", "releases", "SET NULL", nullable=True),
    )
    op.create_index("ix_builds_app", "builds", ["app_id", "created_at"])
    op.create_index("ix_builds_pending", "builds", ["created_at"], postgresql_where=sa.text("status = 'pending'"))
    op.create_table(
        "build_output",
        reference("build_id", "builds", "CASCADE", primary_key=True),
        sa.Column("sequence", sa.Integer(), primary_key=True),
        column("text", sa.Text()),
    )


def _dynos() -> None:
    table(
        "dynos",
        reference("app_id", "apps", "CASCADE", index=True),
        reference("release_id", "releases", "CASCADE"),
        column("type", sa.String()),
        column("number", sa.Integer()),
        column("size", sa.String()),
        column("command", sa.String()),
        column("state", sa.String(10)),
        column("state_changed_at", time()),
        optional("service_id", sa.String()),
        optional("address", sa.String()),
        optional("port", sa.Integer()),
        column("crashes", sa.Integer()),
        optional("start_after", time()),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), primary_key=True),
        column("holder", sa.String()),
        column("expires_at", time()),
    )
