"""Git and jobs."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LEASED = "id, created_at, updated_at, app_id, attempts, lease_holder, lease_expires_at"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "release_output",
        reference("release_id", "releases", "CASCADE", primary_key=True),
        sa.Column("sequence", sa.Integer(), primary_key=True),
        column("text", sa.Text()),
    )
    _jobs()
    _buildpacks()
    _releases()
    op.add_column("apps", optional("repo_size", sa.BigInteger()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("apps", "repo_size")
    op.drop_index("ix_releases_slug", "releases")
    for name, table_name in (("addon_plan_names", "releases"), ("expired_at", "slugs"), ("url", "sources")):
        op.drop_column(table_name, name)
    op.drop_column("builds", "buildpacks")
    op.drop_table("buildpack_installations")
    _jobs_of_builds_only()
    op.drop_table("release_output")


def _jobs() -> None:
    table(
        "jobs",
        reference("app_id", "apps", "CASCADE"),
        column("kind", sa.String(20)),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        column("attempts", sa.Integer()),
        optional("lease_holder", sa.String()),
        optional("lease_expires_at", time()),
        optional("started_at", time()),
    )
    op.create_index("ix_jobs_app", "jobs", ["app_id", "number"])
    # Builds that wait or are under way keep their place and their lease.
    op.execute(
        f"INSERT INTO jobs (kind, {_LEASED}) SELECT 'build', {_LEASED} FROM builds "  # noqa: S608 - names of columns
        "WHERE status = 'pending' ORDER BY created_at"
    )
    op.drop_index("ix_builds_pending", "builds")
    for name in ("attempts", "lease_holder", "lease_expires_at"):
        op.drop_column("builds", name)


def _jobs_of_builds_only() -> None:
    op.add_column("builds", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.alter_column("builds", "attempts", server_default=None)
    op.add_column("builds", optional("lease_holder", sa.String()))
    op.add_column("builds", optional("lease_expires_at", time()))
    op.execute(
        "UPDATE builds SET attempts = j.attempts, lease_holder = j.lease_holder, lease_expires_at = j.lease_expires_at "
        "FROM jobs j WHERE j.id = builds.id"
    )
    op.create_index("ix_builds_pending", "builds", ["created_at"], postgresql_where=sa.text("status = 'pending'"))
    op.drop_table("jobs")


def _buildpacks() -> None:
    op.create_table(
        "buildpack_installations",
        reference("app_id", "apps", "CASCADE", primary_key=True),
        sa.Column("ordinal", sa.Integer(), primary_key=True),
        column("buildpack", sa.String()),
    )
    _list("builds", "buildpacks")
    op.add_column("sources", optional("url", sa.String()))


def _releases() -> None:
    op.add_column("slugs", optional("expired_at", time()))
    _list("releases", "addon_plan_names")
    op.create_index("ix_releases_slug", "releases", ["slug_id"])


def _list(table_name: str, name: str) -> None:
    """Add a column with a list, empty in rows that are there."""
    op.add_column(table_name, sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    op.alter_column(table_name, name, server_default=None)
