"""The stack's images, which of them slugs lie on, and what dynos were made of."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
PRESENT = """
    UPDATE dynos SET image = COALESCE(slugs.images ->> dynos.type, slugs.image)
    FROM releases JOIN slugs ON slugs.id = releases.slug_id
    WHERE releases.id = dynos.release_id AND dynos.service_id IS NOT NULL
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "stack_images",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("stack", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("sbom", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("declared_at", MOMENT, nullable=False),
        sa.Column("updates", sa.JSON(), nullable=True),
        sa.Column("asked_at", MOMENT, nullable=True),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("tracker", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_stack_images"),
    )
    op.add_column("slugs", sa.Column("base", sa.String(), nullable=True))
    op.add_column("dynos", sa.Column("image", sa.String(), nullable=True))
    op.execute(PRESENT)


def downgrade() -> None:
    """Undo."""
    op.drop_column("dynos", "image")
    op.drop_column("slugs", "base")
    op.drop_table("stack_images")
