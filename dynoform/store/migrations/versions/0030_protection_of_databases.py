"""Continuous protection of databases: what opens their repositories, how those are, when to look at them."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

SOON = """
    UPDATE databases SET maintained_at = TIMESTAMPTZ '2000-01-01 00:00:00Z'
    FROM addons JOIN plans ON plans.id = addons.plan_id JOIN addon_services ON addon_services.id = plans.service_id
    WHERE addons.id = databases.addon_id AND addon_services.provider = 'heroku-postgresql'
"""
"""Those that there are get a repository at once, as they would at their next maintenance."""


def upgrade() -> None:
    """Apply."""
    op.add_column("databases", sa.Column("cipher", sa.LargeBinary()))
    op.add_column("databases", sa.Column("protection", sa.JSON()))
    op.add_column("databases", sa.Column("look_at", sa.DateTime(timezone=True)))
    op.add_column("databases", sa.Column("drill_at", sa.DateTime(timezone=True)))
    op.add_column("databases", sa.Column("forked_from", sa.String(256)))
    op.execute(SOON)


def downgrade() -> None:
    """Undo."""
    for name in ("forked_from", "drill_at", "look_at", "protection", "cipher"):
        op.drop_column("databases", name)
