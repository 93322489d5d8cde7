"""Which apps' routes changed, so that a router agent reads those alone."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import time

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None

TRANSACTION = "pg_current_xact_id()::text::bigint"
FUNCTION = """
CREATE FUNCTION note_route_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO route_changes (app_id)
    SELECT DISTINCT (state ->> TG_ARGV[0])::uuid FROM unnest(ARRAY[to_jsonb(OLD), to_jsonb(NEW)]) AS state
    WHERE state ->> TG_ARGV[0] IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
TRIGGERS = (
    ("apps", "id", "INSERT OR DELETE OR UPDATE OF name, maintenance"),
    ("dynos", "app_id", "INSERT OR DELETE OR UPDATE OF app_id, type, number, state, address, port"),
    ("domains", "app_id", "INSERT OR DELETE OR UPDATE OF app_id, hostname"),
)
"""Table, its column with the app's id, and what changes routes."""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "route_changes",
        sa.Column("changed", sa.BigInteger(), primary_key=True, server_default=sa.text(TRANSACTION)),
        sa.Column("app_id", sa.Uuid(), primary_key=True),
        sa.Column("noted_at", time(), nullable=False, server_default=sa.func.now()),
    )
    op.execute(FUNCTION)
    for table, key, events in TRIGGERS:
        op.execute(
            f"CREATE TRIGGER note_route_change AFTER {events} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION note_route_change('{key}')"
        )


def downgrade() -> None:
    """Undo."""
    for table, _, _ in TRIGGERS:
        op.execute(f"DROP TRIGGER note_route_change ON {table}")
    op.execute("DROP FUNCTION note_route_change()")
    op.drop_table("route_changes")
