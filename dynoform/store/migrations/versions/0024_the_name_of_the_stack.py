"""The stack is called what builds and dynos have always been told: dynoform-13."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0019"
branch_labels = None
depends_on = None

_COLUMNS = (("apps", "stack"), ("apps", "build_stack"), ("builds", "stack"), ("slugs", "stack"))


def upgrade() -> None:
    """Apply."""
    _rename("stack-13", "dynoform-13")


def downgrade() -> None:
    """Undo."""
    _rename("dynoform-13", "stack-13")


def _rename(old: str, new: str) -> None:
    for table, name in _COLUMNS:
        stack = sa.column(name, sa.String)
        op.execute(sa.update(sa.table(table, stack)).where(stack == old).values({name: new}))
