"""The first tables. Constraints get their names from the tables' naming rule."""

from typing import Any

import sqlalchemy as sa
from alembic import op

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
    for table in ("leases", "dynos", "formations", "build_output", "builds", "releases", "slugs", "sources", "configs"):
        op.drop_table(table)
    for table in ("apps", "authorizations", "accounts"):
        op.drop_table(table)


def _accounts() -> None:
    _table("accounts", _column("email", sa.String(254), unique=True), _optional("name", sa.String()))
    _table(
        "authorizations",
        _reference("account_id", "accounts", "CASCADE"),
        _column("token_digest", sa.LargeBinary(32), unique=True),
        _column("description", sa.String()),
        _column("scope", sa.JSON()),
        _optional("expires_at", _time()),
        _optional("revoked_at", _time()),
    )


def _apps() -> None:
    _table(
        "apps",
        _column("name", sa.String(30), unique=True),
        _reference("owner_id", "accounts"),
        _column("stack", sa.String()),
        _column("maintenance", sa.Boolean()),
        _optional("released_at", _time()),
    )
    _table("configs", _reference("app_id", "apps", "CASCADE", index=True), _column("ciphertext", sa.LargeBinary()))
    _table(
        "formations",
        _reference("app_id", "apps", "CASCADE"),
        _column("type", sa.String()),
        _column("quantity", sa.Integer()),
        _column("size", sa.String()),
        sa.UniqueConstraint("app_id", "type"),
    )


def _releases() -> None:
    _table(
        "slugs",
        _reference("app_id", "apps", "CASCADE", index=True),
        _column("image", sa.String()),
        _column("size", sa.BigInteger()),
        _column("checksum", sa.String()),
        _column("stack", sa.String()),
        _optional("commit", sa.String()),
        _optional("buildpack_provided_description", sa.String()),
        _column("process_types", sa.JSON()),
    )
    _table(
        "releases",
        _reference("app_id", "apps", "CASCADE"),
        _column("version", sa.Integer()),
        _column("description", sa.String()),
        _column("status", sa.String(10)),
        _column("current", sa.Boolean()),
        _reference("account_id", "accounts"),
        _reference("slug_id", "slugs", "SET NULL", nullable=True),
        _reference("config_id", "configs"),
        sa.UniqueConstraint("app_id", "version"),
    )
    op.create_index("ix_releases_current", "releases", ["app_id"], unique=True, postgresql_where=sa.text("current"))


def _builds() -> None:
    _table(
        "sources",
        _reference("account_id", "accounts", "CASCADE"),
        _optional("checksum", sa.String()),
        _optional("size", sa.BigInteger()),
    )
    _table(
        "builds",
        _reference("app_id", "apps", "CASCADE"),
        _reference("account_id", "accounts"),
        _reference("source_id", "sources"),
        _optional("version", sa.String()),
        _column("status", sa.String(10)),
        _optional("failure", sa.String()),
        _column("attempts", sa.Integer()),
        _optional("lease_holder", sa.String()),
        _optional("lease_expires_at", _time()),
        _reference("slug_id", "slugs", "SET NULL", nullable=True),
        _reference("release_id", "releases", "SET NULL", nullable=True),
    )
    op.create_index("ix_builds_app", "builds", ["app_id", "created_at"])
    op.create_index("ix_builds_pending", "builds", ["created_at"], postgresql_where=sa.text("status = 'pending'"))
    op.create_table(
        "build_output",
        _reference("build_id", "builds", "CASCADE", primary_key=True),
        sa.Column("sequence", sa.Integer(), primary_key=True),
        _column("text", sa.Text()),
    )


def _dynos() -> None:
    _table(
        "dynos",
        _reference("app_id", "apps", "CASCADE", index=True),
        _reference("release_id", "releases", "CASCADE"),
        _column("type", sa.String()),
        _column("number", sa.Integer()),
        _column("size", sa.String()),
        _column("command", sa.String()),
        _column("state", sa.String(10)),
        _column("state_changed_at", _time()),
        _optional("service_id", sa.String()),
        _optional("address", sa.String()),
        _optional("port", sa.Integer()),
        _column("crashes", sa.Integer()),
        _optional("start_after", _time()),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), primary_key=True),
        _column("holder", sa.String()),
        _column("expires_at", _time()),
    )


def _table(name: str, *parts: Any) -> None:
    own = [sa.Column("id", sa.Uuid(), primary_key=True), _column("created_at", _time()), _column("updated_at", _time())]
    op.create_table(name, *own, *parts)


def _column(name: str, kind: Any, *, unique: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, unique=unique)


def _optional(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _reference(name: str, table: str, on_delete: str | None = None, **options: Any) -> sa.Column[Any]:
    options.setdefault("nullable", False)
    return sa.Column(name, sa.Uuid(), sa.ForeignKey(f"{table}.id", ondelete=on_delete), **options)


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)
