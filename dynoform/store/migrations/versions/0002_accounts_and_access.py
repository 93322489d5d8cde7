"""Accounts and access.

Columns that are added to older tables have a default: the program before this one still writes rows without them.
"""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _accounts()
    _authorizations()
    _teams()
    _apps()
    _features()


def downgrade() -> None:
    """Undo, children first."""
    for name in ("account_features", "app_features", "app_transfers", "collaborators"):
        op.drop_table(name)
    for name in ("team_id", "locked"):
        op.drop_column("apps", name)
    for name in ("team_invitations", "team_members", "teams", "keys"):
        op.drop_table(name)
    op.drop_index("ix_authorizations_account_id", "authorizations")
    for name in ("client_id", "lifetime", "api_key", "token_hint"):
        op.drop_column("authorizations", name)
    op.drop_table("oauth_clients")
    for name in ("deleted_at", "last_login", "beta", "allow_tracking", "one_time_expires_at", "one_time_digest"):
        op.drop_column("accounts", name)
    for name in ("password", "operator"):
        op.drop_column("accounts", name)


def _accounts() -> None:
    for name in ("operator", "allow_tracking", "beta"):
        op.add_column("accounts", _flag(name))
    op.add_column("accounts", optional("password", sa.String()))
    op.add_column("accounts", optional("one_time_digest", sa.LargeBinary(32)))
    for name in ("one_time_expires_at", "last_login", "deleted_at"):
        op.add_column("accounts", optional(name, time()))
    op.execute("UPDATE accounts SET email = lower(email)")
    op.execute(
        "UPDATE accounts SET operator = true WHERE id IN "
        "(SELECT account_id FROM authorizations WHERE description = 'Dynoform operator')"
    )
    op.create_index("ix_accounts_operator", "accounts", ["operator"], unique=True, postgresql_where=sa.text("operator"))


def _authorizations() -> None:
    table(
        "oauth_clients",
        reference("account_id", "accounts", "CASCADE", index=True),
        column("name", sa.String()),
        column("redirect_uri", sa.String()),
        column("secret", sa.LargeBinary()),
    )
    table(
        "keys",
        reference("account_id", "accounts", "CASCADE", index=True),
        column("fingerprint", sa.String(), unique=True),
        column("public_key", sa.String()),
        column("comment", sa.String()),
    )
    op.add_column("authorizations", sa.Column("token_hint", sa.String(), nullable=False, server_default=""))
    op.add_column("authorizations", _flag("api_key"))
    op.add_column("authorizations", optional("lifetime", sa.Integer()))
    op.add_column("authorizations", reference("client_id", "oauth_clients", "SET NULL", nullable=True))
    op.create_index("ix_authorizations_account_id", "authorizations", ["account_id"])
    op.execute("UPDATE authorizations SET api_key = true WHERE description = 'Dynoform operator'")
    own = sa.text("api_key")
    op.create_index("ix_authorizations_api_key", "authorizations", ["account_id"], unique=True, postgresql_where=own)


def _teams() -> None:
    table("teams", column("name", sa.String(30), unique=True))
    table(
        "team_members",
        reference("team_id", "teams", "CASCADE"),
        reference("account_id", "accounts", "CASCADE", index=True),
        column("role", sa.String(12)),
        sa.UniqueConstraint("team_id", "account_id"),
    )
    table(
        "team_invitations",
        reference("team_id", "teams", "CASCADE"),
        reference("account_id", "accounts", "CASCADE"),
        reference("invited_by_id", "accounts", "CASCADE"),
        column("role", sa.String(12)),
        sa.UniqueConstraint("team_id", "account_id"),
    )


def _apps() -> None:
    op.add_column("apps", reference("team_id", "teams", nullable=True, index=True))
    op.add_column("apps", _flag("locked"))
    table(
        "collaborators",
        reference("app_id", "apps", "CASCADE"),
        reference("account_id", "accounts", "CASCADE", index=True),
        column("permissions", sa.JSON()),
        sa.UniqueConstraint("app_id", "account_id"),
    )
    table(
        "app_transfers",
        reference("app_id", "apps", "CASCADE"),
        reference("owner_id", "accounts", "CASCADE", index=True),
        reference("recipient_id", "accounts", "CASCADE", index=True),
        column("state", sa.String(10)),
    )
    pending = sa.text("state = 'pending'")
    op.create_index("ix_app_transfers_pending", "app_transfers", ["app_id"], unique=True, postgresql_where=pending)


def _features() -> None:
    for name, owner in (("app_features", "app"), ("account_features", "account")):
        table(
            name,
            reference(f"{owner}_id", f"{owner}s", "CASCADE"),
            column("name", sa.String()),
            column("enabled", sa.Boolean()),
            sa.UniqueConstraint(f"{owner}_id", "name"),
        )


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
