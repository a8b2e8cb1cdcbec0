"""Accounts and what proves them, the audit trail, and how an installation is run.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mode", sa.String(40), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_installation_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_table(
        "setup_secrets",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("spent_at", MOMENT, nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_setup_secrets"),
        sa.UniqueConstraint("hash", name="uq_setup_secrets_hash"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("public_jwk", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("private_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("retires_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )
    op.create_table(
        "api_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("last_four", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("project_ids", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("default_project_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_api_keys_tenant_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_api_keys_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    with op.batch_alter_table("api_keys") as batch:
        batch.create_index("ix_api_keys_tenant_id", ["tenant_id"])
        batch.create_index("ix_api_keys_user_id_tenant_id", ["user_id", "tenant_id"])

    op.create_table(
        "audit_events",
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_kind", sa.String(40), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target_type", sa.String(), nullable=False),
        sa.Column("target_id", sa.String(), nullable=True),
        sa.Column("facts", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("ip", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_audit_events_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_audit_events_tenant_id_id"),
    )
    with op.batch_alter_table("audit_events") as batch:
        batch.create_index("ix_audit_events_tenant_id_created_at", ["tenant_id", "created_at"])

    op.create_table(
        "invitations",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_norm", sa.String(), nullable=False),
        sa.Column("role", sa.String(40), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("accepted_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_invitations_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_invitations_tenant_id_id"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
    )
    with op.batch_alter_table("invitations") as batch:
        batch.create_index("ix_invitations_tenant_id_created_at", ["tenant_id", "created_at"])

    op.create_table(
        "sessions",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("auth_time", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("revoke_reason", sa.String(), nullable=True),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=True),
        sa.Column("ip", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("amr", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_sessions_tenant_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("cookie_hash", name="uq_sessions_cookie_hash"),
    )
    with op.batch_alter_table("sessions") as batch:
        batch.create_index("ix_sessions_tenant_id", ["tenant_id"])
        batch.create_index("ix_sessions_user_id_revoked_at", ["user_id", "revoked_at"])

    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.Column("replaced_by", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_refresh_tokens_session_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
    )
    with op.batch_alter_table("refresh_tokens") as batch:
        batch.create_index("ix_refresh_tokens_session_id", ["session_id"])

    with op.batch_alter_table("projects") as batch:
        batch.add_column(sa.Column("problem_class", sa.String(40), nullable=True))
        batch.add_column(sa.Column("complexity_score", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("goal_metric", sa.String(), nullable=True))
        batch.add_column(sa.Column("goal_target", sa.Double(), nullable=True))
        batch.add_column(sa.Column("planned_start", sa.Date(), nullable=True))
        batch.add_column(sa.Column("planned_end", sa.Date(), nullable=True))
        batch.add_column(sa.Column("actual_start", sa.Date(), nullable=True))
        batch.add_column(sa.Column("actual_end", sa.Date(), nullable=True))
        batch.add_column(sa.Column("budget", sa.Numeric(precision=16, scale=2), nullable=True))
        batch.add_column(sa.Column("budget_currency", sa.String(), nullable=True))
        batch.add_column(sa.Column("archived_at", MOMENT, nullable=True))
        batch.add_column(
            sa.Column("meta", sa.JSON(none_as_null=True), nullable=False, server_default="{}")
        )
        batch.add_column(sa.Column("created_by", sa.Uuid(), nullable=True))

    with op.batch_alter_table("users") as batch:
        batch.add_column(sa.Column("kind", sa.String(40), nullable=False, server_default="person"))
        batch.add_column(
            sa.Column("verified", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch.add_column(
            sa.Column("platform_admin", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch.add_column(
            sa.Column("meta", sa.JSON(none_as_null=True), nullable=False, server_default="{}")
        )
        batch.add_column(sa.Column("last_login_at", MOMENT, nullable=True))
    # Rows that were there have their values now; new ones bring their own.
    with op.batch_alter_table("projects") as batch:
        batch.create_check_constraint(
            op.f("ck_projects_complexity_range"), "complexity_score BETWEEN 1 AND 100"
        )
        batch.alter_column("meta", existing_type=sa.JSON(none_as_null=True), server_default=None)
    with op.batch_alter_table("users") as batch:
        batch.alter_column("kind", existing_type=sa.String(40), server_default=None)
        batch.alter_column("verified", existing_type=sa.Boolean(), server_default=None)
        batch.alter_column("platform_admin", existing_type=sa.Boolean(), server_default=None)
        batch.alter_column("meta", existing_type=sa.JSON(none_as_null=True), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("users") as batch:
        batch.drop_column("last_login_at")
        batch.drop_column("meta")
        batch.drop_column("platform_admin")
        batch.drop_column("verified")
        batch.drop_column("kind")

    with op.batch_alter_table("projects") as batch:
        batch.drop_constraint(batch.f("ck_projects_complexity_range"), type_="check")
        batch.drop_column("created_by")
        batch.drop_column("meta")
        batch.drop_column("archived_at")
        batch.drop_column("budget_currency")
        batch.drop_column("budget")
        batch.drop_column("actual_end")
        batch.drop_column("actual_start")
        batch.drop_column("planned_end")
        batch.drop_column("planned_start")
        batch.drop_column("goal_target")
        batch.drop_column("goal_metric")
        batch.drop_column("complexity_score")
        batch.drop_column("problem_class")

    op.drop_table("refresh_tokens")
    op.drop_table("sessions")
    op.drop_table("invitations")
    op.drop_table("audit_events")
    op.drop_table("api_keys")
    op.drop_table("signing_keys")
    op.drop_table("setup_secrets")
    op.drop_table("installation")
