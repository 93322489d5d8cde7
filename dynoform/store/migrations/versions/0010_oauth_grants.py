"""Codes that clients exchange for tokens, and refresh tokens."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import optional, time

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("grant_digest", "refresh_digest"):
        op.add_column("authorizations", optional(name, sa.LargeBinary(32)))
        op.create_unique_constraint(f"uq_authorizations_{name}", "authorizations", [name])
    op.add_column("authorizations", optional("grant_expires_at", time()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("authorizations", "grant_expires_at")
    for name in ("refresh_digest", "grant_digest"):
        op.drop_column("authorizations", name)
