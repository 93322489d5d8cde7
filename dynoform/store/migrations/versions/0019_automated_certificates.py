"""Automated certificates: the account at the authority, challenges for the routers, what is known of each name."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, time

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # False for keys that only the API can decrypt; the certificate worker seals them anew.
    no = sa.false()
    op.add_column("sni_endpoints", sa.Column("sealed_for_routers", sa.Boolean(), nullable=False, server_default=no))
    op.create_table(
        "acme_accounts",
        sa.Column("directory", sa.String(), primary_key=True),
        column("uri", sa.String()),
        column("private_key", sa.LargeBinary()),
        column("created_at", time()),
    )
    op.create_table(
        "acme_challenges",
        sa.Column("token", sa.String(), primary_key=True),
        column("key_authorization", sa.Text()),
        column("created_at", time()),
    )
    op.create_table(
        "acme_subjects",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        optional("after", time()),
        optional("renew_at", time()),
        optional("ask_at", time()),
        optional("order_uri", sa.String()),
        optional("order_key", sa.LargeBinary()),
    )


def downgrade() -> None:
    """Undo."""
    for name in ("acme_subjects", "acme_challenges", "acme_accounts"):
        op.drop_table(name)
    op.drop_column("sni_endpoints", "sealed_for_routers")
