"""Add-ons with services, plans and attachments; domains and their certificates; log drains."""

import sqlalchemy as sa
from alembic import op

from dynoform.store.migrations.columns import column, optional, reference, table, time

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    "log_drains",
    "domains",
    "sni_endpoints",
    "addon_changes",
    "addon_attachments",
    "addon_configs",
    "addons",
    "plans",
    "addon_services",
)


def upgrade() -> None:
    """Apply."""
    op.add_column("apps", sa.Column("acm", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.alter_column("apps", "acm", server_default=None)
    _services()
    _addons()
    _changes()
    _domains()
    _log_drains()


def downgrade() -> None:
    """Undo, children first."""
    for name in TABLES:
        op.drop_table(name)
    op.drop_column("apps", "acm")


def _services() -> None:
    table(
        "addon_services",
        column("name", sa.String(60), unique=True),
        column("human_name", sa.String(100)),
        column("state", sa.String(10)),
        optional("cli_plugin_name", sa.String()),
        column("supports_multiple_installations", sa.Boolean()),
        column("supports_sharing", sa.Boolean()),
        column("provider", sa.String(60)),
        column("prefix", sa.String(60)),
        column("config_vars", sa.JSON()),
        column("drains_logs", sa.Boolean()),
        optional("base_url", sa.String()),
        optional("secrets", sa.LargeBinary()),
    )
    table(
        "plans",
        reference("service_id", "addon_services", "CASCADE"),
        column("name", sa.String(60)),
        column("human_name", sa.String(100)),
        column("description", sa.String(500)),
        column("price_cents", sa.Integer()),
        column("price_unit", sa.String(20)),
        column("default", sa.Boolean()),
        column("state", sa.String(10)),
        sa.UniqueConstraint("service_id", "name"),
    )


def _addons() -> None:
    table(
        "addons",
        reference("app_id", "apps", "SET NULL", nullable=True, index=True),
        reference("plan_id", "plans"),
        reference("account_id", "accounts"),
        column("name", sa.String(256)),
        column("state", sa.String(20)),
        column("state_changed_at", time()),
        optional("provider_id", sa.String()),
        optional("message", sa.String()),
        optional("options", sa.LargeBinary()),
        sa.Column("grant_digest", sa.LargeBinary(32), nullable=True, unique=True),
        optional("grant_expires_at", time()),
    )
    alive = sa.text("state <> 'deprovisioned'")
    op.create_index("ix_addons_name", "addons", ["name"], unique=True, postgresql_where=alive)
    op.create_index("ix_addons_plan", "addons", ["plan_id"])
    op.create_table(
        "addon_configs",
        reference("addon_id", "addons", "CASCADE", primary_key=True),
        sa.Column("namespace", sa.String(256), primary_key=True),
        column("ciphertext", sa.LargeBinary()),
    )
    table(
        "addon_attachments",
        reference("addon_id", "addons", "CASCADE", index=True),
        reference("app_id", "apps", "CASCADE"),
        column("name", sa.String(256)),
        optional("namespace", sa.String(256)),
        column("config_vars", sa.JSON()),
        sa.UniqueConstraint("app_id", "name"),
    )


def _changes() -> None:
    table(
        "addon_changes",
        reference("addon_id", "addons", "CASCADE", index=True),
        column("action", sa.String(20)),
        reference("plan_id", "plans", nullable=True),
        reference("account_id", "accounts"),
        column("status", sa.String(10)),
        optional("failure", sa.String()),
        column("attempts", sa.Integer()),
        column("run_after", time()),
        optional("lease_holder", sa.String()),
        optional("lease_expires_at", time()),
    )
    pending = sa.text("status = 'pending'")
    op.create_index("ix_addon_changes_pending", "addon_changes", ["run_after"], postgresql_where=pending)


def _domains() -> None:
    table(
        "sni_endpoints",
        reference("app_id", "apps", "CASCADE", index=True),
        column("name", sa.String(60), unique=True),
        optional("display_name", sa.String(100)),
        column("certificate_chain", sa.Text()),
        column("private_key", sa.LargeBinary()),
        column("cert_domains", sa.JSON()),
        column("issuer", sa.String()),
        column("subject", sa.String()),
        column("starts_at", time()),
        column("expires_at", time()),
        column("self_signed", sa.Boolean()),
        column("ca_signed", sa.Boolean()),
        column("acm", sa.Boolean()),
    )
    table(
        "domains",
        reference("app_id", "apps", "CASCADE", index=True),
        column("hostname", sa.String(253), unique=True),
        column("cname", sa.String()),
        optional("acm_status", sa.String()),
        optional("acm_status_reason", sa.String()),
        reference("sni_endpoint_id", "sni_endpoints", "SET NULL", nullable=True, index=True),
    )


def _log_drains() -> None:
    table(
        "log_drains",
        reference("app_id", "apps", "CASCADE", index=True),
        reference("addon_id", "addons", "CASCADE", nullable=True, index=True),
        column("token", sa.String(40), unique=True),
        column("url", sa.LargeBinary()),
    )
