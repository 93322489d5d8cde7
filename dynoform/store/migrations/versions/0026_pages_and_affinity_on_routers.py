"""Apps' own pages, whose clients stay with a dyno, who has no code: what routers have to know of when it changes."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

BEFORE = ("apps", "id", "INSERT OR DELETE OR UPDATE OF name, maintenance")
AFTER = (
    ("apps", "id", "INSERT OR DELETE OR UPDATE OF name, maintenance, page_urls"),
    ("app_features", "app_id", "INSERT OR DELETE OR UPDATE OF enabled"),
    ("formations", "app_id", "INSERT OR DELETE"),
)
"""As in 0018: table, its column with the app's id, and what changes routes."""


def upgrade() -> None:
    """Apply."""
    op.add_column("apps", sa.Column("page_urls", sa.JSON(), nullable=False, server_default="{}"))
    _drop("apps")
    for trigger in AFTER:
        _create(*trigger)


def downgrade() -> None:
    """Undo."""
    for table, _, _ in AFTER:
        _drop(table)
    _create(*BEFORE)
    op.drop_column("apps", "page_urls")


def _create(table: str, key: str, events: str) -> None:
    op.execute(
        f"CREATE TRIGGER note_route_change AFTER {events} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION note_route_change('{key}')"
    )


def _drop(table: str) -> None:
    op.execute(f"DROP TRIGGER note_route_change ON {table}")
