"""Signing in through a tenant's identity provider, and from a terminal through a browser.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ABOVE = ("external_identities", "oidc_flows", "device_logins")


def upgrade() -> None:
    op.create_table(
        "identity_providers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("allowed_domains", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("groups_claim", sa.String(), nullable=True),
        sa.Column("group_roles", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("default_role", sa.String(40), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name="fk_identity_providers_tenant_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_identity_providers"),
        sa.UniqueConstraint("tenant_id", "slug", name="uq_identity_providers_tenant_id_slug"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_identity_providers_tenant_id_id"),
    )
    op.create_table(
        "external_identities",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_external_identities_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_external_identities"),
        sa.UniqueConstraint("issuer", "subject", name="uq_external_identities_issuer_subject"),
    )
    op.create_table(
        "oidc_flows",
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("next", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"],
            ["identity_providers.id"],
            name="fk_oidc_flows_provider_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_oidc_flows"),
        sa.UniqueConstraint("state_hash", name="uq_oidc_flows_state_hash"),
    )
    op.create_table(
        "device_logins",
        sa.Column("device_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("client", sa.String(), nullable=True),
        sa.Column("ip", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("polled_at", MOMENT, nullable=True),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.id"],
            name="fk_device_logins_session_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_device_logins"),
        sa.UniqueConstraint("device_hash", name="uq_device_logins_device_hash"),
        sa.UniqueConstraint("user_code_hash", name="uq_device_logins_user_code_hash"),
    )
    for table, columns in (
        ("identity_providers", ["tenant_id", "created_at"]),
        ("external_identities", ["user_id"]),
        ("oidc_flows", ["provider_id"]),
        ("oidc_flows", ["expires_at"]),
        ("device_logins", ["expires_at"]),
        ("device_logins", ["session_id"]),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    if op.get_bind().dialect.name == "sqlite":
        sqlite.keep_tenant("identity_providers")
        return
    postgres.tenant_table("identity_providers")
    for above in ABOVE:
        postgres.above_tenants(above)


def downgrade() -> None:
    for table in (*ABOVE, "identity_providers"):
        op.drop_table(table)
